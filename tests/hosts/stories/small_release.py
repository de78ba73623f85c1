"""A small release: an HTTP server in the perl that every Debian has, started by sh. It boots in 30 ms.

`bin/app start` serves `/`, `/ping`, `/version`, `/env/NAME`, `/header/NAME`, `/slow?seconds=3` and POST `/echo` on
$BIND or 127.0.0.1, at $PORT; `bin/app work` runs without a port; `bin/app migrate` notes version and GREETING in
$STATE_DIRECTORY/migrations.
A behaviour is an environment variable (FAIL_BOOT, NEVER_HEALTHY, DIE_AFTER_SECONDS, FAIL_MIGRATE) or is built in. With
DATABASE_PORT it exits, at boot and later, when nothing listens there. LISTEN_ON is another address to listen on.
For WARM_UP_SECONDS it answers 503 to everything.
A hostile one: RUN_FIRST is run by sh before the server, RAW_ANSWER is all that `/ping` answers.
"""

from __future__ import annotations

import tarfile
from pathlib import Path

from tests.support.releases import cached, member, write_members

START = """\
#!/bin/sh
cd "$(dirname "$0")/.." || exit 1
VERSION=$(cat VERSION); export VERSION
. ./behaviour
log() { echo "app $VERSION: $1"; }
case $1 in
  start)
    [ -z "$FAIL_BOOT" ] || { log "cannot reach the database${DATABASE_URL:+ $DATABASE_URL}"; exit 1; }
    [ -z "$RUN_FIRST" ] || eval "$RUN_FIRST"
    exec perl server.pl ;;
  work)
    [ -z "$FAIL_BOOT" ] || { log "no queue to work on"; exit 1; }
    log "works"
    trap 'exit 0' TERM
    while :; do sleep 0.2; done ;;
  migrate)
    [ -z "$FAIL_MIGRATE" ] || { log "column visits exists already"; exit 1; }
    echo "$VERSION $GREETING" >>"$STATE_DIRECTORY/migrations"
    log "migrated" ;;
esac
"""

SERVER = r"""
use strict; use warnings; use IO::Socket::INET; use IO::Socket::IP; use Time::HiRes 'sleep';
$| = 1; $SIG{CHLD} = 'IGNORE';
my ($version, $stopping) = ($ENV{VERSION}, 0);
sub check_database {
  return if IO::Socket::INET->new(PeerAddr => '127.0.0.1', PeerPort => $ENV{DATABASE_PORT}, Timeout => 1);
  print "app $version: the database is away\n"; exit 1;
}
if ($ENV{DATABASE_PORT}) {
  check_database();
  $SIG{ALRM} = sub { check_database(); alarm 1 }; alarm 1;
}
my $listener = IO::Socket::IP->new(
  LocalHost => $ENV{LISTEN_ON} || $ENV{BIND} || '127.0.0.1', LocalPort => $ENV{PORT}, Listen => 512, ReuseAddr => 1)
  or do { print "app $version: cannot listen on $ENV{PORT}: $!\n"; exit 1 };
print "app $version: listens on $ENV{PORT}\n";
$SIG{TERM} = sub { exit 0 };
if ($ENV{DIE_AFTER_SECONDS}) {
  $SIG{ALRM} = sub { print "app $version: out of memory\n"; exit 1 };
  Time::HiRes::alarm($ENV{DIE_AFTER_SECONDS});
}
while (1) {
  my $client = $listener->accept or next;
  my $pid = fork;
  if ($pid) { close $client; next }
  close $listener; $SIG{TERM} = 'DEFAULT'; alarm 0;
  serve($client); exit 0;
}
sub serve {
  my $client = shift;
  while (my $line = <$client>) {
    my ($method, $target) = split ' ', $line;
    my %head;
    while (defined(my $field = <$client>)) {
      last if $field =~ /^\r?\n$/;
      $head{lc $1} = $2 if $field =~ /^([^:]+):\s*(.*?)\r?\n$/;
    }
    if (defined $ENV{RAW_ANSWER} && $target eq '/ping') { print $client "$ENV{RAW_ANSWER}\r\n\r\n"; last }
    my $body = '';
    read($client, $body, $head{'content-length'}) if $head{'content-length'};
    my ($status, $text) = answer($method, $target, $body, \%head);
    print $client "HTTP/1.1 $status X\r\nContent-Length: " . length($text) . "\r\n\r\n$text";
    $client->flush;
    last if lc($head{connection} // '') eq 'close';
  }
}
sub answer {
  my ($method, $target, $body, $head) = @_;
  return (503, "warming up\n") if time - $^T < ($ENV{WARM_UP_SECONDS} || 0);
  return (200, $body) if $target eq '/echo' && $method eq 'POST';
  return (200, ($ENV{GREETING} // 'Hello') . " from app $version\n") if $target eq '/';
  return $ENV{NEVER_HEALTHY} ? (503, "no database\n") : (200, 'pong') if $target eq '/ping';
  return (200, "$version\n") if $target eq '/version';
  if ($target =~ m{^/slow\?seconds=([\d.]+)}) { sleep $1; return (200, "slept $1 s\n") }
  return (200, $head->{lc $1} // '') if $target =~ m{^/header/([\w-]+)$};
  return (200, $ENV{$1}) if $target =~ m{^/env/(\w+)$} && defined $ENV{$1};
  return (404, "nothing here\n");
}
"""


def small_release(version: str, *, migrations: tuple[str, ...] = (), **behaviour: str | bool | float) -> Path:
    """The tarball of this version; `fail_boot=True` and the like build a behaviour in, which env may override.

    `migrations` are names of files in db/migrate, which nothing reads.
    """
    settings = {name.upper(): "1" if value is True else str(value) for name, value in sorted(behaviour.items())}
    lines = "".join(f'{name}=${{{name}-"{value}"}}; export {name}\n' for name, value in settings.items())
    files = {"bin/app": (0o755, START), "server.pl": (0o644, SERVER)}
    files |= {"VERSION": (0o644, f"{version}\n"), "behaviour": (0o644, lines)}
    files |= {f"db/migrate/{name}.rb": (0o644, "") for name in migrations}
    members = [member("bin", tarfile.DIRTYPE, mode=0o755)]
    members += [member(name, data=text.encode(), mode=mode) for name, (mode, text) in sorted(files.items())]
    parts = [part for info, data in members for part in (info.name, data)]
    return cached(f"small-{version}.tar.gz", lambda path: write_members(path, members), *parts)
