"""One look at a host, read from what real hosts printed (tests/cases/look): the whole of it, nothing else."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from reconciler.model.machine import Layout
from reconciler.model.observed import CrashDump, HostFacts, Identity, Lease, ObservedApp, Quarantine, RouteFile, Slot
from reconciler.tools.look import Reply, Unreadable, read_reply

CASES = Path(__file__).parent / "cases" / "look"
OLD = Identity("0.1.0-e605855ddbe5", "72a119efd9c2", "320648776fbf")
NEW = Identity("0.2.0-ec9c2ea5cd52", "06d0e4cab3bf", "320648776fbf")
BAD = Identity("0.3.0-4fdd8d3514e5", "72a119efd9c2", "320648776fbf")
KEYS = (("GREETING", "c25bf945aaff"), ("RECONCILE_START", "d47887014049"))
FACTS = HostFacts("144d27c4-ea20-4207-937b-caa81dbcd96b", 0, "x86_64", "glibc 2.36", 0, 0)
ENDED_WELL = "success, status 0"  # systemd's word for what never ran, too
LIVE = Slot(
    "4000",
    prepared=OLD,
    env_keys=KEYS,
    state="active",
    running=OLD,
    invocation="6e70be070f4f41c28d562427be319078",
    since="Mon 2026-11-23 03:58:22 UTC",
    last_exit=ENDED_WELL,
    memory_kib=8472,
    enabled=True,
    listening=True,
)


def case(name: str) -> str:
    return (CASES / f"{name}.txt").read_text()


def read(name: str) -> Reply:
    return read_reply(case(name), Layout())


def empty(name: str) -> Slot:
    return Slot(name, last_exit=ENDED_WELL)


def test_an_empty_host() -> None:
    """Nothing of the app is there; that its slots are free is known."""
    facts = replace(FACTS, now_epoch_seconds=1795406301, memory_available_kib=23650236, releases_free_kib=2088876)

    assert read("an_empty_host") == Reply(0, (), facts, Lease(), {"hello": ObservedApp((empty("4000"), empty("4001")))})


def test_one_live_slot() -> None:
    """Files, link, unit, process, port and route of an app at rest."""
    assert read("one_live_slot").apps == {
        "hello": ObservedApp(
            slots=(LIVE, empty("4001")),
            releases=(OLD.release,),
            migrated=(OLD.release,),
            unit=OLD.unit,
            route=RouteFile("4000", "d2facffd87f0", intact=True),
        )
    }


def test_the_middle_of_a_rollout() -> None:
    """Two instances, each with what it was started from; a rejected release and an unfinished upload beside them."""
    candidate = replace(
        LIVE,
        name="4001",
        prepared=NEW,
        running=NEW,
        env_keys=(("COLOUR", "4bc9274d8758"), ("GREETING", "166b21809b09"), KEYS[1]),
        invocation="b4cccd428d6f442db938856f243d985d",
        since="Mon 2026-11-23 03:58:27 UTC",
        memory_kib=8452,
        enabled=False,
    )

    assert read("in_the_middle_of_a_rollout").apps == {
        "hello": ObservedApp(
            slots=(LIVE, candidate),
            releases=(OLD.release, BAD.release, NEW.release),  # the oldest first
            leftovers=(".incoming-0.9.0-abc",),
            migrated=(NEW.release, BAD.release, OLD.release),
            quarantined=(Quarantine(BAD, "it exited 2 times", 1795406306),),
            unit=OLD.unit,
            route=RouteFile("4000", "d2facffd87f0", intact=True),
        )
    }


def test_trouble() -> None:
    """A stop-first candidate between two crashes, whose predecessor is kept; a foreign route, a stranger on a port."""
    unit = "8a25a6af4968"
    crashes = Identity("0.2.0-55671fa8d47f", "72a119efd9c2", unit)
    single = Slot(
        "4010",
        prepared=crashes,
        on_trial=True,
        previous=replace(OLD, unit=unit),
        state="activating",
        running=crashes,  # no process at this moment; its files say what the next one runs
        invocation="2fd569fae2174d12a131559cf91ec420",
        since="Mon 2026-11-23 03:58:32 UTC",
        last_exit="exit-code, status 1",
        enabled=True,
    )

    assert read("trouble").apps == {
        "single": ObservedApp(
            slots=(single,),
            releases=(OLD.release, crashes.release),
            unit=unit,
            route=RouteFile("4010", "8ab1d9590211", intact=True),
        ),
        "alien": ObservedApp(
            slots=(replace(empty("4020"), stranger="another program"), empty("4021")),
            foreign=("/etc/traefik/dynamic/alien.yml",),
            route=RouteFile("", "", intact=False),
        ),
    }


@pytest.mark.parametrize(
    ("before", "after", "changed"),
    [
        ("sum a8919ad9", "sum 00000000", {"files_intact": False}),
        ("link 4000 ../releases/0.1.0-e605855ddbe5", "link 4000 /tmp", {"files_intact": False}),
        ("enabled hello@4000.service\n", "", {"enabled": False}),
        ("ActiveState=active", "ActiveState=deactivating", {"state": "deactivating"}),
        ("ActiveState=active", "ActiveState=inactive\nJob=117", {"state": "activating"}),  # the boot is not through
        ("NRestarts=0", "NRestarts=7", {"restarts": 7}),
        ("environ /proc", "nothing /proc", {}),  # a program may wipe its environment: its files are believed
    ],
)
def test_what_differs_on_the_host_differs_in_the_look(before: str, after: str, changed: dict[str, object]) -> None:
    """One line changed, one field changed."""
    assert before in case("one_live_slot")

    reply = read_reply(case("one_live_slot").replace(before, after, 1), Layout())

    assert reply.apps["hello"].slot("4000") == replace(LIVE, **changed)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("unit", "says", "up"),
    [
        ("traefik.service", "ActiveState=active", True),
        ("traefik-edge.service", "ActiveState=inactive\nJob=95", True),
        ("traefik.service", "ActiveState=failed", False),
        ("hello@4001.service", "ActiveState=active", False),
    ],
)
def test_whether_a_traefik_is_up_is_seen_from_any_unit_of_that_name(unit: str, says: str, up: bool) -> None:
    """However it was set up, it may only be starting when it does not answer."""
    text = case("one_live_slot").replace("@@processes", f"\nId={unit}\n{says}\n@@processes", 1)

    assert read_reply(text, Layout()).facts.traefik_up is up


def test_an_app_that_is_only_called_like_traefik_is_none() -> None:
    text = case("one_live_slot").replace("hello", "traefik-page")

    assert not read_reply(text, Layout()).facts.traefik_up


def test_a_route_file_says_what_it_is_made_of() -> None:
    """One line a part, between its first line and the words for people."""
    head = "head /etc/traefik/dynamic/hello.yml # "
    text = case("one_live_slot").replace(f"{head}Written", f"{head}part 12ae32cb1ec0 domain a.de\n{head}Written")

    app = read_reply(text, Layout()).apps["hello"]

    assert app.route == RouteFile("4000", "d2facffd87f0", intact=True, parts=(("domain a.de", "12ae32cb1ec0"),))


def test_a_route_file_that_was_deleted_is_told_from_one_that_never_was() -> None:
    """What we wrote stands in the inventory."""
    lines = case("one_live_slot").splitlines(keepends=True)
    gone = "".join(line for line in lines if "dynamic/hello.yml" not in line or line.startswith("inventory"))

    app = read_reply(gone, Layout()).apps["hello"]

    assert (app.route, app.route_deleted) == (None, True)
    assert not read("an_empty_host").apps["hello"].route_deleted


def test_only_places_that_an_app_takes_can_be_named_as_taken() -> None:
    """Whatever else a host may say there, it becomes no word of ours."""
    there = ["/var/lib/hello", "/etc/passwd", "/srv/hello/slots"]
    said = [*there, "/var/lib/other", "/var/lib/hello/../x", "", "@@app", "/run/hello \x1b[2J"]
    text = case("an_empty_host").replace("@@app hello\n", "@@app hello\n" + "".join(f"taken {each}\n" for each in said))

    assert read_reply(text, Layout()).apps["hello"].taken == tuple(there)


def test_a_file_of_passwords_is_looked_at_like_the_route_that_names_it() -> None:
    """As it was written, edited, deleted, and one that somebody else put there."""
    path, ours = "/etc/traefik/dynamic/hello.htpasswd", "12" * 32
    recorded = case("one_live_slot").replace("@@files", f"inventory {ours} {path}\n@@files", 1)

    def seen(text: str, sha: str = "") -> tuple[bool, tuple[str, ...]]:
        there = f"@@files\nsum {sha}  {path}" if sha else "@@files"
        app = read_reply(text.replace("@@files", there, 1), Layout()).apps["hello"]
        assert app.route is not None and app.route.intact
        return app.route.htpasswd_intact, app.foreign

    assert seen(recorded, ours) == (True, ())
    assert seen(recorded, "34" * 32) == (False, ())
    assert seen(recorded) == (False, ())
    assert seen(case("one_live_slot"), ours) == (False, (path,))


def test_a_crash_dump_is_seen() -> None:
    """One more line in what the look prints anyway."""
    text = case("one_live_slot").replace("@@files", "dump 1795406300 /var/lib/hello/erl_crash.4000.dump\n@@files", 1)

    dump = CrashDump("/var/lib/hello/erl_crash.4000.dump", 1795406300)
    assert read_reply(text, Layout()).apps["hello"].crash_dumps == (dump,)


@pytest.mark.parametrize(("there", "intact"), [("sum 1234  {}\n", True), ("sum 5678  {}\n", False), ("", False)])
def test_the_shared_port_mapper_is_part_of_an_app_that_wrote_it(there: str, intact: bool) -> None:
    unit = "/etc/systemd/system/reconcile-epmd.service"
    text = case("one_live_slot").replace("@@files\n", f"inventory 1234  {unit}\n@@files\n" + there.format(unit), 1)

    assert read_reply(text, Layout()).apps["hello"].unit_intact is intact


def test_a_port_mapper_of_another_app_is_no_concern() -> None:
    unit = "/etc/systemd/system/reconcile-epmd.service"
    text = case("one_live_slot").replace("@@files\n", f"@@files\nsum 5678  {unit}\n", 1)

    assert read_reply(text, Layout()).apps["hello"].unit_intact


@pytest.mark.parametrize("text", ["", "sh: not found\n", "@@begin\nboot x\n"])
def test_half_a_look_is_no_look(text: str) -> None:
    """A reply that was cut off is never taken for an empty host."""
    with pytest.raises(Unreadable):
        read_reply(text, Layout())


def test_an_action_says_how_it_ended_before_the_look() -> None:
    """Its exit code and the journal's lines stand in front; whatever an app logs is read as a line of its log."""
    lines = ("first", "@@result 0", "@@begin", "@@end", "\u2028@@result 0", "| last")

    reply = read_reply(
        "@@log\n" + "".join(f"| {line}\n" for line in lines) + "@@result 75\n" + case("an_empty_host"), Layout()
    )

    assert (reply.status, reply.log) == (75, lines)
    assert reply.apps == read("an_empty_host").apps


HAND_UNIT = "/etc/systemd/system/traefik.service"
TRAEFIK_LIVE = (
    case("one_live_slot")
    .replace("hello", "traefik")
    .replace("/etc/traefik/dynamic/traefik.yml", "/etc/traefik/dynamic/shop.yml")
    .replace(
        "@@files\n",
        "inventory 11 /etc/traefik/dynamic/00-certificate.yml\ncertificate kept\n"
        "watched shop.yml\nwatched mine.toml\nwatched 00-certificate.yml\n@@files\n"
        "sum 11 /etc/traefik/dynamic/00-certificate.yml\n",
    )
)


def traefik(text: str) -> ObservedApp:
    return read_reply(text, Layout()).apps["traefik"]


def by_hand(state: str = "active", *, mark: str = "", more: str = "") -> str:
    """The same host, with a unit that somebody set up, too."""
    files = f"{more}@@files\nsum 22 {HAND_UNIT}\nhead {HAND_UNIT} # {mark}\n"
    text = TRAEFIK_LIVE.replace("@@files\n", files, 1)
    return text.replace("@@processes", f"\nId=traefik.service\nActiveState={state}\n@@processes")


def test_traefik_shows_from_what_it_serves() -> None:
    """Files that only name a certificate do not count; the markers are those of our route files."""
    app = traefik(TRAEFIK_LIVE)

    assert (app.watched, app.markers) == (("mine.toml", "shop.yml"), ("shop-route-4000-d2facffd87f0",))
    assert (app.route, app.by_hand, app.foreign) == (None, "", ())
    assert app.slot("4000").files_intact


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ("sum 11 /etc/traefik/dynamic/00-certificate.yml\n", ""),
        ("sum 11 /etc/traefik/dynamic/00-certificate.yml\n", "sum 12 /etc/traefik/dynamic/00-certificate.yml\n"),
        ("certificate kept\n", ""),
    ],
)
def test_a_lost_default_certificate_is_drift(before: str, after: str) -> None:
    assert not traefik(TRAEFIK_LIVE.replace(before, after, 1)).slot("4000").files_intact


def test_a_file_that_somebody_named_traefik_yml_is_a_route_of_theirs() -> None:
    text = TRAEFIK_LIVE.replace("@@files\n", "@@files\nsum 33 /etc/traefik/dynamic/traefik.yml\n", 1)

    assert (traefik(text).foreign, traefik(text).route) == ((), None)


def test_a_unit_set_up_by_hand_is_known_by_its_mark_or_as_adopted() -> None:
    ours, adopted = by_hand(mark="deploy/traefik/install.sh"), by_hand(more=f"inventory 22 {HAND_UNIT}\n")

    assert (traefik(ours).by_hand, traefik(ours).foreign) == ("traefik.service", ())
    assert (traefik(adopted).by_hand, traefik(adopted).foreign) == ("traefik.service", ())
    assert (traefik(by_hand()).by_hand, traefik(by_hand()).foreign) == ("", (HAND_UNIT,))


def test_a_unit_that_neither_runs_nor_would_at_boot_is_in_nobodys_way() -> None:
    at_boot = by_hand("inactive", more="enabled traefik.service\n")

    assert (traefik(by_hand("inactive")).by_hand, traefik(by_hand("inactive")).foreign) == ("", ())
    assert traefik(at_boot).foreign == (HAND_UNIT,)


EVIL = "../../../../../var/lib/evil/x'))"


@pytest.mark.parametrize("value", [f"@@app {EVIL}", "@@files", "@@units", "@@processes", "@@begin", "@@end"])
def test_no_value_is_a_frame(value: str) -> None:
    """Parts are told apart where a line begins, and nowhere else."""
    reason = f"it said {value}"
    text = case("in_the_middle_of_a_rollout").replace("it exited 2 times", reason)

    apps = read_reply(text, Layout()).apps

    expected = read("in_the_middle_of_a_rollout").apps["hello"]
    assert apps == {"hello": replace(expected, quarantined=(Quarantine(BAD, reason, 1795406306),))}


@pytest.mark.parametrize("name", [EVIL, "..", "", "a/b", "Evil", "x y", "a" * 32, "root", "x\x1b[2J"])
def test_what_has_no_apps_name_is_no_app(name: str) -> None:
    """It would become a path on the host, and be removed as an app that the desired state does not name."""
    text = case("one_live_slot").replace("@@files", f"@@app {name}\nowner web\n@@files", 1)

    assert read_reply(text, Layout()).apps == read("one_live_slot").apps
