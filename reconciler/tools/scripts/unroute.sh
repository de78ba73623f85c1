# change app
change() {
  begin_change "$1"
  rm -f "$T/$1.yml" && forget "$1" "$T/$1.yml"
  drop_htpasswd "$1"
}
