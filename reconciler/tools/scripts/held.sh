# Of a release that comes to a host, many files are there already, in other releases of this app or of another. What an installed
# release holds is noted as STATE/APP/sums/RELEASE, and the controller has asked which of them are whole (offer.sh). So it is with
# what came of an upload that broke off: .arrived-RELEASE, of which files may be missing or cut off.
TAB=$(printf '\t')
NOT_HELD=74 # exit status: a file that this host had is damaged or gone. All of the release must be sent

# copy_held: put the files that this host has into incoming, each with the mode and the time that it has in the release: those
# that `held` names, line by line: a time, and numbers of lines of sums, as in 1-80,82. Nothing in incoming is a link yet, so
# no path leads out of it. They are checked with all others in the end. Returns 1, and has said why.
copy_held() {
  [ -s "$incoming/held" ] || return 0
  set --
  for noted in "$STATE"/*/sums/* "$STATE"/*/sums/.arrived-*; do [ ! -e "$noted" ] || set -- "$@" "$noted"; done
  choose_sources "$@" && (
    cd "$incoming/files" && xargs -r -d '\n' -a ../folders mkdir -p -- && copy_same && copy_moved && copy_renamed || exit 1
    other=$(find . ! -type d ! -type f -print -quit) && [ -z "$other" ] || exit 1
    xargs -r -d '\n' -a ../plain chmod 0644 -- && xargs -r -d '\n' -a ../programs chmod 0755 -- || exit 1
    for times in ../time.*; do
      [ -e "$times" ] || continue # nothing is copied for a delta of all files
      xargs -r -d '\n' -a "$times" touch -c -h -d "@${times##*.}" -- || exit 1
    done
  )
}

# What awk reads a list of numbers with, as in 1-80,82: note(LIST, VALUE, ARRAY) sets ARRAY[NUMBER] for each.
# shellcheck disable=SC2016 # awk expands them
AWK_RANGES='
  function refuse(why) { print why | "cat >&2"; failed = 1; exit 1 }
  function note(list, value, into,  ranges, range, ends, i, k) {
    if (list !~ /^[0-9,-]*$/) refuse("the list of files that are here cannot be read")
    ranges = split(list, range, ",")
    for (i = 1; i <= ranges; i++) {
      split(range[i] "-" range[i], ends, "-")
      if (ends[2] - ends[1] > 1000000) refuse("the list of files that are here is too long")
      for (k = ends[1] + 0; k <= ends[2] + 0; k++) into[k] = value
    }
  }'

# What chooses where each file is copied from. An awk program: it reads held, tree and sums, then the sums of all releases.
# shellcheck disable=SC2016 # awk expands them
AWK_CHOOSE='
  function check(path) {
    if (path !~ /^\.\/[^\/]/ || path ~ /\/\.\.?(\/|$)/ || path ~ /\/\//) refuse("the manifest names something outside of the release")
  }
  function name(path) { sub(/.*\//, "", path); return path }
  FILENAME == to "/held" && FNR == 1 && $1 == "from" { next }
  FILENAME == to "/held" {
    if ($1 !~ /^[0-9]+$/ || length($1) > 12 || $2 == "" || FNR > 300) refuse("the list of files that are here cannot be read")
    note($2, $1, time)
    next
  }
  FILENAME == to "/tree" {
    path = substr($0, 7, index($0, "\t") - 7)
    if (/^d /) { check(path); print path > (to "/folders") }
    if (/^f 755 /) program[path] = 1
    next
  }
  FILENAME == to "/sums" {
    if (!(FNR in time)) next
    wanted[++count] = substr($0, 67)
    check(wanted[count])
    seconds[count] = time[FNR]
    digest[count] = substr($0, 1, 64)
    asked[digest[count]] = 1
    next
  }
  FNR == 1 { n = split(FILENAME, part, "/"); folder = releases "/" part[n - 2] "/releases/" part[n] }
  substr($0, 1, 64) in asked {
    path = substr($0, 67)
    one = substr($0, 1, 64)
    if (!((one, path) in same)) same[one, path] = folder
    if (!((one, name(path)) in named)) named[one, name(path)] = folder "/" path
    if (!(one in any)) any[one] = folder "/" path
  }
  END {
    if (failed) exit 1
    for (k = 1; k <= count; k++) {
      path = wanted[k]
      one = digest[k]
      if (!(one in any)) refuse(path " is not here any more")
      if ((one, path) in same) {
        folder = same[one, path]
        if (!(folder in place)) { place[folder] = ++places; print places "\t" folder > (to "/sources") }
        print path > (to "/same." place[folder])
      } else if ((one, name(path)) in named) {
        print substr(path, 1, length(path) - length(name(path))) "\t" named[one, name(path)] > (to "/moved")
      } else print path "\t" any[one] > (to "/renamed")
      print path > (to (path in program ? "/programs" : "/plain"))
      print path > (to "/time." seconds[k])
    }
  }'

# choose_sources SUMS…: write into incoming where each file is copied from: of `sources`, folders with files at the same path,
# which are in same.NUMBER; of `moved`, a folder and a file that keeps its name; of `renamed`, a path and a file. And what
# becomes of it: `programs`, `plain`, time.SECONDS. And `folders`. Returns 1, and has said why.
choose_sources() {
  for list in sources moved renamed programs plain folders; do : >"$incoming/$list" || return 1; done
  awk -v to="$incoming" -v releases="$RELEASES" "$AWK_RANGES$AWK_CHOOSE" "$incoming/held" "$incoming/tree" "$incoming/sums" "$@"
}

# copy_same, copy_moved, copy_renamed: copy the files of these lists into the folder that is the current one. Each returns 1.
copy_same() {
  while IFS=$TAB read -r number folder; do
    (cd "$folder" && xargs -r -d '\n' -a "$incoming/same.$number" cp -P --reflink=auto --parents -t "$incoming/files" --) || return 1
  done <../sources
}

copy_moved() {
  set -- && into=''
  while IFS=$TAB read -r folder source; do
    if [ $# -gt 0 ] && { [ "$folder" != "$into" ] || [ $# -ge 200 ]; }; then
      cp -P --reflink=auto -t "$into" -- "$@" || return 1
      set --
    fi
    into=$folder
    set -- "$@" "$source"
  done <../moved
  [ $# = 0 ] || cp -P --reflink=auto -t "$into" -- "$@"
}

copy_renamed() {
  while IFS=$TAB read -r path source; do
    cp -P --reflink=auto -T -- "$source" "$path" || return 1
  done <../renamed
}
