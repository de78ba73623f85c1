"""reconcile: from a commit to a converged server.

cli.py            the command line; heavy imports wait                                                   floor 11
commands/         one short file per command; arguments, live_slot                                             10
demo/             a whole rollout on this machine                                                               9
engine/           one engine and one opinion of the fleet: converge, watch, preview, rollback, report           8
apply/            one action → its host: applier, runner, install, wait, history, edge_route, etcd               7
observe/          hosts → Observed: look, ask (Traefik, health), lease                                          6
daemon/           what a long-running controller offers: http_server, page_server, webhook, metrics             6
targets/          desired state and fleet → what is wanted on each host                                         5
artifact/  secrets/  notify/  provision/ (bootstrap and doctor of a host)                                       4
page/             PURE: what the engine saw, as HTML; it can reach no host, secret or key                       4
decide/           PURE: what is done next, in the fleet and for one app; expected; plan                         3
desired_state/    files or a commit → Desired; desired_state/git/ reads commits                                 3
tools/            PURE: all we know of one outside program, text in, text out; its scripts beside it            3
model/            PURE: the nouns, frozen and strict                                                            2
host/             the only code that touches a machine                                                          2
errors.py  clock.py  files.py  logs.py  programs.py  terminal.py  colours.py  layout.py  words.py               1

Imports point downward. ARCHITECTURE.md follows one value through the packages.
"""
