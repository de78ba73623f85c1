# change app
change() {
  begin_change "$1"
  rm -f "$ROUTES/$1.yml" && forget "$1" "$ROUTES/$1.yml"
  drop_htpasswd "$1"
}
