"""An unprivileged program on the host that listens on ports of another app and sends any configured answer."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from dataclasses import dataclass

from tests.hosts.machine import Machine
from tests.hosts.process import wait_until

# It tries for each of its ports until it has it. `keep`: never answer; `drip`: never end; else the bytes in the file.
PROGRAM = r"""
use strict; use warnings; use IO::Socket::IP; use IO::Select; use Socket;
my ($how, $address, @ports) = @ARGV;
my $body = do { local $/; open my $f, '<', "$ENV{CREDENTIALS_DIRECTORY}/answer" or die; <$f> };
$SIG{PIPE} = 'IGNORE'; $| = 1;
my (%held, @kept); my $select = IO::Select->new;
while (1) {
  for my $port (grep { !$held{$_} } @ports) {
    my $socket = IO::Socket::IP->new(LocalHost => $address, LocalPort => $port, Listen => 64, ReuseAddr => 1) or next;
    $held{$port} = $socket; $select->add($socket); print "has $port\n";
  }
  for my $socket ($select->can_read(0.01)) {
    my $client = $socket->accept or next;
    if ($how eq 'keep') { push @kept, $client; next }
    next if fork;
    sysread $client, my $request, 65536;
    print "asked: $1\n" if $request =~ /^(Cookie: .*?)\r/mi;
    print $client $how eq 'drip' ? "HTTP/1.1 200 OK\r\nContent-Length: 9000000000\r\n\r\n" : $body;
    while ($how eq 'drip') { print $client 'x' x 65536 or last }
    exit 0;
  }
  1 while waitpid(-1, 1) > 0;
}
"""


@dataclass(frozen=True)
class Squatter:
    """It runs as the unit `NAME.service`, by a user of its own."""

    machine: Machine
    name: str

    @property
    def said(self) -> str:
        return self.machine.run(f"journalctl --sync; journalctl -u {self.name} -o cat").stdout

    def wait_until_it_has(self, port: int) -> None:
        wait_until(lambda: f"has {port}\n" in self.said, 20, f"{self.name} has port {port}")


def http(body: bytes, status: str = "200 OK") -> bytes:
    return b"HTTP/1.1 %s\r\nContent-Length: %d\r\n\r\n%s" % (status.encode(), len(body), body)


@contextlib.contextmanager
def squatting(
    machine: Machine, *ports: int, answer: bytes = b"", how: str = "answer", address: str = "127.0.0.1"
) -> Iterator[Squatter]:
    """As long as the block lasts it holds these ports of an address, or waits until it can."""
    name = "squatter"
    machine.write("/usr/local/lib/squatter.pl", PROGRAM)
    machine.write("/root/answer", answer)
    words = f"{how} {address} {' '.join(map(str, ports))}"
    unit = f"--quiet --unit={name} -p DynamicUser=yes -p LoadCredential=answer:/root/answer"
    machine.run(f"systemd-run {unit} perl /usr/local/lib/squatter.pl {words}")
    try:
        yield Squatter(machine, name)
    finally:
        machine.run(f"systemctl stop {name}; systemctl reset-failed {name}; rm -f /root/answer", check=False)
