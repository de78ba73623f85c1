"""One look at a host, read from what real hosts printed (cases/look): the whole of it, nothing else."""

from __future__ import annotations

import platform
import subprocess
from dataclasses import replace
from pathlib import Path

import pytest

from reconciler.model.identity import Identity
from reconciler.model.machine import Layout
from reconciler.model.observed import (
    CHANGED,
    CrashDump,
    HostFacts,
    Lease,
    ObservedApp,
    Quarantine,
    RouteFile,
    Slot,
    UnitChange,
)
from reconciler.tools.look import Reply, Unreadable, _count_cores, read_reply
from tests.support.look_text import case, edited, framed, renamed, with_lines, without_lines

OLD = Identity("0.1.0-e605855ddbe5", "72a119efd9c2", "320648776fbf")
NEW = Identity("0.2.0-ec9c2ea5cd52", "06d0e4cab3bf", "320648776fbf")
BAD = Identity("0.3.0-4fdd8d3514e5", "72a119efd9c2", "320648776fbf")
KEYS = (("GREETING", "c25bf945aaff"), ("RECONCILE_START", "d47887014049"))
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


def read(name: str) -> Reply:
    return read_reply(case(name), Layout())


def empty(name: str) -> Slot:
    return Slot(name, last_exit=ENDED_WELL)


def test_a_look_at_an_empty_host() -> None:
    """Nothing of the app is there; that its slots are free is known."""
    facts = HostFacts(now_epoch_seconds=1795406301, memory_available_kib=23650236)

    assert read("an_empty_host") == Reply(0, (), facts, Lease(), {"hello": ObservedApp((empty("4000"), empty("4001")))})


def test_the_free_disk_is_that_of_the_releases() -> None:
    """In blocks, which are of any size; an old host, or one whose folder is gone, says nothing."""
    told = with_lines(case("an_empty_host"), "host", "disk 1000 4000 8192")

    assert (read("an_empty_host").facts.disk_kib, read_reply(told, Layout()).facts.disk_free_kib) == (0, 8000)
    with pytest.raises(Unreadable):
        read_reply(with_lines(case("an_empty_host"), "host", "disk -1 4000 8192"), Layout())


def test_a_look_at_one_live_slot() -> None:
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


def test_a_look_in_the_middle_of_a_rollout() -> None:
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


def test_a_look_at_a_host_in_trouble() -> None:
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
            slots=(replace(empty("4020"), stranger="another program", port_lost=True), empty("4021")),
            foreign=("/etc/traefik/dynamic/alien.yml",),
            route=RouteFile("", "", intact=False),
        ),
    }


@pytest.mark.parametrize(
    ("before", "after", "changed"),
    [
        ("a8919ad9", "00000000", {"files_intact": False, "running": replace(OLD, env=CHANGED, unit=CHANGED)}),
        (
            "link 4000 ../releases/0.1.0-e605855ddbe5",
            "link 4000 -",
            {"files_intact": False, "running": replace(OLD, release="unknown-0", env=CHANGED)},
        ),
        ("enabled 4000", "", {"enabled": False}),
        ("service active -", "service deactivating 117", {"state": "deactivating"}),
        ("service active", "service deactivating", {"state": "activating"}),  # it has ended by itself
        ("service active -", "service inactive 117", {"state": "activating"}),  # the boot is not through
        ("373 0 6e70", "373 7 6e70", {"restarts": 7}),
        # A program may wipe its environment, or fill it with something else: its files are believed.
        ("environ:RECONCILE_INSTANCE=0.1.0", "environ:RECONCILE_INSTANCE=a b", {}),
    ],
)
def test_each_difference_on_the_host_shows_in_the_look(before: str, after: str, changed: dict[str, object]) -> None:
    """One line changed, one field changed."""
    kind = "sums" if before == "a8919ad9" else ""

    reply = read_reply(edited(case("one_live_slot"), before, after, kind=kind), Layout())

    assert reply.apps["hello"].slot("4000") == replace(LIVE, **changed)  # type: ignore[arg-type]


NOTED = f"started 4000 {LIVE.invocation} {OLD.release} {OLD}"


@pytest.mark.parametrize(
    ("before", "after", "running"),
    [
        pytest.param("", "", OLD, id="the files say it, if nothing is noted"),
        pytest.param(
            "../releases/0.1.0-e605855ddbe5",
            f"../releases/{NEW.release}",
            replace(OLD, release=NEW.release, env=CHANGED),
            id="power cut between link and env",
        ),
        pytest.param(str(OLD), str(NEW), replace(OLD, env=CHANGED), id="it claims to be the new version"),
        pytest.param(
            "/proc/373/fd",
            f"/proc/373/fd socket:[9]\nfolder 1863 {NEW.release}\nsocket /proc/373/fd",
            OLD,
            id="of another pid",
        ),
        pytest.param(
            "/proc/373/fd",
            f"/proc/373/fd socket:[9]\nfolder 373 {NEW.release}\nsocket /proc/373/fd",
            replace(OLD, env=CHANGED),
            id="it is in another release",
        ),
    ],
)
def test_what_runs_is_what_its_files_say_unless_the_process_contradicts(
    before: str, after: str, running: Identity
) -> None:
    """Nothing that a process says of itself makes it count as what is desired; it can only lose that."""
    text = case("one_live_slot")
    kind = "processes" if before == str(OLD) or "/proc" in before else "app"
    text = edited(text, before, after, kind=kind) if before else text

    assert read_reply(text, Layout()).apps["hello"].slot("4000").running == running


@pytest.mark.parametrize(
    ("noted", "running"),
    [
        pytest.param(NOTED, OLD, id="noted"),
        pytest.param(
            NOTED.replace(OLD.release, NEW.release).replace(OLD.env, NEW.env), NEW, id="its files were changed since"
        ),
        pytest.param(NOTED.replace(f" {OLD}", " -"), Identity(OLD.release, CHANGED, CHANGED), id="of edited files"),
        pytest.param(NOTED.replace("6e70", "6e71"), replace(OLD, env=CHANGED), id="noted of an earlier run"),
    ],
)
def test_what_root_noted_of_a_run_counts_more_than_its_files_and_its_own_word(noted: str, running: Identity) -> None:
    text = edited(case("one_live_slot"), str(OLD), str(BAD), kind="processes")

    slot = read_reply(with_lines(text, "app", noted), Layout()).apps["hello"].slot("4000")

    assert slot.running == running


def test_a_release_may_lie_in_several_copies_of_which_the_newest_counts() -> None:
    """The process runs from the first, the link names the second, which is newer but not the newest."""
    copies = [f"release 1795406299 {OLD.release}~{number}" for number in (2, 10)]
    linked = edited(
        case("one_live_slot"), f"link 4000 ../releases/{OLD.release}", f"link 4000 ../releases/{OLD.release}~2"
    )
    damaged = [f"damaged {OLD.release}~2", f"damaged {OLD.release}~10"]

    app = read_reply(with_lines(linked, "app", NOTED, *copies, *damaged), Layout()).apps["hello"]

    assert app.releases == app.damaged == (OLD.release,)
    assert sorted(app.leftovers) == [f"{OLD.release}~1", f"{OLD.release}~2"]
    live = app.slot("4000")
    assert (live.running, live.prepared, live.files_intact) == (replace(OLD, release=f"{OLD.release}~1"), OLD, False)


OWN = "listen 4000 1863474 64000 "  # of hello@4000, by its user; then how near it is to what is sent to 127.0.0.1
USERS = ("user 64000 /var/lib/private/hello", "user 64001 /var/lib/private/evil")


@pytest.mark.parametrize(
    ("own", "others", "stranger", "lost"),
    [
        ("0", (), None, False),
        ("0", ("listen 4000 7 64001 2",), None, False),  # all of IPv6, beside it
        ("0", ("listen 4000 7 64001 3",), None, False),  # 127.0.0.2
        ("1", ("listen 4000 7 64001 2", "listen 4000 8 64001 3"), None, False),
        ("2", ("listen 4000 7 64001 0", *USERS), "the app evil", True),  # nearer than its own
        (None, ("listen 4000 7 64001 0", *USERS), "the app evil", True),
        (None, ("listen 4000 7 0 1", *USERS), "another program", True),
        (None, ("listen 4000 7 64000 0", *USERS), None, False),  # a process of its own that was not found among many
        (None, ("listen 4000 7 64001 0",), "another program", False),  # where no user tells whose it is
        (None, ("listen 4000 7 64001 3", *USERS), None, False),
    ],
)
def test_the_receiver_of_a_port_is_distinguished_from_other_listeners(
    own: str | None, others: tuple[str, ...], stranger: str | None, lost: bool
) -> None:
    reply = with_lines(without_lines(case("one_live_slot"), "^listen"), "processes", *others)
    if own:
        reply = with_lines(reply, "processes", OWN + own)

    slot = read_reply(reply, Layout()).apps["hello"].slot("4000")

    assert (slot.listening, slot.stranger, slot.port_lost) == (own is not None, stranger, lost)


@pytest.mark.parametrize(
    ("kinds", "listening", "elsewhere", "exposed"),
    [
        ("0", True, False, False),  # 127.0.0.1
        ("1", True, False, True),  # every address
        ("2", True, False, True),  # every address of IPv6
        ("3", False, True, False),  # ::1
        ("4", False, True, True),  # an address of the host
        ("04", True, False, True),
    ],
)
def test_the_addresses_that_an_app_listens_on_tell_who_reaches_it(
    kinds: str, listening: bool, elsewhere: bool, exposed: bool
) -> None:
    lines = [OWN + kind for kind in kinds]
    reply = with_lines(without_lines(case("one_live_slot"), "^listen"), "processes", *lines)

    slot = read_reply(reply, Layout()).apps["hello"].slot("4000")

    assert (slot.listening, slot.elsewhere, slot.exposed) == (listening, elsewhere, exposed)


def test_a_process_that_a_daemon_left_in_its_unit_is_no_other_program() -> None:
    """Its unit has no main process any more, and is about to be started again."""
    reply = edited(case("one_live_slot"), "service active", "service deactivating")
    reply = edited(reply, "process hello@4000.service", "child hello@4000.service")

    slot = read_reply(reply, Layout()).apps["hello"].slot("4000")

    assert (slot.listening, slot.stranger, slot.running_now) == (True, None, True)


def test_the_ports_of_an_instance_that_was_given_up_are_read_strictly() -> None:
    look = case("one_live_slot")

    assert read_reply(b"@@ ports - 10\n3000 8125 \n" + look, Layout()).other_ports == (3000, 8125)
    assert read_reply(b"@@ ports - 0\n\n" + look, Layout()).other_ports == ()
    assert read_reply(b"@@ ended - 4\nwell\n" + look, Layout()).ended_well and not read_reply(look, Layout()).ended_well
    with pytest.raises(Unreadable, match="the list of its ports is malformed"):
        read_reply(b"@@ ports - 4\n1;id\n" + look, Layout())


def test_an_instance_that_keeps_files_of_its_state_folder_open_is_seen() -> None:
    """Those of its main process, as the shell finds them: a database that a second instance would use as well."""
    reply = case("one_live_slot")

    assert not read_reply(reply, Layout()).apps["hello"].slot("4000").keeps_files
    for pid, keeps in (("373", True), ("99", False)):
        seen = read_reply(with_lines(reply, "processes", f"keeps /proc/{pid}/fd"), Layout())
        assert seen.apps["hello"].slot("4000").keeps_files is keeps


def test_an_app_that_took_a_port_is_identified_by_its_unit() -> None:
    """Where all apps are of one login, too."""
    reply = without_lines(case("one_live_slot"), "^(listen|socket|process|/proc)")
    reply = with_lines(reply, "units", "process evil@worker.service 99")
    reply = with_lines(reply, "processes", "listen 4000 7 1000 0", "socket /proc/99/fd socket:[7]")

    slot = read_reply(reply, Layout()).apps["hello"].slot("4000")

    assert (slot.stranger, slot.port_lost) == ("the app evil", True)


@pytest.mark.parametrize(
    ("unit", "says", "up"),
    [
        ("traefik.service", "active -", True),
        ("traefik-edge.service", "inactive 95", True),
        ("traefik.service", "failed -", False),
        ("hello@4001.service", "active -", False),
    ],
)
def test_any_unit_named_traefik_shows_whether_traefik_is_up(unit: str, says: str, up: bool) -> None:
    """However it was set up, it may only be starting when it does not answer."""
    text = with_lines(case("one_live_slot"), "units", f"unit {unit} {says} 0 0 - 0 success -")

    assert read_reply(text, Layout()).facts.traefik_up is up


def test_an_app_named_like_traefik_is_not_traefik() -> None:
    text = renamed(case("one_live_slot"), "hello", "traefik-page")

    assert not read_reply(text, Layout()).facts.traefik_up


def test_a_route_file_lists_the_digests_of_its_parts() -> None:
    """One line a part, between its first line and the words for people."""
    text = edited(case("one_live_slot"), "route # Written", "route # part 12ae32cb1ec0 domain a.de\nroute # Written")

    app = read_reply(text, Layout()).apps["hello"]

    assert app.route == RouteFile("4000", "d2facffd87f0", intact=True, parts=(("domain a.de", "12ae32cb1ec0"),))


def test_a_deleted_route_file_is_distinguished_from_one_never_written() -> None:
    """What we wrote stands in the inventory."""
    gone = without_lines(case("one_live_slot"), "^route|^[^i].*dynamic/hello.yml")

    app = read_reply(gone, Layout()).apps["hello"]

    assert (app.route, app.route_deleted) == (None, True)
    assert not read("an_empty_host").apps["hello"].route_deleted


def test_only_known_places_can_be_reported_as_taken() -> None:
    """Whatever else a host may say there, it becomes no word of ours."""
    there = ["/var/lib/hello", "/etc/passwd", "/srv/hello/slots"]
    said = [*there, "/var/lib/other", "/var/lib/hello/../x"]
    text = with_lines(case("an_empty_host"), "app", *(f"taken {each}" for each in said))

    assert read_reply(text, Layout()).apps["hello"].taken == tuple(there)
    for odd in ("", "@@app", "/run/hello \x1b[2J"):
        assert read_reply(with_lines(text, "app", f"taken {odd}"), Layout()).apps["hello"].unreadable


def test_a_password_file_is_looked_at_like_its_route() -> None:
    """As it was written, edited, deleted, and one that somebody else put there."""
    path, ours = "/etc/traefik/dynamic/hello.htpasswd", "12" * 32
    recorded = with_lines(case("one_live_slot"), "app", f"inventory {ours}  {path}")

    def seen(text: bytes, sha: str = "") -> tuple[bool, tuple[str, ...]]:
        there = with_lines(text, "sums", f"{sha}  {path}") if sha else text
        app = read_reply(there, Layout()).apps["hello"]
        assert app.route is not None and app.route.intact
        return app.route.htpasswd_intact, app.foreign

    assert seen(recorded, ours) == (True, ())
    assert seen(recorded, "34" * 32) == (False, ())
    assert seen(recorded) == (False, ())
    assert seen(case("one_live_slot"), ours) == (False, (path,))


def test_a_file_that_changes_a_unit_is_seen_with_its_settings_but_not_their_values() -> None:
    """Those settings first that the unit of reconcile makes, too. What the distribution brings is not among them."""
    unit, drop_in = "hello@4000.service", "/etc/systemd/system/hello@.service.d/over.conf"
    reply = with_lines(
        case("one_live_slot"),
        "units",
        f"dropin {unit} {drop_in}",
        f"dropin hello@4001.service {drop_in}",
        f"dropin {unit} -",
        "masked hello@4001.service /run/systemd/system/hello@4001.service",
        f"instead {unit} /etc/systemd/system/{unit}",
        "masked other@1.service -",
    )
    reply = with_lines(reply, "processes", f"sets {drop_in} Nice", f"sets {drop_in} User", f"sets {drop_in} User")

    assert read_reply(reply, Layout()).apps["hello"].unit_changes == (
        UnitChange("masked", "/run/systemd/system/hello@4001.service", ("4001",)),
        UnitChange("instead", f"/etc/systemd/system/{unit}", ("4000",)),
        UnitChange("dropin", "-", ("4000",)),
        UnitChange("dropin", drop_in, ("4000", "4001"), ("User",), ("Nice",)),
    )
    odd = with_lines(case("one_live_slot"), "units", f"dropin {unit} /etc/a b")
    assert read_reply(odd, Layout()).apps["hello"].unreadable, "and no other app is touched by it"


def test_a_mount_from_which_no_release_can_be_run_is_seen() -> None:
    reply = read_reply(with_lines(case("one_live_slot"), "host", "noexec /srv"), Layout())

    assert (reply.facts.noexec, read("one_live_slot").facts.noexec) == ("/srv", None)


def test_a_crash_dump_is_seen() -> None:
    """One more line in what the look prints anyway."""
    text = with_lines(case("one_live_slot"), "app", "dump 1795406300 4000")

    dump = CrashDump("/var/lib/hello/erl_crash.4000.dump", 1795406300)
    assert read_reply(text, Layout()).apps["hello"].crash_dumps == (dump,)


@pytest.mark.parametrize(("there", "intact"), [("12" * 32, True), ("56" * 32, False), ("", False)])
def test_the_shared_port_mapper_is_part_of_an_app_that_wrote_it(there: str, intact: bool) -> None:
    unit = "/etc/systemd/system/reconcile-epmd.service"
    text = with_lines(case("one_live_slot"), "app", f"inventory {'12' * 32}  {unit}")
    text = with_lines(text, "sums", f"{there}  {unit}") if there else text

    assert read_reply(text, Layout()).apps["hello"].unit_intact is intact


def test_a_port_mapper_of_another_app_is_ignored() -> None:
    unit = "/etc/systemd/system/reconcile-epmd.service"
    text = with_lines(case("one_live_slot"), "sums", f"{'56' * 32}  {unit}")

    assert read_reply(text, Layout()).apps["hello"].unit_intact


@pytest.mark.parametrize("text", [b"", b"sh: not found\n", b"@@ host - 6\nboot x\n", b"@@ host - 600\nboot x\n"])
def test_a_truncated_look_is_refused(text: bytes) -> None:
    """A truncated reply never counts as an empty host."""
    with pytest.raises(Unreadable):
        read_reply(text, Layout())


def test_a_reply_cut_at_any_point_is_refused() -> None:
    whole = case("in_the_middle_of_a_rollout")

    for length in range(len(whole)):
        with pytest.raises(Unreadable):
            read_reply(whole[:length], Layout())


def test_an_action_reply_starts_with_its_exit_code() -> None:
    """The exit code and the journal's lines come first; every log line of an app is read as a log line."""
    lines = ("first", "@@ result - 1", "0", "@@ end - 0", "\u2028@@ result - 1", "| last")

    before = framed([("log", "-", "\n".join(lines)), ("result", "-", "75")]).removesuffix(b"@@ end - 0\n\n")
    reply = read_reply(b"Created symlink\n" + before + case("an_empty_host"), Layout())

    assert (reply.status, reply.log) == (75, lines)
    assert reply.apps == read("an_empty_host").apps


HAND_UNIT = "/etc/systemd/system/traefik.service"
CERTIFICATE = "/etc/traefik/dynamic/00-certificate.yml"
TRAEFIK_LIVE = with_lines(
    with_lines(
        edited(
            without_lines(renamed(case("one_live_slot"), "hello", "traefik"), "^route|dynamic/traefik.yml"),
            "unit # Written",
            "served shop.yml # reconcile route slot=4000 digest=d2facffd87f0\nunit # Written",
        ),
        "app",
        f"inventory {'11' * 32}  {CERTIFICATE}",
        "certificate kept",
        *(f"watched {name}" for name in ("shop.yml", "mine.toml", "00-certificate.yml")),
    ),
    "sums",
    f"{'11' * 32}  {CERTIFICATE}",
)


def traefik(text: bytes) -> ObservedApp:
    return read_reply(text, Layout()).apps["traefik"]


def by_hand(state: str = "active", *, mark: str = "", more: str = "") -> bytes:
    """The same host, with a unit that somebody set up, too."""
    text = with_lines(TRAEFIK_LIVE, "app", f"hand # {mark}", *filter(None, [more]))
    text = with_lines(text, "sums", f"{'22' * 32}  {HAND_UNIT}")
    return with_lines(text, "units", f"unit traefik.service {state} - 0 0 - 0 success -")


def test_the_look_shows_which_files_traefik_serves() -> None:
    """Files that only name a certificate do not count; the markers are those of our route files."""
    app = traefik(TRAEFIK_LIVE)

    assert (app.watched, app.markers) == (("mine.toml", "shop.yml"), ("shop-route-4000-d2facffd87f0",))
    assert (app.route, app.by_hand, app.foreign) == (None, None, ())
    assert app.slot("4000").files_intact


@pytest.mark.parametrize(
    "text",
    [
        without_lines(TRAEFIK_LIVE, f"^{'11' * 32}"),
        edited(TRAEFIK_LIVE, "11" * 32, "12" * 32, kind="sums"),
        without_lines(TRAEFIK_LIVE, "certificate kept"),
    ],
)
def test_a_lost_default_certificate_is_drift(text: bytes) -> None:
    assert not traefik(text).slot("4000").files_intact


def test_a_file_that_somebody_named_traefik_yml_is_a_route_of_theirs() -> None:
    text = with_lines(TRAEFIK_LIVE, "sums", f"{'33' * 32}  /etc/traefik/dynamic/traefik.yml")

    assert (traefik(text).foreign, traefik(text).route) == ((), None)


def test_a_route_file_with_an_odd_name_counts_as_one() -> None:
    """Who is served by it needs Traefik, whatever it is called."""
    assert "-" in traefik(with_lines(TRAEFIK_LIVE, "app", "watched -")).watched


def test_a_hand_made_unit_is_recognized_by_its_mark_or_as_adopted() -> None:
    ours, adopted = by_hand(mark="deploy/traefik/install.sh"), by_hand(more=f"inventory {'22' * 32}  {HAND_UNIT}")

    assert (traefik(ours).by_hand, traefik(ours).foreign) == ("traefik.service", ())
    assert (traefik(adopted).by_hand, traefik(adopted).foreign) == ("traefik.service", ())
    assert (traefik(by_hand()).by_hand, traefik(by_hand()).foreign) == (None, (HAND_UNIT,))


def test_an_inactive_disabled_unit_does_not_conflict() -> None:
    at_boot = by_hand("inactive", more="hand enabled")

    assert (traefik(by_hand("inactive")).by_hand, traefik(by_hand("inactive")).foreign) == (None, ())
    assert traefik(at_boot).foreign == (HAND_UNIT,)


@pytest.mark.parametrize(("online", "cores"), [("", 0), ("0", 1), ("0-3", 4), ("0-1,4,6-7", 5), ("3-1", 1)])
def test_cores_are_counted_from_the_list_of_processors(online: str, cores: int) -> None:
    assert _count_cores(online) == cores


@pytest.mark.parametrize(
    ("machine", "arch"), [("x86_64", "amd64"), ("aarch64", "arm64"), ("riscv64", "riscv64"), ("", "")]
)
def test_the_processor_of_a_host_has_the_name_that_archives_use(machine: str, arch: str) -> None:
    text = with_lines(case("one_live_slot"), "host", f"machine {machine}") if machine else case("one_live_slot")

    assert read_reply(text, Layout()).facts.arch == arch


def test_the_look_tells_the_processor_of_this_machine() -> None:
    script = Path(__file__).parents[2] / "reconciler/tools/scripts/look.sh"
    text = f"read_lease() {{ :; }}\nROUTES=/\n. {script}\nlook_host"

    done = subprocess.run(["sh", "-c", text], capture_output=True, text=True, check=True)

    assert f"machine {platform.machine()}" in done.stdout.split("\n")
