# The frame of an action: do it, print the part "result" with its exit status, then look. $1 = app:slots for the look, the
# rest is the action's own.
word=$1
shift
(
  change "$@"
)
part result - $?
ONLY=yes TREES=no
look "$word"
