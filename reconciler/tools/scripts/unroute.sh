# change app
change() {
  begin_change "$1"
  unroute "$1"
}
