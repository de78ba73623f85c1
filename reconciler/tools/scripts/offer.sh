# plain releases state any-app|no-delta release|no-delta sha256|no-delta; stdin: digests: print what a release may need of this
# host, and which files of a release it has already. Asked for are all files of the app's release that is named, if that is noted
# here with these sums; and then those of stdin, which has the first 16 digits of each file's sha256, one a line. Printed are the
# numbers of those that it has, as in 1-80. A file counts only if it is whole now. What each release holds was noted when it was
# installed, and so was what came of an upload that broke off.
PATH=$PATH:/usr/sbin:/sbin
echo "machine $(uname -m)"
echo "libc $(getconf GNU_LIBC_VERSION 2>/dev/null)"
ldconfig -p 2>/dev/null | sed -n 's/^\t\([^ ]*\) .*=> \(.*\)/library \1 \2/p'
# shellcheck disable=SC2012 # names of libraries
ls -l /usr/lib/*/libstdc++.so.6 /usr/lib/libstdc++.so.6 /usr/lib64/libstdc++.so.6 2>/dev/null | sed -n 's/.*-> \(.*\)/libstdcxx \1/p'
! command -v zstd >/dev/null || zstd --version 2>&1 | sed -n 's/.* v\([0-9.]*\),.*/zstd \1/p'
RELEASES=$1 STATE=$2 OLD_OF=$3 OLD=$4 OLD_SUMS=$5
set --
for noted in "$STATE"/*/sums/* "$STATE"/*/sums/.arrived-*; do [ ! -e "$noted" ] || set -- "$@" "$noted"; done
[ $# -gt 0 ] || exit 0
old=/dev/null
if [ "$OLD" != - ]; then
  old=''
  for noted in "$STATE/$OLD_OF/sums/$OLD" "$STATE/$OLD_OF/sums/$OLD~"*; do
    ! echo "$OLD_SUMS  $noted" | sha256sum --check --status 2>/dev/null || old=$noted
  done
  [ -n "$old" ] || exit 0
fi
# The number of a line, and a file with that digest, as sha256sum checks it.
# shellcheck disable=SC2016 # awk expands them
found=$({ cut -c 1-16 "$old" && cat; } | awk -v releases="$RELEASES" '
  FILENAME == "-" { if (length($1) == 16) asked[$1] = asked[$1] " " FNR; next }
  FNR == 1 { n = split(FILENAME, part, "/"); folder = releases "/" part[n - 2] "/releases/" part[n] }
  substr($1, 1, 16) in asked {
    n = split(asked[substr($1, 1, 16)], number, " ")
    for (i = 1; i <= n; i++) printf "%d\t%s  %s/%s\n", number[i], $1, folder, substr($0, 67)
    delete asked[substr($1, 1, 16)]
  }' - "$@" | sort -n) || exit 1
[ -n "$found" ] || exit 0
# Once for each of these lines, in their order: its number, then whether the file is what was installed.
{
  printf '%s\n' "$found" | cut -f 1
  echo
  printf '%s\n' "$found" | cut -f 2 | timeout 240 sha256sum --check 2>/dev/null
} | awk '
  function print_range() { if (from) print "held " from "-" to }
  !checks { if ($0 == "") checks = 1; else number[++count] = $0; next }
  /: OK$/ {
    here = number[++at]
    if (from && here == to + 1) to = here
    else { print_range(); from = to = here }
    next
  }
  { at++ }
  END { print_range() }'
