"""The same work done by others, on the same host, written as their experts would write it.

    ansible/     a playbook: pipelining, ControlPersist, no facts; only modules of ansible-core
    deploy.py    the same for pyinfra
    templates/   the unit, the environment and the route, which both of them render
    bare.py      one login and one command with asyncssh: the physical limit of a quiet pass
    tools.py     installs both tools into a venv of their own, and runs all of them
    measures.py  which tool does what, how often, over which distance
    page.py      docs/performance.md and its charts, from what was measured

An app of theirs has its releases, slots and a file `live` with "port version digest-of-env" in /opt/APP. The cut-over
is the same as ours: start the other slot, wait until it has been healthy for a second, write the route, let requests
end, stop the old slot.
"""
