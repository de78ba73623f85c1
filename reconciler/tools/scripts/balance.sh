# change app; stdin: route. It lists instances of other hosts, too: each is proven and enabled there before it is named.
change() {
  receive
  begin_change "$1"
  write_route "$1"
}
