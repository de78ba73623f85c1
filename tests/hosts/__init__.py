"""Real throw-away hosts: whole Debian systems with systemd and sshd, made and broken by the tests.

    image.py      the Debian root file system, built once and kept
    disk.py       one host's disk over that image; it survives a reboot and a power cut
    network.py    a bridge for a farm, a network namespace and an address for a host, a link that can be cut
    container.py  the running system (`systemd-nspawn`), started, found and killed
    machine.py    one host: boot, reboot, cut off, power off, run a script as root
    farm.py       the hosts of one test run, their ssh folder, and the certainty that nothing is left behind
    proxy.py      Traefik's real binary, installed the way deploy/traefik/README.md says
    delay_proxy.py  a TCP proxy that stands for distance and for a cut or silent connection
    load.py       an open-loop load generator that never retries and keeps every failure
    conftest.py   the fixtures; `python -m tests.hosts` is the same by hand

What is proven about an app belongs in a test, not here.
"""
