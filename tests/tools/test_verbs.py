"""reconcile-host: built from the scripts, closed to calls without a signature; how it checks units, env and routes.

The guard runs here in a shell, as on a host, but for what asks the host's own files. tests/hosts/test_break_out.py
tries it as a whole, over ssh.
"""

from __future__ import annotations

import dataclasses
import re
import shutil
import subprocess
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from reconciler.apply.runner import tar_of
from reconciler.host.transport import Command
from reconciler.model.desired import Sandbox
from reconciler.model.identity import Identity
from reconciler.model.machine import Layout
from reconciler.model.route import Headers, Route, TcpRoute
from reconciler.model.secret import SecretRef
from reconciler.tools import file_forms, script_text, scripts
from reconciler.tools import host_program as verbs
from reconciler.tools.forms import FormUnknown, decide_blocks, form_of
from reconciler.tools.host_program import SignatureUnknown, read_signature, verb_file
from reconciler.tools.route_settings import RouteSettings
from reconciler.tools.systemd import UnitSettings, env_file, epmd_text, unit_text
from reconciler.tools.traefik import default_text, route_text

UNIT = UnitSettings("hello", Layout().model_dump(), Sandbox().model_dump(), 30, "512M", "none", "", True)
SHELL = shutil.which("dash") or "sh"


def judged(lines: str, stdin: bytes = b"") -> str:
    """The guard's complaint about these lines of shell; "" if it accepts them."""
    head = verb_file(Layout()).partition("[ $# -ge 2 ]")[0]
    done = subprocess.run([SHELL, "-c", f"{head}\n{lines}\n"], input=stdin, capture_output=True, check=False)
    return "" if done.returncode == 0 else done.stderr.decode().strip() or f"exit {done.returncode}"


def judged_file(function: str, text: str, tmp_path: Path, app: str = "hello") -> str:
    file = tmp_path / "file"
    file.write_bytes(text.encode("utf-8", "surrogateescape"))
    return judged(f"app={app}; {function} {file}")


def test_every_script_can_be_reached_or_is_named_here() -> None:
    """A new script needs a signature in its first line; without one only root runs it."""
    assert verbs.unreachable_scripts() == {}


def test_a_script_without_a_signature_cannot_be_called() -> None:
    """As is one with a word, or something on stdin, that nobody described."""
    for line in ("echo x", "# Does this and that.", "# change app sloth", "# plain app; stdin: anything"):
        with pytest.raises(SignatureUnknown):
            verbs._guard(read_signature(line))


def test_the_program_is_sound_sh() -> None:
    """It parses, for these folders and for others, and names its scripts."""
    for layout in (Layout(), Layout(releases="/data/a.b+c")):
        text = verb_file(layout)
        done = subprocess.run([SHELL, "-n"], input=text.encode(), capture_output=True, check=False)
        assert (done.returncode, done.stderr) == (0, b"")
        assert f"DIGEST={verbs.verbs_digest()}\n" in text


def test_both_ways_run_the_same_text() -> None:
    """Each script that root is sent stands in the program, line for line."""
    text = verb_file(Layout())

    for name, signature in verbs.verbs().items():
        if signature.shape in ("plain", "change"):
            assert f"{name})\n{script_text.strip_comments(script_text.own_text(name))};;\n" in text


def test_a_login_without_root_lets_the_host_choose_program_or_script() -> None:
    """In one command line: by the verb where the program is, with the whole script where it is not."""
    script = scripts.plain_script("history", "system")
    command = Command(script, ("/var/lib/reconcile", "hello; id"))

    assert "history" not in command.words(sudo=False)
    words = command.words(sudo=True)
    assert words[words.index("history") + 1] == verbs.verbs_digest()
    assert words[-4].endswith(script.text)
    assert words[-2:] == ["/var/lib/reconcile", "hello; id"]


# --- arguments


@pytest.mark.parametrize(
    ("kind", "good", "bad"),
    [
        ("number", ["0", "7", "999999999999"], ["", "08", "-1", "1 ", "1\n", "a", "0x1", "9" * 13]),
        (
            "slot",
            ["1024", "65535", "4000", "worker"],
            ["1023", "65536", "80", "Worker", "4000/..", "04000", "99999999999"],
        ),
        (
            "release",
            ["1.10-0123456789ab", "1.0.0-rc.1-0123456789ab", "a-000000000000"],
            [
                "-0123456789ab",
                "1..2-0123456789ab",
                "0123456789ab",
                "1/2-0123456789ab",
                "1-0123456789AB",
                "1-0123456789abc",
                " 1-0123456789ab",
            ],
        ),
        (
            "name",
            ["1.0-abc", ".incoming-1.0-abc", ".old-1", "1.0-abc.old"],
            ["", ".", "..", ".-x", "../x", "a/b", "-rf", "a..b", "~x"],
        ),
        ("invocation", ["", "0" * 32], ["0" * 31, "g" * 32, "0" * 33]),
        (
            "identity",
            ["1.0-ab/c/d", "1.0-ab/c/d/e", "unknown-0/unknown/unknown"],
            ["", "a/b", "/a/b/c", "a//b/c", "a/b/c/", "a/b/c/d/e", "a b/c/d"],
        ),
        (
            "word",
            ["hello:", "hello:4000", "hello:4000,4001", "hello:worker"],
            ["", "hello", "hello:22", "root:4000", "hello:4000:x", "hello:,", "hello:a"],
        ),
        ("any_app", ["hello", "a-b_c", "shop--worker-2"], ["a--b--c", "a---b", "a--", "--a", "../a", "x" * 32, "root"]),
        ("job", ["nightly", "re-index_2"], ["", "worker", "a--b", "a-", "4000", "../a", "A", "x" * 29, "-x", "a\nb"]),
        ("token", ["-", "12.34.ab.cd", "12.34..cd"], ["", "a b", "a\nb", "$x", "x" * 129]),
        ("holder", ["me@host:12", "a.b_c-d"], ["", "a b", "a;b"]),
    ],
)
def test_kinds_of_arguments(kind: str, good: list[str], bad: list[str]) -> None:
    """What is sound passes, all else does not."""
    asked = "".join(f"(is_{kind} {_quoted(each)}) && echo yes || echo no\n" for each in [*good, *bad])
    head = verb_file(Layout()).partition("[ $# -ge 2 ]")[0]
    done = subprocess.run([SHELL, "-c", f"{head}\n{asked}"], capture_output=True, text=True, check=False)

    assert done.stdout.split() == ["yes"] * len(good) + ["no"] * len(bad), done.stderr


def _quoted(text: str) -> str:
    return "'" + text.replace("'", "'\"'\"'") + "'"


# --- units


_NAMES = st.from_regex(r"[a-z][a-z0-9_-]{0,8}", fullmatch=True)
_SANDBOXES = st.builds(
    Sandbox,
    write_execute_memory=st.booleans(),
    devices=st.booleans(),
    home=st.booleans(),
    namespaces=st.booleans(),
    capabilities=st.sampled_from([(), ("CAP_NET_BIND_SERVICE",), ("CAP_NET_BIND_SERVICE", "CAP_IPC_LOCK")]),
    extra_writable_paths=st.sampled_from([(), ("/data/x",), ("/var/lib/hello-files", "/mnt/a.b+c")]),
)
_UNITS = st.builds(
    UnitSettings,
    app=st.sampled_from(["hello", "traefik", "hello--mailer"]),
    layout=st.just(Layout().model_dump()),
    sandbox=_SANDBOXES.map(lambda sandbox: sandbox.model_dump()),
    stop_seconds=st.integers(1, 3600),
    memory_max=st.sampled_from(["512M", "40%", "100%", "2G"]),
    cpu_max=st.sampled_from([None, "50%", "200%"]),
    distribution=st.sampled_from(["none", "sname", "name"]),
    node_host=st.sampled_from(["", "localhost", "10.0.0.5"]),
    has_port=st.booleans(),
    after=st.sampled_from([(), ("postgresql.service",), ("postgresql@15-main.service", "mnt-data.mount")]),
)


@settings(max_examples=10, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(unit=_UNITS)
def test_every_unit_that_we_write_is_accepted(unit: UnitSettings, tmp_path: Path) -> None:
    """Whatever an app may say of itself, within the capabilities and folders that make nobody root."""
    assert judged_file("sound_unit", unit_text(unit), tmp_path, unit.app) == ""


def test_a_process_runs_as_the_user_of_its_app_and_of_no_other(tmp_path: Path) -> None:
    """A deploy user who may choose the user would read the state of every app."""
    unit = unit_text(dataclasses.replace(UNIT, app="hello--mailer"))

    assert judged_file("sound_unit", unit, tmp_path, "hello--mailer") == ""
    for user in ("victim", "hello--mailer", "root"):
        spoiled = unit.replace("User=hello\n", f"User={user}\n").replace(
            "StateDirectory=hello\n", f"StateDirectory={user}\n"
        )
        assert "not of the form" in judged_file("sound_unit", spoiled, tmp_path, "hello--mailer"), user
    assert "is not on this host" in judged("STATE=/nonexistent; is_own_app hello--mailer")


def test_no_other_app_gets_the_unit_of_traefik(tmp_path: Path) -> None:
    """Nor Traefik that of another: each line that only one of them has is refused in the unit of the other."""
    of_an_app, of_traefik = (
        unit_text(dataclasses.replace(UNIT, app=app)).replace("traefik", "hello") for app in ("hello", "traefik")
    )
    only_traefiks = set(of_traefik.splitlines(keepends=True)) - set(of_an_app.splitlines(keepends=True))

    assert len(only_traefiks) > 10
    assert "not of the form" in judged_file("sound_unit", of_traefik, tmp_path)
    assert "not of the form" in judged_file("sound_unit", of_an_app.replace("hello", "traefik"), tmp_path, "traefik")
    for line in only_traefiks - {of_traefik.splitlines(keepends=True)[0]}:
        before = next(each for each in reversed(of_traefik.partition(line)[0].splitlines(True)) if each in of_an_app)
        spoiled = of_an_app.replace(before, before + line, 1)
        assert "not of the form" in judged_file("sound_unit", spoiled, tmp_path), line


@pytest.mark.parametrize("address", [None, "10.0.0.5"])
def test_the_port_mapper_unit_that_we_write_is_accepted(address: str | None, tmp_path: Path) -> None:
    text = epmd_text(Layout().releases, address)

    assert judged_file("sound_epmd", text, tmp_path) == ""
    assert "not of the form" in judged_file("sound_epmd", text.replace("DynamicUser=yes", ""), tmp_path)
    assert "not of the form" in judged_file("sound_epmd", text.replace("/srv/reconcile-epmd", "/tmp"), tmp_path)


def test_the_default_certificate_file_of_traefik_is_accepted(tmp_path: Path) -> None:
    assert judged_file("sound_default", default_text(), tmp_path) == ""
    assert "not of the form" in judged_file("sound_default", default_text() + "x\n", tmp_path)


def test_a_unit_with_a_removed_doubled_or_moved_line_is_refused(tmp_path: Path) -> None:
    """But for comments that are not there, a unit is taken as a whole or not at all."""
    lines = unit_text(UNIT).splitlines(keepends=True)
    optional = {
        "Environment=PORT=%i\n",
        "SystemCallFilter=~@privileged @resources\n",
    }  # of apps without ports, with rights
    spoiled = [lines[:i] + lines[i + 1 :] for i, line in enumerate(lines) if line not in optional]
    spoiled += [lines[: i + 1] + lines[i:] for i in range(len(lines))]
    spoiled += [
        [*lines[:i], lines[i + 1], lines[i], *lines[i + 2 :]] for i in range(len(lines) - 1) if lines[i] != lines[i + 1]
    ]
    form = tmp_path / "form"
    form.write_text(
        re.sub("@(APP|USER)@", "hello", file_forms._unit_form(Layout().model_dump(), proxy=False)).replace("\n", "\x01")
    )
    texts = tmp_path / "texts"
    texts.write_text("".join("".join(each).replace("\n", "\x01") + "\n" for each in [*spoiled, lines]))

    taken = subprocess.run(["grep", "-nxE", "-f", form, texts], capture_output=True, text=True, check=False).stdout

    assert [line.partition(":")[0] for line in taken.splitlines()] == [str(len(spoiled) + 1)]


@pytest.mark.parametrize(
    ("sandbox", "says"),
    [
        ({"capabilities": ("CAP_SYS_ADMIN",)}, "CAP_SYS_ADMIN"),
        ({"capabilities": ("CAP_NET_BIND_SERVICE", "CAP_SETUID")}, "CAP_SETUID"),
        ({"extra_writable_paths": ("/etc",)}, "/etc"),
        ({"extra_writable_paths": ("/data", "/var/lib/reconcile-x")}, "/var/lib/reconcile-x"),
        ({"extra_writable_paths": ("/var/lib",)}, "/var/lib"),
        ({"extra_writable_paths": ("/srv/other/releases",)}, "/srv/other/releases"),
    ],
)
def test_rights_that_only_root_gives_are_named(sandbox: dict[str, tuple[str, ...]], says: str, tmp_path: Path) -> None:
    """The message says which one it is."""
    unit = dataclasses.replace(UNIT, sandbox=Sandbox(**sandbox).model_dump())

    assert says in judged_file("sound_unit", unit_text(unit), tmp_path)


def test_a_template_with_a_new_line_fails_until_the_guard_knows_it() -> None:
    """Not on the host: its form must be written down first."""
    with pytest.raises(FormUnknown, match="colour"):
        form_of("a {{ colour }}\n", {})


def test_a_template_block_with_a_known_condition_keeps_one_side() -> None:
    """A block within another has no such sides: it fails here."""
    template = "{% if a -%}\nyes\n{% else -%}\nno\n{% endif -%}\n{% if not a -%}\nnot\n{% endif -%}\nend\n"

    assert decide_blocks(template, a=True) == "yes\nend\n"
    assert decide_blocks(template, a=False) == "no\nnot\nend\n"
    with pytest.raises(FormUnknown, match="within another"):
        decide_blocks("{% if a -%}\n{% if b -%}\nx\n{% endif -%}\n{% endif -%}\n", a=True)


# --- env and routes


_TEXTS = st.text(st.characters(blacklist_characters="\0", blacklist_categories=["Cs"]), max_size=40)


@settings(max_examples=15, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(values=st.dictionaries(st.from_regex(r"X[A-Z_]{0,5}", fullmatch=True), _TEXTS, max_size=4))
def test_every_env_that_we_write_is_accepted(values: dict[str, str], tmp_path: Path) -> None:
    """Every string: quotes, dollars, backslashes, line ends, Unicode."""
    text = env_file(Identity("1-0123456789ab", "e", "u"), values, tuple((key, "0" * 12) for key in values))

    assert judged_file("sound_env", text, tmp_path) == ""


@pytest.mark.parametrize(
    "text",
    [
        'LD_PRELOAD="x"\n',
        "A=b\n",
        'A="',
        'A="" B="c"\n',
        'A="$b"\n',
        'A="b\\\nc"\n',
        "\n",
        'A="b" \n',
        "A='b'\n",
        ' A="b"\n',
        'A="\0"\n',
        'export A="b"\n',
        'PATH="x\ny"\n',
        "# a comment\n",
        "# key A 0a\n",
        'A="b"\nA="c"\n',
        'B="b"\nA="c"\n',
        'A="b"',
        'A="b"\r\n',
        'RECONCILE_INSTANCE="x"\n',
    ],
)
def test_an_env_that_we_would_not_write_is_refused(text: str, tmp_path: Path) -> None:
    """Other quotes, none, expansions, and variables that are not an app's."""
    head = '# reconcile 1-0123456789ab/e/u\n# key A 0a\nRECONCILE_INSTANCE="1-0123456789ab/e/u"\n'

    assert judged_file("sound_env", head, tmp_path) == ""
    assert judged_file("sound_env", head + text, tmp_path) != ""
    assert judged_file("sound_env", 'A="b"\n', tmp_path) != ""
    assert judged_file("sound_env", head.replace("1-0123456789ab", "..", 2), tmp_path) != ""
    for kept in (1, 2):  # lines
        assert judged_file("sound_env", "".join(head.splitlines(keepends=True)[:kept]), tmp_path) != ""
    for spoiled in (" \\", "\r", "\rB", " x", "\nB", "=", "\n# x \\"):
        assert judged_file("sound_env", head.replace("# key A 0a", f"# key A 0a{spoiled}"), tmp_path) != "", spoiled


_DOMAINS = st.lists(st.from_regex(r"[a-z]{1,8}\.[a-z]{2,3}", fullmatch=True), min_size=1, max_size=3, unique=True)
_ROUTES = st.one_of(
    st.builds(
        Route,
        domains=_DOMAINS.map(tuple),
        tls=st.booleans(),
        path=st.sampled_from([None, "/api", "/a/b.c~d"]),
        headers=st.sampled_from(
            [
                Headers(),
                Headers(request={"X-A": 'b "c" \\d'}),
                Headers(response={"X-B": "c", "X-D": ""}),
                Headers(request={"X-A": "b"}, response={"X-B": "c"}),
            ]
        ),
        compress=st.booleans(),
    ),
    st.just(Route(domains=("a.test",), redirects={"www.a.test": "a.test"}, path="/api", strip_path=True)),
    st.just(Route(domains=("a.test",), allow_ips=("203.0.113.0/24", "2001:db8::/32"))),
    st.just(Route(domains=("a.test", "*.b.test"), protocol="h2c", path="/api", allow_ips=("203.0.113.0/24",))),
    st.just(Route(domains=("*.b.test",), basic_auth=SecretRef(secret="s"), pass_password_on=True)),
    st.builds(
        lambda tls, names: Route(
            tcp=TcpRoute(entry_point="postgres", tls=tls, domains=() if tls == "none" else tuple(names)),
            allow_ips=("10.0.0.0/8",),
        ),
        st.sampled_from(["none", "terminate", "passthrough"]),
        _DOMAINS,
    ),
)


@settings(max_examples=15, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    route=_ROUTES,
    resolver=st.sampled_from([None, "letsencrypt"]),
    users=st.sampled_from([(), ("me:$2y$05$" + "a" * 53,)]),
    slot=st.integers(1024, 65535),
    attempt=st.sampled_from([0, 2]),
    proxies=st.sampled_from([(), ("198.51.100.0/24", "2001:db8::/32")]),
)
def test_every_route_that_we_write_is_accepted(
    route: Route,
    resolver: str | None,
    users: tuple[str, ...],
    slot: int,
    attempt: int,
    proxies: tuple[str, ...],
    tmp_path: Path,
) -> None:
    """Domains, redirects, paths, headers, ranges, passwords, TCP; with and without certificates."""
    settings = RouteSettings("hello", route, "web", resolver, users, proxies, "/etc/traefik/dynamic/hello.htpasswd")

    assert judged_file("sound_route", route_text(settings, str(slot), attempt), tmp_path) == ""


@pytest.mark.parametrize(
    "names", ['"traefik"', '"TRAEFIK"', '"web", "traefik"', '"tr\\u0061efik"', '"tr\\x61efik"', ""]
)
def test_no_route_is_on_the_entry_point_of_traefiks_api(names: str, tmp_path: Path) -> None:
    """Nor on several, or on one whose name can be read otherwise."""
    text = route_text(RouteSettings("hello", Route(domains=("a.test",)), "web", None), "4000")
    assert judged_file("sound_route", text, tmp_path) == "" and 'entryPoints: ["web"]' in text

    assert judged_file("sound_route", text.replace('["web"]', f"[{names}]"), tmp_path) != ""


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("dynamic/hello.htpasswd", "dynamic/office.htpasswd"),
        ("/etc/traefik/dynamic/hello.htpasswd", "/etc/shadow"),
        ("dynamic/hello.htpasswd", "dynamic/helloxhtpasswd"),
        ("me:$2y$05$", "#me:$2y$05$"),
        ("me:$2y$05$", "me:"),
        ("me:$2y$05$", "http:\nme:$2y$05$"),
        (f"{'a' * 53}\n# end\n", f"{'a' * 53}\n"),
        (f"{'a' * 53}\n# end\n", f"{'a' * 53}\n# end\nmore\n"),
    ],
)
def test_passwords_that_we_would_not_write_are_refused(old: str, new: str, tmp_path: Path) -> None:
    """Another file than the app's own, names that Traefik skips, no hash, and what is cut off or goes on."""
    path = "/etc/traefik/dynamic/hello.htpasswd"
    text = route_text(
        RouteSettings("hello", Route(domains=("a.test",)), "web", None, ("me:$2y$05$" + "a" * 53,), (), path), "4000"
    )
    assert judged_file("sound_route", text, tmp_path) == "" and old in text

    assert judged_file("sound_route", text.replace(old, new), tmp_path) != ""


@pytest.mark.parametrize(
    ("text", "sound"),
    [
        ("bin/hello\n", True),
        ("hello\n", True),
        ("../x\n", False),
        ("bin/../../x\n", False),
        ("/etc/shadow\n", False),
        ("bin/x\nbin/y\n", False),
        ("bin/$x\n", False),
        ("bin/x", False),
        ("\n", False),
    ],
)
def test_the_program_that_is_started_is_a_path_in_the_release(text: str, sound: bool, tmp_path: Path) -> None:
    assert judged_file("sound_program", text, tmp_path) == (
        "" if sound else "reconcile-host: the program is no path in a release"
    )


@pytest.mark.parametrize("more", [(), ("epmd",)])
@pytest.mark.parametrize("with_program", [True, False])
def test_a_slot_may_come_with_the_program_that_is_started(
    more: tuple[str, ...], with_program: bool, tmp_path: Path
) -> None:
    names = sorted(("env", "unit", *more, *(["program"] if with_program else [])))
    (tmp_path / "in").write_bytes(tar_of(dict.fromkeys(names, "x\n")))
    sorted_names = 'printf "%s\\n" "$@" | sort | tr "\\n" " "'
    expected = " ".join(names) + " "
    script = f"""
        app=hello BOX={tmp_path}
        take() {{ :; }}
        judged_tar() {{ [ "$({sorted_names})" = '{expected}' ] || refuse "$*"; }}
        stdin_slot
    """

    assert judged(script) == ""
