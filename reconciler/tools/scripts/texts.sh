# What is on disk of all apps: one program asks for all of them, and one awk puts it together, a part for each app.
#
# Words are split where they are not quoted: they are names and paths that were checked. A function that ends with exec is run in
# a subshell, which becomes that program: a process less.

# find_folders FOLDER…: print the releases and the links of slots in these folders, each line after its folder. Names other
# than ours are left out, and where any other link leads to is a -.
find_folders() {
  exec find "$@" -mindepth 1 -maxdepth 1 ! -name '*[!0-9A-Za-z._+~-]*' '(' \
    -path "$RELEASES/*/releases/*" -printf '%H release %T@ %f\n' -o -name '.*' -o \
    -lname '../releases/*' ! -lname '../releases/*[!0-9A-Za-z._+~-]*' -printf '%H link %f %l\n' -o -printf '%H link %f -\n' ')' 2>/dev/null
}

# find_watched: print the files that Traefik serves from, if we have it.
find_watched() {
  case " $apps " in *' traefik '*) ;; *) return 0 ;; esac
  find "$ROUTES" -mindepth 1 -maxdepth 1 '(' -name '*.yml' -o -name '*.yaml' -o -name '*.toml' ')' \
    '(' -name '*[!0-9A-Za-z@._+~-]*' -printf 'traefik watched -\n' -o -printf 'traefik watched %f\n' ')' 2>/dev/null
}

# print_apps: print the part of each app, from records, found, ages and heads. Returns 1 if that did not work.
# shellcheck disable=SC2086 # several files
print_apps() {
  {
    printf '%s%s\n%s' "$records" "$found" "$heads"
    find_watched
    [ -z "$ages" ] || exec stat -c '%n %Y' $ages 2>/dev/null
  } | frame_apps
}

# What frame_apps has of awk: kind_of says what a line of a file is, note_head adds the head of a file, note_age the time of a route
# file or of a crash dump. A line with a NUL is no text.
# shellcheck disable=SC2016 # these dollars are awk's
AWK_HEADS='
function note(app, text) {
  if (!(app in size)) {
    names[++apps] = app
    size[app] = -1
  }
  size[app] += length(text) + 1
  if (size[app] <= longest) text_of[app, ++count[app]] = text
}
function kind_of(app, file, name, slot) {
  if (file == states "/" app "/" name) return ""
  if (file == states "/" app "/jobs/" name) return (name ~ /[.]last$/ ? "ran " : "paused ") slot
  if (file == trials "/" app "/" name)
    return (name ~ /[.]job$/ ? "runs " : name ~ /[.]started$/ ? "started " : "trial ") slot
  if (file == envs "/" app "/" name) return "env " slot
  if (file == units "/" app "@.service") return "unit"
  if (file == routes "/" app ".yml") return "route"
  return file == units "/traefik.service" ? "hand" : "served " name
}
function note_head(app, file, name, slot, kind, line, lines) {
  name = slot = file
  sub(".*/", "", name)
  sub(".*/", "", slot)
  sub("[.].*", "", slot)
  kind = kind_of(app, file, name, slot)
  while ((getline line < file) > 0) {
    if (length(line) > 8192 || ++lines > 1000) {
      note(app, "long " name)
      break
    }
    gsub(/[\001-\037\177]/, "?", line)
    if (line !~ /^[ -~\200-\377]*$/) line = "?"
    if (kind != "" && line !~ /^#/ && kind !~ /^(started|ran|paused|runs) /) break
    note(app, (kind == "" ? name : kind) " " line)
    if (kind ~ /^(trial|started|served|ran|paused|runs) /) break
  }
  close(file)
}
function note_age(file, age, app, slot) {
  app = slot = file
  if (file ~ /[.]dump$/) {
    sub("/[^/]*$", "", app)
    sub(".*/", "", app)
    gsub(/.*erl_crash[.]|[.]dump$/, "", slot)
    note(app, "dump " age " " slot)
  } else {
    gsub(/.*\/|[.]yml$/, "", app)
    note(app, "routed " age)
  }
}'

# frame_apps: print a part for each app, of the lines on stdin: a record after the name of its app, or after a folder of it; a
# file and its age; or < with an app and a file of it. Of its state each line is a record, of other files the comments that they
# begin with. A file may be gone by now.
frame_apps() {
  exec awk -v states="$STATE" -v trials="$TRIAL_ENV" -v envs="$ENV" -v units="$UNITS" -v routes="$ROUTES" \
    -v longest="$LONGEST_PART" "$AWK_HEADS"'
    $1 == "<" {note_head($2, $3); next}
    /^\// && NF == 2 {note_age($1, $2); next}
    NF > 1 {
      of = $1
      sub("/[^/]*$", "", of)
      sub(".*/", "", of)
      note(of, substr($0, length($1) + 2))
    }
    END {
      for (i = 1; i <= apps; i++) {
        of = names[i]
        if (size[of] > longest) {
          printf "@@ app %s 9\nlong part\n", of
          continue
        }
        printf "@@ app %s %d\n", of, size[of]
        for (j = 1; j <= count[of]; j++) print text_of[of, j]
      }
    }'
}
