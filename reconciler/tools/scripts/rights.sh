# Who may read and write what is ours: the folders and files of an app, but neither what is inside its releases, which a
# digest covers, nor its state, which is its own. A function that ends with exec is run in a subshell.

# find_rights APP…: print each file and folder of these apps, and of the two folders that all share, that has another owner
# or other rights than we gave it: its mode, its owner and its path. A folder comes before what is in it.
find_rights() {
  roots=
  for app; do
    [ -d "$STATE/$app" ] || continue
    roots="$roots $STATE/./$app $ENV/./$app $RELEASES/./$app/releases $RELEASES/./$app/slots"
    [ -e "$STATE/$app/adopted" ] || roots="$roots $RELEASES/$app" # of an adopted app it may be the people's who made it
    roots="$roots $UNITS/$app@.service $ROUTES/$app.yml $ROUTES/$app.htpasswd $ROUTES/$app.pem"
  done
  # The /./ tells what is below one of an app's folders from what is below a folder that stands for itself.
  # shellcheck disable=SC2086 # several paths
  [ -z "$roots" ] || exec find "$STATE" "$ENV" $roots -maxdepth 2 \
    '(' -type l -o -name '.?*' ! -name .certificate -o -name '*[!0-9A-Za-z@._+~-]*' -o -path "$STATE/[!.]*" -o \
    -path "$ENV/[!.]*" -o -path "$RELEASES/[!.]*/*" -o -path "$RELEASES/./*/*/*/*" ')' -prune -o \
    '(' ! -uid "$OWN_UID" -o -path "$STATE/./*/*" -perm /022 -o -path "$RELEASES/*" '(' -perm /022 -o -type d ! -perm -555 ')' -o \
    '(' -path "$STATE" -o -path "$ENV" -o -path "$ENV/./*" -o -path "$STATE/./*" ! -path "$STATE/./*/*" ')' -perm /077 -o \
    '(' -path "$ROUTES/*.htpasswd" -o -path "$ROUTES/*.pem" ')' -perm /027 -o \
    '(' -path "$ROUTES/*" -o -path "$UNITS/*" ')' ! -name '*.htpasswd' ! -name '*.pem' '(' -perm /022 -o ! -perm -444 ')' ')' \
    -printf '%m %U %p\n' 2>/dev/null
}
