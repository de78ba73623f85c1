"""Stories on real hosts: what a person does, and what must be true after each step.

project.py        a git repository with one app, the real command line, and the host as a visitor and root see it
small_release.py  a release that starts in 30 ms on a host without Python: sh and perl, nothing else
visitors.py       100 requests a second, of which none may fail
conftest.py       a shared host for stories that leave it whole, and hosts of their own for those that break one
test_story_*.py   one story a file
"""
