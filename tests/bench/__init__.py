"""The figures that the project promises, measured on a real throw-away host and printed as one table.

    python -m tests.bench                      everything, about 20 minutes; needs root, as the tests on real hosts do
    python -m tests.bench --only no-op         one measure, or several: --only may be repeated
    python -m tests.bench --only no-op --runs 50
    python -m tests.bench --write docs/performance.md    the page: beside Ansible, pyinfra and others, and fleets

Each measure is run beside its rival or its yardstick, in turn (A B A B) on the same host, so that a busy machine slows
both. Figures are medians, with the smallest and largest in brackets. Exit code 1 when a goal is missed.

    swaps        failed requests during 20 swaps (a version, an env variable, in turn) at 100 requests/s: GET and POST,
                 on kept and on new connections, and 3 s requests in flight; beside it the hand-written deploy
                 script. `--runs` is the number of swaps
    round-trips  of a pass that finds nothing to do and of a rollout: as counted by reconcile, and, without believing
                 it, how much longer it takes over a proxy that adds 100 ms
    no-op        `reconcile --once` with nothing to do, the whole process, beside `ssh host true`
    quiet        the same with 1 and 20 apps, at 0 and 50 ms, beside a bare asyncssh script of one command that asks
                 the same: wall time, CPU and processes of the host, bytes
    rollout      from the start of `reconcile --once` to the first answer of the new version through Traefik, less what
                 is the app's own: its boot and minimum_healthy_seconds; and from the rename of a route file until
                 Traefik's API shows it
    help         `reconcile --help`
    review       `reconcile plan --from --to` with 100 apps, of which one or all change
    footprint    peak memory, and bytes sent to the host, of a pass that finds nothing to do
    watch        `reconcile` beside ten hosts: memory and CPU while nothing happens (`--runs` is the minutes, 10), then
                 how soon a commit is begun and a deleted route file is back
    fleets       one process that plays a thousand hosts with one app, with five, and five thousand hosts: a pass from
                 cold, in a watch, and a commit that changes all; far away, with silent hosts, with few open files
    soak         300 swaps by one watch under load: failed requests, and whether the controller's memory or anything on
                 the host grows; half an hour, so only if --only names it

    beside/      the page: the same work by other tools, in turn
    lab.py       the host, the app on it, and the command line, timed
    table.py     rows and their text
    rival.py     the hand-written script
    applied.py   watches Traefik's API from inside the host's network; the other files are a measure each
"""
