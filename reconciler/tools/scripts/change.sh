# The frame of an action: do it, print the part "result" with its exit status, then look, also at the files of releases if
# the action says TREES=yes. $1 = app:slots for the look, the rest is the action's own.
word=$1
shift
(
  change "$@"
)
part result - $?
ONLY=yes TREES=${TREES:-no}
look "$word"
