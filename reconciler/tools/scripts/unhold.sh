# change app: nobody waits any more, and the route does not name the place where visitors waited
change() {
  begin_change "$1"
  drop_hold "$1"
}
