"""Each refused line yields exactly one problem, which begins with file:line:column and the key."""

from __future__ import annotations

import pytest

from tests.support.desired_folder import HELLO, problems

pytestmark = pytest.mark.usefixtures("in_own_folder")


def with_line(line: str) -> str:
    """HELLO with this line in place of the one with the same key, or appended."""
    key = line.partition(":")[0]
    lines = HELLO.splitlines()
    if not any(old.startswith(f"{key}:") for old in lines):
        return HELLO + line
    return "\n".join(line if old.startswith(f"{key}:") else old for old in lines)


REFUSED_LINES = [
    # a line of the file, and how the problem begins after `apps/hello.yaml:`
    ("version: ../../etc", "2:10  version: '../../etc' cannot name a release"),
    ("version: $(id)", "2:10  version: '$(id)' cannot"),
    ("version: 1;reboot", "2:10  version: '1;reboot' cannot"),
    ("version: -1", "2:10  version: '-1' cannot"),
    ('version: "1\\0"', "2:10  version: '1\\x00' cannot"),
    ('version: "1\\n2"', "2:10  version: '1\\n2' cannot"),
    ('version: "1\\n"', "2:10  version: '1\\n' cannot"),
    ("version: 1..2", "2:10  version: '1..2' cannot"),
    ("version: 1.", "2:10  version: '1.' cannot"),
    ("version: a/b", "2:10  version: 'a/b' cannot"),
    ("version: '{{ env \"TOKEN\" }}'", "2:10  version: "),
    ("version: é", "2:10  version: 'é' cannot"),
    (f"version: {'1' * 65}", "2:10  version: is 65 characters long (at most 64)"),
    ("version: [1]", "2:10  version: must be text"),
    ("version:", "2:1  version: has no value"),
    ("version: ~", "2:10  version: has no value"),
    ("jobs: {nightly: {run: x, at: '0 3 * * *'}}", "6:30  jobs.nightly.at: "),
    ("jobs: {nightly: {run: x, at: '*-*-* 25:00'}}", "6:30  jobs.nightly.at: "),
    ("jobs: {nightly: {run: x, at: '*-*-* 03:00 Europe/Wien'}}", "6:30  jobs.nightly.at: "),
    ("jobs: {nightly: {run: x, host: web2}}", "6:32  jobs.nightly.host: web2 is not a host of hello; name one of web1"),
    ("jobs: {worker: {run: x}}", "6:8  jobs.worker: worker is the name of a slot"),
    ("jobs: {a--b: {run: x}}", "6:8  jobs.a--b: 'a--b' cannot name a job"),
    (
        "jobs: {reindex-all-the-products-x: {run: x}}",
        "6:36  jobs.reindex-all-the-products-x: its unit ",
    ),
    ("jobs: {nightly: {run: x, within_minutes: 0}}", "6:42  jobs.nightly.within_minutes: 0 is outside 1 to 10080"),
    ("jobs: {nightly: {at: hourly}}", "6:8  jobs.nightly.run: is missing"),
    ("jobs: {nightly: {run: x}, nightly: {run: y}}", "6:27  jobs.nightly: "),
    ("ports: [0]", "5:9  ports[0]: 0 is outside 1024 to 65535"),
    ("ports: [4000, 22]", "5:15  ports[1]: 22 is outside"),
    ("ports: [80]", "5:9  ports[0]: 80 is outside"),
    ("ports: [65536]", "5:9  ports[0]: 65536 is outside"),
    ("ports: [-1]", "5:9  ports[0]: -1 is outside"),
    ("ports: [4000-4001]", "5:9  ports[0]: '4000-4001' is not a whole number"),
    ("ports: [4000, 4000]", "5:15  ports[1]: 4000 is listed twice"),
    ("ports: [22:22]", "5:9  ports[0]: '22:22' is not a whole number"),
    ("ports: [0o7640]", "5:9  ports[0]: '0o7640' is not"),
    ("ports: [07640]", "5:9  ports[0]: '07640' is not"),
    ("ports: [0xfa0]", "5:9  ports[0]: '0xfa0' is not"),
    ("ports: [4_000]", "5:9  ports[0]: '4_000' is not"),
    ("ports: [4000.0]", "5:9  ports[0]: '4000.0' is not"),
    ("ports: [true]", "5:9  ports[0]: 'true' is not"),
    (f"ports: [{'9' * 5000}]", "5:9  ports[0]: is too large"),
    ("ports: [4000, 4001, 4002]", "5:8  ports: names 3 ports"),
    ("ports: 4000", "5:8  ports: must be a list"),
    ("ports: [4000, 8080]", "5:15  ports[1]: 8080 is the port of Traefik's API"),
    ("migrate_when: [GREETING]", "6:15  migrate_when: needs a migration"),
    ("before_migrate: bin/backup", "6:17  before_migrate: needs a migration"),
    ("after_rollout: {each_host: true}", "6:1  after_rollout.run: is missing"),
    ("after_rollout: {run: bin/x, each: true}", "6:29  after_rollout.each: is not a key"),
    ("after_rollout: {run: bin/x, each_host: yes}", "6:40  after_rollout.each_host: 'yes' is neither true nor false"),
    ("on_failure: [bin/x]", "6:13  on_failure: must be text"),
    ("hook_within_seconds: 0", "6:22  hook_within_seconds: 0 is outside 1 to 86400"),
    ("app: root", "1:6  app: root is a user or group of the system"),
    ("app: docker", "1:6  app: docker is a user or group of the system"),
    ("app: traefik", "1:6  app: traefik is a name that reconcile uses itself"),
    ("app: systemd-x", "1:6  app: systemd-x is a name of systemd"),
    ("app: getty", "1:6  app: getty is a unit of the system"),
    ("app: dpkg", "1:6  app: dpkg is a folder of the system"),
    ("app: Hello", "1:6  app: 'Hello' cannot name an app"),
    ("app: ../x", "1:6  app: '../x' cannot name an app"),
    (f"app: {'a' * 32}", "1:6  app: "),
    ("app: helo", "1:6  app: is helo, but the file is hello.yaml"),
    ("artifact: {source: 'http://h/x'}", "3:20  artifact.source: is not an https:// address"),
    ("artifact: {source: 'https://bob:pw@h/x'}", "3:20  artifact.source: contains a login"),
    ("artifact: {source: 'file:///x'}", "3:20  artifact.source: file: is not"),
    ("artifact: {source: 'ext::sh -c x'}", "3:20  artifact.source: ext: is not"),
    ("artifact: {source: 's3://b/x'}", "3:20  artifact.source: does not name an object in a bucket"),
    ("artifact: {source: 's3:bucket/x'}", "3:20  artifact.source: does not name an object in a bucket"),
    ("artifact: {source: 's3://bucket/../x'}", "3:20  artifact.source: has an empty part, . or .. in its key"),
    ("artifact: {source: 's3://bucket/a//x'}", "3:20  artifact.source: has an empty part, . or .. in its key"),
    ("artifact: {source: 'github:owner'}", "3:20  artifact.source: does not name a repository on GitHub"),
    ("artifact: {source: 'github://owner/repo'}", "3:20  artifact.source: does not name a repository on GitHub"),
    ("artifact: {source: 'github:owner/..'}", "3:20  artifact.source: does not name a repository on GitHub"),
    ("artifact: {source: 'github:owner/../x'}", "3:20  artifact.source: does not name a repository on GitHub"),
    ("artifact: {source: 'github:owner/repo/a/b'}", "3:20  artifact.source: does not name a repository on GitHub"),
    ("artifact: {source: 'github:owner/repo/..'}", "3:20  artifact.source: does not name a repository on GitHub"),
    ("artifact: {source: 'github:owner/repo@../x'}", "3:20  artifact.source: does not name a repository on GitHub"),
    ("artifact: {source: 'github:owner/repo?x'}", "3:20  artifact.source: does not name a repository on GitHub"),
    ("artifact: {source: 'oci://ghcr.io/o/r'}", "3:20  artifact.source: names no tag"),
    ("artifact: {source: 'oci://ghcr.io/O/r:1'}", "3:20  artifact.source: does not name an artifact in a registry"),
    ("artifact: {source: 'oci://ghcr/o/r:1'}", "3:20  artifact.source: does not name an artifact in a registry"),
    ("artifact: {source: 'oci://ghcr.io/../r:1'}", "3:20  artifact.source: does not name an artifact in a registry"),
    ("artifact: {source: 'oci://a@ghcr.io/o/r:1'}", "3:20  artifact.source: does not name an artifact in a registry"),
    ("artifact: {source: 'oci://ghcr.io/o/r:-1'}", "3:20  artifact.source: names a tag that no registry accepts"),
    ("artifact: {source: x, fetch: host}", "3:30  artifact.fetch: needs a published artifact"),
    ("artifact: {source: x, fetch: hosts}", "3:30  artifact.fetch: must be 'controller' or 'host'"),
    ("artifact: {source: x, minisign: abc}", "3:33  artifact.minisign: is not a public key of minisign"),
    (f"artifact: {{source: x, minisign: {'A' * 56}}}", "3:33  artifact.minisign: is not a public key of minisign"),
    ("artifact: {source: 'x-{vesion}'}", "3:20  artifact.source: '{vesion}' is not a placeholder"),
    ('artifact: {source: "a\\nb"}', "3:20  artifact.source: must be one line of text"),
    ("artifact: {source: x, sha256: abc}", "3:31  artifact.sha256: 'abc' is not a sha256 digest"),
    ("artifact: x", "3:11  artifact: must be a block of keys"),
    ("artifact: {}", "3:1  artifact.source: is missing"),
    ("hosts: []", "4:8  hosts: is an empty list"),
    ("hosts: [web1, web1]", "4:15  hosts[1]: web1 is listed twice"),
    ("hosts: [-oProxyCommand=x]", "4:9  hosts[0]: '-oProxyCommand=x' is not a host"),
    ("hosts: ['a b']", "4:9  hosts[0]: 'a b' is not a host"),
    ("hosts: [root@local]", "4:9  hosts[0]: local is this machine"),
    ("hosts: ['r@h:70000']", "4:9  hosts[0]: 'r@h:70000' has a port outside"),
    ("hosts: ['r@[1:2]']", "4:9  hosts[0]: '1:2' is not an IPv6 address"),
    ("hosts: [web1, root@web1]", "4:15  hosts[1]: root@web1 is the same machine as web1"),
    ("hosts: web1", "4:8  hosts: must be a list"),
    ("verison: 1", "6:1  verison: is not a key; did you mean version?"),
    ("Drain-Seconds: 1", "6:1  Drain-Seconds: is not a key; did you mean drain_seconds?"),
    ("domains: [x.de]", "6:1  domains: is not a key; did you mean route.domains?"),
    ("image: x", "6:1  image: is not a key; keys here: app, version, artifact"),
    ("env: {PORT: 1}", "6:7  env.PORT: cannot be set here; it is the slot's port"),
    ("env: {RELEASE_NODE: x}", "6:7  env.RELEASE_NODE: cannot be set here"),
    ("env: {RELEASE_TMP: x}", "6:7  env.RELEASE_TMP: cannot be set here"),
    ("env: {RECONCILE_X: x}", "6:7  env.RECONCILE_X: cannot be set here"),
    ("env: {PATH: x}", "6:7  env.PATH: cannot be set here"),
    ("env: {HOME: x}", "6:7  env.HOME: cannot be set here; systemd sets it"),
    ("env: {LD_PRELOAD: x}", "6:7  env.LD_PRELOAD: cannot be set here"),
    ("env: {NOTIFY_SOCKET: x}", "6:7  env.NOTIFY_SOCKET: cannot be set here"),
    ("env: {INVOCATION_ID: x}", "6:7  env.INVOCATION_ID: cannot be set here"),
    ("env: {1A: x}", "6:7  env.1A: '1A' is not the name of a variable"),
    ("env: {A-B: x}", "6:7  env.A-B: 'A-B' is not the name of a variable"),
    ('env: {"A\\nB": x}', "6:7  env.'A\\nB': "),
    ("env: {A: ~}", "6:10  env.A: has no value"),
    ("env: {A: }", "6:7  env.A: has no value"),
    ("env: {A: [x]}", "6:10  env.A: must be text"),
    ('env: {A: "x\\0"}', "6:10  env.A: contains a NUL character"),
    (f"env: {{A: {'é' * 65_501}}}", "6:10  env.A: is 131002 bytes long"),
    ("env: {A: {secret: ../x}}", "6:19  env.A.secret: is not the name of a secret"),
    ("env: {A: {scret: x, secret: y}}", "6:11  env.A.scret: is not a key; did you mean secret?"),
    ("env: {A: x, A: y}", "6:13  env.A: is a duplicate key"),
    ("env: text", "6:6  env: must be a block of keys"),
    ("health: {path: //evil}", "6:16  health.path: '//evil' is not a path"),
    ("health: {path: 'http://169.254.169.254/'}", "6:16  health.path: 'http://169.254.169.254/' is not"),
    ('health: {path: "/a\\r\\nX: y"}', "6:16  health.path: '/a\\r\\nX: y' is not"),
    ("health: {path: /a b}", "6:16  health.path: '/a b' is not"),
    ("health: {path: '/{{ env}}'}", "6:16  health.path: '/{{ env}}' is not"),
    ("health: {path: '/{{env}}'}", "6:16  health.path: '/{{env}}' is not"),
    ("health: {path: ping}", "6:16  health.path: 'ping' is not"),
    ("health: {healthy_within_seconds: 0}", "6:34  health.healthy_within_seconds: 0 is outside 1 to 3600"),
    ("health: {minimum_healthy_seconds: 61}", "6:35  health.minimum_healthy_seconds: 61 is more than"),
    (
        "route: {domains: [a.de, '{{ env \"X\" }}']}",
        "6:25  route.domains[1]: '{{ env \"X\" }}' is not a domain",
    ),
    ('route: {domains: ["x\\n  routers:"]}', "6:19  route.domains[0]: 'x\\n  routers:' is not a domain"),
    ("route: {domains: ['x`) || Host(`y']}", "6:19  route.domains[0]: 'x`) || Host(`y' is not"),
    ("route: {domains: ['*.de']}", "6:19  route.domains[0]: '*.de' is not a domain"),
    ("route: {domains: [a.de, A.de]}", "6:25  route.domains[1]: a.de is listed twice"),
    ("route: {domains: []}", "6:18  route.domains: is an empty list"),
    ("route: {domains: [a.de], tls: True}", "6:31  route.tls: 'True' is neither true nor false; write true"),
    ("route: {domains: [a.de], tls: off}", "6:31  route.tls: 'off' is neither true nor false; write false"),
    (
        "route: {domains: [a.de], tls: 0}",
        "6:31  route.tls: '0' is neither true nor false; write true or false",
    ),
    ("start: ''", "6:8  start: '' is not a command"),
    ('start: "a\\nb"', "6:8  start: 'a\\nb' is not a command"),
    ("drain_seconds: 10s", "6:16  drain_seconds: '10s' is not a whole number"),
    ("drain_seconds:", "6:1  drain_seconds: must be a whole number"),
    ("keep_releases: 1", "6:16  keep_releases: 1 is outside 2 to 100"),
    ("memory_max: much", "6:13  memory_max: 'much' is not an amount of memory"),
    ("cpu_max: 2", "6:10  cpu_max: '2' is not a share of a CPU core"),
    ("distribution: on", "6:15  distribution: must be 'none', 'sname' or 'name'"),
    ("sandbox: {devices: yes}", "6:20  sandbox.devices: 'yes' is neither true nor false"),
    ("sandbox: {extra_writable_paths: [/a/../b]}", "6:34  sandbox.extra_writable_paths[0]: '/a/../b' is not"),
    ("sandbox: {capabilities: [net]}", "6:26  sandbox.capabilities[0]: 'net' is not a capability"),
    ("migrate: &x bin/migrate", "6:10  migrate: anchors (&name) are not allowed"),
    ("migrate: !!python/name:os.system x", "6:10  migrate: tags (!name) are not allowed"),
]


@pytest.mark.parametrize(("line", "start"), REFUSED_LINES, ids=[line[:40] for line, _ in REFUSED_LINES])
def test_a_line_is_refused_with_its_place(line: str, start: str) -> None:
    """There is exactly one problem, and it begins with file:line:column and the key."""
    (problem,) = problems({"hello": with_line(line)})

    assert problem.startswith(f"apps/hello.yaml:{start}"), problem


REFUSED_FLEETS = [
    ("x", "1:1  must be a block of keys"),
    ("hosts: [a]", "1:8  hosts: must be a block of keys"),
    ("hosts: {a b: {address: x}}", "1:9  hosts.a b: 'a b' is not a host name"),
    ("hosts: {a: {adress: x, address: y}}", "1:13  hosts.a.adress: is not a key; did you mean address?"),
    ("hosts: {a: }", "1:9  hosts.a: has no value"),
    ("hosts: {a: {}}", "1:9  hosts.a.address: is missing"),
    ("hosts: {a: {address: 'x:22'}}", "1:22  hosts.a.address: 'x:22' is not"),
    ("hosts: {a: {address: -x}}", "1:22  hosts.a.address: '-x' is not an address"),
    ("hosts: {a: {address: x, user: -x}}", "1:31  hosts.a.user: '-x' is not a user name"),
    ("hosts: {a: {address: x, port: 0}}", "1:31  hosts.a.port: 0 is outside"),
    ("hosts: {a: {address: x, scope: usr}}", "1:32  hosts.a.scope: must be 'system' or 'user'"),
    ("hosts: {a: {address: x, user: root, scope: user}}", "1:31  hosts.a.user: root does not need scope user"),
    (
        "hosts: {a: {address: x, paths: {state: ~/s}}}",
        "1:40  hosts.a.paths.state: ~/s is below a home directory; write",
    ),
    ("hosts: {a: {address: x, scope: user, paths: {state: ~}}}", "1:53  hosts.a.paths.state: "),
    ("hosts: {a: {address: x, scope: user, paths: {state: ~/.config/reconcile}}}", "1:53  hosts.a.paths.state: "),
    ("hosts: {a: {address: local, user: x}}", "1:35  hosts.a.user: local is this machine"),
    ("hosts: {local: {address: x}}", "1:16  hosts.local: local always means this machine"),
    ("hosts: {a: {address: x}, b: {address: X}}", "1:29  hosts.b: is the same machine as a"),
    ("hosts: {a: {address: x, host_key: ssh-ed25519 AAAA}}", "1:35  hosts.a.host_key: is damaged"),
    (
        "hosts: {a: {address: x, host_key: x ssh-rsa}}",
        "1:35  hosts.a.host_key: 'x ssh-rsa' is not an OpenSSH",
    ),
    (
        "hosts: {a: {address: x, paths: {releases: srv}}}",
        "1:43  hosts.a.paths.releases: 'srv' is not a valid absolute",
    ),
    ("hosts: {a: {address: x, paths: {state: /a/../b}}}", "1:40  hosts.a.paths.state: '/a/../b' is not"),
    ("hosts: {a: {address: x, paths: {state: /a/}}}", "1:40  hosts.a.paths.state: '/a/' is not"),
    ("hosts: {a: {address: x, paths: {state: '/a b'}}}", "1:40  hosts.a.paths.state: '/a b' is not"),
    (
        "hosts: {a: {address: x, paths: {state: /srv}}}",
        "1:40  hosts.a.paths.state: /srv is also the folder for releases",
    ),
    (
        "hosts: {a: {address: x, paths: {env: /etc/traefik/dynamic/e}}}",
        "1:38  hosts.a.paths.env: /etc/traefik/dyn",
    ),
    ("traefik: {http_entry_point: '{{x}}'}", "1:29  traefik.http_entry_point: '{{x}}' is not a name"),
    ("traefik: {cert_resolver: 'a`b'}", "1:26  traefik.cert_resolver: 'a`b' is not a name"),
    ("defaults: {env: {PORT: 1}}", "1:18  defaults.env.PORT: cannot be set here"),
]


@pytest.mark.parametrize(("text", "start"), REFUSED_FLEETS, ids=[text for text, _ in REFUSED_FLEETS])
def test_a_fleet_is_refused_with_its_place(text: str, start: str) -> None:
    (problem,) = problems({"hello": HELLO}, fleet=text)

    assert problem.startswith(f"fleet.yaml:{start}"), problem
