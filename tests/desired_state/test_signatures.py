"""With --allowed-signers, a commit that no listed key signed is reported and changes nothing."""

from __future__ import annotations

import asyncio
import os
import shutil
import subprocess
from pathlib import Path

import pytest

from reconciler.cli import read_options
from reconciler.desired_state.git.commit import CommitRefused
from reconciler.desired_state.git.follow import Follower, Revision
from reconciler.desired_state.git.remote import Remote
from reconciler.desired_state.git.signatures import read_signers, verify
from reconciler.desired_state.load import load_from
from reconciler.desired_state.origin import origin_of
from reconciler.errors import UsageError

HELLO = (
    'app: hello\nversion: {version}\nartifact: {{source: "/x-{{version}}.tgz"}}\nhosts: [web1]\nports: [4000, 4001]\n'
)


class Team:
    """A repository, the keys of several people, and the allowed-signers file."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.repository = folder / "repository"
        self.signers = folder / "signers"
        self.git("init", "-q", "-b", "main", str(self.repository), folder=folder)
        for name in ("ann", "ben", "eve"):
            self.make_key(name)
        self.allow("ann", "ben")

    def make_key(self, name: str) -> None:
        words = ["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", name, "-f", str(self.folder / name)]
        subprocess.run(words, check=True, stdin=subprocess.DEVNULL)

    def allow(self, *names: str) -> None:
        lines = [f'{name}@example.com namespaces="git" {(self.folder / f"{name}.pub").read_text()}' for name in names]
        self.signers.write_text("# who may sign\n" + "".join(lines))
        self.signers.chmod(0o600)

    def git(self, *words: str, folder: Path | None = None, by: str = "ann", stdin: bytes | None = None) -> str:
        who = ["-c", f"user.name={by}", "-c", f"user.email={by}@example.com", "-c", "commit.gpgsign=false"]
        key = ["-c", "gpg.format=ssh", "-c", f"user.signingkey={self.folder / by}"]
        run = subprocess.run(
            ["git", *who, *key, *words], cwd=folder or self.repository, check=True, capture_output=True, input=stdin
        )
        return run.stdout.decode().strip()

    def commit(self, version: str, by: str | None = "ann", *, name: str = "eve") -> str:
        """Commit, signed by `by`; None leaves the signature out."""
        path = self.repository / "desired-state/apps/hello.yaml"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(HELLO.format(version=version))
        self.git("add", "-A")
        self.git("commit", "-qm", version, "--allow-empty", *(["-S"] if by else []), by=by or name)
        return self.head()

    def head(self) -> str:
        return self.git("rev-parse", "HEAD")

    def rewritten(self, old: str, new: str) -> str:
        """The newest commit with part of its text replaced; the signature is unchanged."""
        text = self.git("cat-file", "commit", "HEAD").replace(old, new, 1) + "\n"
        commit = self.git("hash-object", "-w", "-t", "commit", "--stdin", stdin=text.encode())
        self.git("reset", "-q", "--hard", commit)
        return commit

    def verify(self, commit: str, since: str | None = None) -> str:
        return asyncio.run(verify(self.repository, commit, self.signers, since))

    def refused(self, commit: str, since: str | None = None) -> str:
        with pytest.raises(CommitRefused) as refused:
            self.verify(commit, since)
        assert refused.value.next_step
        return str(refused.value)


@pytest.fixture
def team(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Team:
    (tmp_path / "home").mkdir()
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    return Team(tmp_path)


# One repository


def test_a_signed_commit_is_accepted_and_unchecked_history_is_reported(team: Team) -> None:
    team.commit("1", by=None)
    commit = team.commit("2", by="ben")

    note = f"commit {commit[:7]} is signed by ben@example.com; only this commit was checked, not the ones before it"
    assert team.verify(commit) == note


def test_every_commit_since_the_last_one_is_checked(team: Team) -> None:
    since = team.commit("1", by=None)
    team.commit("2", by="ben")
    commit = team.commit("3")

    note = f"commit {commit[:7]} is signed by ann@example.com; so is every other commit since {since[:7]} (1 more)"
    assert team.verify(commit, since) == note
    assert team.verify(commit, commit).endswith("; no other commit came in since " + commit[:7])


def test_an_unsigned_commit_is_refused_and_named(team: Team) -> None:
    commit = team.commit("1", by=None)

    assert team.refused(commit) == (
        f"commit {commit[:7]} by eve <eve@example.com> has no signature; nothing was changed"
    )
    with pytest.raises(CommitRefused) as refused:
        team.verify(commit)
    assert refused.value.next_step == (
        f"sign it with a key in {team.signers} (git commit --amend -S, or git rebase --exec for several) and push,"
        " or add the author's key there"
    )


def test_an_unsigned_commit_below_a_signed_one_is_refused(team: Team) -> None:
    since = team.commit("1")
    hidden = team.commit("2", by=None)
    commit = team.commit("3")

    assert team.refused(commit, since).startswith(f"commit {hidden[:7]} by eve <eve@example.com> has no signature")


def test_an_unsigned_commit_behind_a_signed_merge_is_refused(team: Team) -> None:
    """A walk along the first parents alone would miss it."""
    since = team.commit("1")
    team.git("checkout", "-qb", "side")
    hidden = team.commit("2", by=None)
    team.git("checkout", "-q", "main")
    team.git("merge", "-q", "--no-ff", "-S", "side", "-m", "merge")
    merge = team.head()

    assert team.refused(merge, since).startswith(f"commit {hidden[:7]} by eve")
    assert "signed by ann@example.com; only this commit" in team.verify(merge)


def test_a_branch_is_checked_from_where_it_forked(team: Team) -> None:
    base = team.commit("1", by=None)
    since = team.commit("2")
    team.git("checkout", "-qb", "side", base)
    (team.repository / "other").write_text("")
    team.commit("1", by="ben")
    team.git("checkout", "-q", "main")
    team.git("merge", "-q", "--no-ff", "-S", "side", "-m", "merge")

    assert team.verify(team.head(), since).endswith(f"so is every other commit since {since[:7]} (1 more)")


def test_a_commit_signed_by_an_unlisted_key_is_refused(team: Team) -> None:
    commit = team.commit("1", by="eve")

    assert "is signed with a key that is not on the list" in team.refused(commit)


def test_a_removed_key_is_no_longer_accepted(team: Team) -> None:
    commit = team.commit("1", by="ben")
    team.verify(commit)
    team.allow("ann")

    assert "not on the list (or no longer is)" in team.refused(commit)


def test_an_expired_key_is_refused(team: Team) -> None:
    commit = team.commit("1")
    key = (team.folder / "ann.pub").read_text()
    team.signers.write_text(f'ann@example.com namespaces="git",valid-before="20200101" {key}')

    assert "not on the list" in team.refused(commit)


def test_a_signature_made_for_another_purpose_is_refused(team: Team) -> None:
    """The key may sign files, not commits."""
    commit = team.commit("1")
    team.signers.write_text(f'ann@example.com namespaces="file" {(team.folder / "ann.pub").read_text()}')

    assert "has a signature that does not match it" in team.refused(commit)


@pytest.mark.parametrize(
    ("old", "new", "why"),
    [
        ("\n\n1", "\n\n2", "has a signature that does not match it"),
        ("author ann", "author eve", "has a signature that does not match it"),
        ("BEGIN SSH SIGNATURE", "BEGIN PGP SIGNATURE", "is signed with PGP or X.509"),
        ("BEGIN SSH SIGNATURE", "BEGIN SIGNED MESSAGE", "is signed with PGP or X.509"),
        ("gpgsig -----BEGIN SSH SIGNATURE-----", "gpgsig nonsense", "has a signature that cannot be read"),
        ("U1NIU0lH", "U1NIU0lI", "has a"),
    ],
)
def test_a_commit_changed_after_signing_is_refused(team: Team, old: str, new: str, why: str) -> None:
    team.commit("1")

    assert why in team.refused(team.rewritten(old, new))


def test_an_unreadable_signature_does_not_make_git_accept_another_commit(team: Team) -> None:
    since = team.commit("1")
    team.commit("2")
    bad = team.rewritten("gpgsig -----BEGIN SSH SIGNATURE-----", "gpgsig nonsense")
    commits = [team.commit(str(number)) for number in range(3, 7)]

    assert bad[:7] in team.refused(bad, since)
    team.refused(commits[-1], since)


def test_the_configured_pgp_program_is_never_run(team: Team) -> None:
    """The keyring of the user who runs reconcile may trust people who are not on the list."""
    team.commit("1", by="eve")
    commit = team.rewritten("BEGIN SSH SIGNATURE", "BEGIN PGP SIGNATURE")
    program = team.folder / "gpg"
    program.write_text(
        "#!/bin/sh\necho '[GNUPG:] GOODSIG 1234567890ABCDEF ann'\necho '[GNUPG:] TRUST_ULTIMATE 0 pgp'\n"
    )
    program.chmod(0o755)
    for key in ("gpg.program", "gpg.openpgp.program"):
        team.git("config", "--global", key, str(program))
        team.git("config", key, str(program))

    assert "PGP" in team.refused(commit)


def test_the_configured_ssh_signing_program_is_never_run(team: Team) -> None:
    commit = team.commit("1", by="eve")
    program = team.folder / "yes"
    program.write_text("#!/bin/sh\necho 'Good \"git\" signature for ann@example.com with ED25519 key SHA256:x'\n")
    program.chmod(0o755)
    team.git("config", "gpg.ssh.program", str(program))
    team.git("config", "gpg.ssh.allowedSignersFile", str(team.folder / "eve.pub"))

    assert "not on the list" in team.refused(commit)


def test_a_signed_tag_does_not_make_its_commit_signed(team: Team) -> None:
    commit = team.commit("1", by=None)
    team.git("tag", "-s", "v1", "-m", "v1")

    assert "has no signature" in team.refused(commit)


def test_replace_refs_and_grafts_are_ignored(team: Team) -> None:
    """Either could hide a commit from the check."""
    since = team.commit("1")
    hidden = team.commit("2", by=None)
    commit = team.commit("3")
    team.git("replace", "--graft", commit, since)
    (team.repository / ".git/info").mkdir(exist_ok=True)
    (team.repository / ".git/info/grafts").write_text(f"{commit} {since}\n")

    assert hidden[:7] in team.refused(commit, since)


def test_an_incomplete_history_is_refused(team: Team) -> None:
    since = team.commit("1")
    team.commit("2", by=None)
    commit = team.commit("3")
    team.git("clone", "-q", "--depth=1", f"file://{team.repository}", "shallow", folder=team.folder)
    with pytest.raises(CommitRefused, match="is incomplete here"):
        asyncio.run(verify(team.folder / "shallow", commit, team.signers, since))


def test_an_author_cannot_garble_a_terminal(team: Team) -> None:
    team.commit("1", by=None)
    commit = team.rewritten("author eve", "author \x1b[2J\x07eve")

    assert team.refused(commit).isprintable()


# The list of signers


def test_a_signers_file_inside_the_repository_is_refused(team: Team) -> None:
    """Anyone who can commit could add a key to it; the same holds for a link to it."""
    inside = team.repository / "signers"
    shutil.copy(team.signers, inside)
    (team.folder / "link").symlink_to(inside)
    commit = team.commit("1")
    for path in (inside, team.folder / "link"):
        with pytest.raises(UsageError, match="is inside the repository that it judges"):
            asyncio.run(verify(team.repository, commit, path))


def test_a_signers_file_can_be_in_a_home_that_is_a_repository(team: Team) -> None:
    """Only the checked repository matters, and a bare one has no working tree."""
    commit = team.commit("1")
    team.git("clone", "-q", "--bare", str(team.repository), "bare.git", folder=team.folder)
    team.git("init", "-q", str(team.folder))

    assert "is signed by ann" in asyncio.run(verify(team.folder / "bare.git", commit, team.signers))
    assert newest(following(team)).commit == commit


def test_a_signers_file_inside_the_followed_repository_is_refused(team: Team) -> None:
    team.commit("1")
    shutil.copy(team.signers, team.repository / "signers")
    with pytest.raises(UsageError, match="is inside the repository"):
        newest(Follower(Remote(str(team.repository), "main"), team.repository / "signers"))


def test_a_signers_file_without_a_signer_is_refused(team: Team) -> None:
    team.signers.write_text("# nobody\n\n")
    with pytest.raises(UsageError, match="is empty"):
        read_signers(team.signers)


@pytest.mark.parametrize("mode", [0o660, 0o606])
def test_a_signers_file_that_others_can_write_is_refused(team: Team, mode: int) -> None:
    team.signers.chmod(mode)
    with pytest.raises(UsageError, match="can be written by others") as refused:
        read_signers(team.signers)

    assert "chmod" in refused.value.next_step


@pytest.mark.parametrize("name", ["missing", "folder", "pipe"])
def test_a_signers_path_that_is_not_a_file_is_refused(tmp_path: Path, name: str) -> None:
    (tmp_path / "folder").mkdir()
    os.mkfifo(tmp_path / "pipe", 0o600)
    with pytest.raises(UsageError):
        read_signers(tmp_path / name)


# Following a remote


def following(team: Team, *, allow_step_back: bool = False) -> Follower:
    return Follower(Remote(str(team.repository), "main"), team.signers, allow_step_back)


def newest(follower: Follower, *applied: str) -> Revision:
    return asyncio.run(follower.find_newest(applied))


def version(revision: Revision) -> str:
    return load_from(revision.mirror, revision.commit, revision.folder).apps[0].version


def test_an_unsigned_commit_is_reported_and_changes_nothing(team: Team) -> None:
    good = team.commit("1")
    follower = following(team)
    first = newest(follower)
    bad = team.commit("2", by=None)

    assert first.notes[0].startswith(f"commit {good[:7]} is signed by ann@example.com; only this commit was checked")
    for each in (follower, follower, following(team)):
        revision = newest(each)
        assert (revision.commit, version(revision)) == (good, "1")
        assert str(revision.problem).startswith(f"commit {bad[:7]} by eve <eve@example.com> has no signature")
    team.commit("3")
    assert "has no signature" in str(newest(follower).problem), "a signed one on top of it does not help"
    team.git("reset", "-q", "--hard", good)
    fixed = team.commit("4", by="ben")
    assert (newest(follower).commit, newest(follower).problem) == (fixed, None)


def test_an_unsigned_first_commit_is_an_error(team: Team) -> None:
    team.commit("1", by=None)
    with pytest.raises(CommitRefused, match="has no signature"):
        newest(following(team))


def test_an_unsigned_commit_hidden_between_two_polls_is_found(team: Team) -> None:
    team.commit("1")
    follower = following(team)
    newest(follower)
    hidden = team.commit("2", by=None)
    for number in range(3, 6):
        team.commit(str(number))

    assert hidden[:7] in str(newest(follower).problem)


def test_without_a_cache_checking_starts_at_the_commit_the_hosts_run(team: Team) -> None:
    applied = team.commit("1")
    for number in range(70):
        team.git("commit", "-qm", str(number), "--allow-empty", "-S")
    good = team.head()
    assert newest(following(team), applied).notes[0].endswith(f"so is every other commit since {applied[:7]} (69 more)")

    shutil.rmtree(team.folder / "cache")
    hidden = team.commit("2", by=None)
    team.commit("3")
    with pytest.raises(CommitRefused, match=hidden[:7]):
        newest(following(team), good)


def test_a_merge_of_an_old_branch_is_checked_with_as_much_history_as_it_takes(team: Team) -> None:
    """The mirror starts with one commit; the merged branch forked long before it, among unsigned commits."""
    base = team.commit("0", by=None)
    for number in range(80):
        team.git("commit", "-qm", str(number), "--allow-empty")
    team.commit("1")
    follower = following(team)
    newest(follower)
    team.git("checkout", "-qb", "side", base)
    (team.repository / "other").write_text("")
    team.commit("0", by="ben")
    team.git("checkout", "-q", "main")
    team.git("merge", "-q", "--no-ff", "-S", "side", "-m", "merge")
    revision = newest(follower)

    assert (revision.commit, revision.problem) == (team.head(), None)
    assert revision.notes[0].endswith("(1 more)")


def test_an_older_commit_is_refused_even_if_it_is_signed(team: Team) -> None:
    older = team.commit("1")
    newer = team.commit("2")
    follower = following(team)
    newest(follower)
    team.git("reset", "-q", "--hard", older)
    revision = newest(follower)

    assert (revision.commit, "is older than" in str(revision.problem)) == (newer, True)


def test_a_rewritten_branch_is_checked_from_where_it_diverges(team: Team) -> None:
    base = team.commit("1")
    team.commit("2")
    follower = following(team)
    newest(follower)
    team.git("reset", "-q", "--hard", base)
    hidden = team.commit("3", by=None)
    team.commit("4")

    assert hidden[:7] in str(newest(follower).problem)


def test_the_same_commit_is_checked_again_when_the_signers_file_changes(team: Team) -> None:
    team.commit("1", by="ben")
    follower = following(team)
    newest(follower)
    team.allow("ann")
    with pytest.raises(CommitRefused, match="no longer is"):
        newest(follower)

    team.allow("ann", "ben")
    assert newest(follower).problem is None


def test_an_unreadable_signers_file_is_an_error(team: Team) -> None:
    team.commit("1")
    follower = following(team)
    newest(follower)
    team.signers.unlink()
    with pytest.raises(UsageError):
        newest(follower)


def test_a_commit_followed_without_signers_does_not_count_as_checked(team: Team) -> None:
    team.commit("1", by=None)
    newest(Follower(Remote(str(team.repository), "main")))
    with pytest.raises(CommitRefused, match="has no signature"):
        newest(following(team))

    team.commit("2")
    assert newest(following(team)).notes[0].endswith("only this commit was checked, not the ones before it")


def test_a_local_folder_is_checked_at_each_load_and_plain_files_are_never_accepted(team: Team) -> None:
    """A watch reads the folder for months, and the repository may be removed meanwhile."""
    team.commit("1")
    words = ["--desired-state", str(team.repository / "desired-state"), "--allowed-signers", str(team.signers)]
    origin = origin_of(read_options(words), lasting=True)
    assert asyncio.run(origin.read()).revision

    team.commit("2", by=None)
    with pytest.raises(CommitRefused, match="has no signature") as refused:
        asyncio.run(origin.read())
    assert refused.value.revision == team.git("rev-parse", "HEAD")

    (team.repository / ".git").rename(team.folder / "elsewhere")
    with pytest.raises(UsageError, match="needs commits, and these are files"):
        asyncio.run(origin.read())
    with pytest.raises(UsageError, match="needs commits, and these are files"):  # nor does a watch begin
        origin_of(read_options(words), lasting=True)
