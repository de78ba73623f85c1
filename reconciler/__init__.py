"""reconcile: from a commit to a converged server.

cli, commands/   arguments, wiring, exit codes
loop             a pass: observe, ask for the next action, apply it, until done
load, source/    desired-state files or a commit → Desired
observe          hosts → Observed
decide, policy/  next_action(desired, observed)                              pure
expect, plan     what an action is meant to change; the preview              pure
apply            one action → its host; the reply is the fresh observation
tools/, model/   what we know of systemd, Traefik, releases; the nouns       pure
host/            the only code that touches a machine
"""
