"""deploy/ci: the very steps of the files, run against servers that speak the API of GitHub and GitLab."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.support.repository import Repository, app
from tests.support.review_server import ME, TOKEN, Reviews, review_server

CI = Path(__file__).parent.parent / "deploy" / "ci"
PROGRAMS = Path(sys.executable).parent
MARKER = "<!-- reconcile plan -->"
OURS: dict[str, str | int] = {"github": "github-actions[bot]", "gitlab": ME}
JOBS: dict[str, Any] = yaml.safe_load((CI / "github-actions.yml").read_text(encoding="utf-8"))["jobs"]
LAB: dict[str, Any] = yaml.safe_load((CI / "gitlab-ci.yml").read_text(encoding="utf-8"))

pytestmark = pytest.mark.skipif(not (shutil.which("curl") and shutil.which("jq")), reason="curl or jq is not here")


@dataclass
class Review:
    """One pull request or merge request: its repository, and where its plan is posted."""

    kind: str
    repository: Repository
    reviews: Reviews
    base: str
    head: str = ""
    token: str = TOKEN

    def run(self) -> subprocess.CompletedProcess[str]:
        """Run the steps of the job, or of both jobs, as the site does."""
        self.head = self.repository.git("rev-parse", "HEAD")
        return self._run_github() if self.kind == "github" else self._run_gitlab()

    def _run_github(self) -> subprocess.CompletedProcess[str]:
        output, summary = self.repository.root / ".git" / "output", self.repository.root / ".git" / "summary"
        output.write_text("")
        plan = _step(JOBS["validate"], "Plan what the change means")
        files = {"GITHUB_OUTPUT": str(output), "GITHUB_STEP_SUMMARY": str(summary)}
        done = self._bash(plan["run"], {"BASE": self.base, "HEAD": self.head, **files})
        assert done.returncode == 0, done.stderr
        outputs = _outputs(output.read_text(encoding="utf-8"))
        assert summary.read_text(encoding="utf-8").endswith(outputs["plan"] + "\n")
        comment = _step(JOBS["comment"], "Write the plan into one comment, or into the one that is there")
        names = {"GH_TOKEN": self.token, "NUMBER": "5", "PLAN": outputs["plan"], "CODE": outputs["code"]}
        where = {"GITHUB_API_URL": self.reviews.address, "GITHUB_REPOSITORY": "you/fleet"}
        assert set(comment["env"]) == set(names)
        return self._bash(comment["run"], names | where)

    def _run_gitlab(self) -> subprocess.CompletedProcess[str]:
        variables = {
            "CI_MERGE_REQUEST_DIFF_BASE_SHA": self.base,
            "CI_COMMIT_SHA": self.head,
            "CI_API_V4_URL": self.reviews.address,
            "CI_PROJECT_ID": "42",
            "CI_MERGE_REQUEST_IID": "5",
            "RECONCILE_NOTES_TOKEN": self.token,
        }
        return self._bash("\n".join(LAB["plan"]["script"]), variables)

    def _bash(self, script: str, variables: dict[str, str]) -> subprocess.CompletedProcess[str]:
        path = f"{PROGRAMS}:{os.environ['PATH']}"
        words = ["bash", "--noprofile", "--norc", "-eo", "pipefail", "-c", script]
        return subprocess.run(
            words, cwd=self.repository.root, env={"PATH": path, "HOME": "/nonexistent", **variables},
            capture_output=True, text=True, check=False, timeout=120,
        )  # fmt: skip


def _step(job: dict[str, Any], name: str) -> dict[str, Any]:
    return next(step for step in job["steps"] if step.get("name") == name)


def _outputs(text: str) -> dict[str, str]:
    """What GitHub reads from the file: `name=value`, and `name<<END` with lines up to END."""
    outputs = {found[1]: found[2] for found in re.finditer(r"^(\w+)=(.*)$", text.partition("<<")[0], re.MULTILINE)}
    found = re.search(r"^plan<<(\w+)\n(.*?)\n\1$", text, re.MULTILINE | re.DOTALL)
    assert found
    return {**outputs, "plan": found[2]}


@pytest.fixture(params=["github", "gitlab"])
def review(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Review]:
    repository = Repository.make(tmp_path / "repository")
    base = repository.commit(app("shop"))
    repository.git("checkout", "-q", "-b", "feature")
    repository.commit(app("shop", "1.1"), message="Ship @everyone `x` ' \" $(id)")
    with review_server(request.param) as reviews:
        yield Review(request.param, repository, reviews, base)


def test_the_plan_becomes_one_comment_that_is_updated(review: Review) -> None:
    first = review.run()
    review.repository.commit(app("shop", "1.2"))
    second = review.run()

    (body,) = review.reviews.bodies
    assert (first.returncode, second.returncode, first.stderr, second.stderr) == (0, 0, "", "")
    assert body.startswith(f"{MARKER}\n### reconcile plan: 2 to roll out, on 2 hosts\n")
    assert "roll out 1.2" in body
    assert TOKEN not in first.stdout + second.stdout + body


def test_it_is_found_behind_hundreds_of_others_and_nobody_elses_is_touched(review: Review) -> None:
    stranger = f"{MARKER}\nnot ours"
    for number in range(230):
        review.reviews.add(f"talk {number}", "somebody" if review.kind == "github" else 1)
    review.reviews.add(stranger, "somebody" if review.kind == "github" else 1)
    ours = review.reviews.add(f"{MARKER}\nold", OURS[review.kind])
    review.reviews.add("more talk", "somebody" if review.kind == "github" else 1)

    done = review.run()

    assert done.returncode == 0
    assert ours["body"].startswith(f"{MARKER}\n### reconcile plan: 2 to roll out")
    assert (len(review.reviews.notes), review.reviews.notes[230]["body"]) == (233, stranger)
    assert sum("page=" in asked for asked in review.reviews.asked) == 3


def test_a_comment_that_was_deleted_meanwhile_is_written_anew(review: Review) -> None:
    review.reviews.add(f"{MARKER}\nold", OURS[review.kind])
    review.reviews.refusals = [("PATCH" if review.kind == "github" else "PUT", 404)]

    assert review.run().returncode == 0
    assert len(review.reviews.notes) == 2
    assert review.reviews.bodies[1].startswith(f"{MARKER}\n### reconcile plan")


@pytest.mark.parametrize("status", [403, 422])
def test_a_token_that_may_not_comment_fails_nothing_and_says_where_the_plan_is(review: Review, status: int) -> None:
    review.reviews.refusals = [("POST", status)]

    done = review.run()

    assert (done.returncode, review.reviews.notes) == (0, [])
    assert f"was written (status {status}); the plan is in" in done.stdout


def test_without_a_token_the_plan_is_still_told(review: Review) -> None:
    """GitHub gives a fork no token that works, GitLab no variable at all."""
    review.token = "" if review.kind == "gitlab" else "wrong"

    done = review.run()

    assert (done.returncode, review.reviews.notes) == (0, [])
    if review.kind == "gitlab":
        assert review.reviews.asked == []
        assert (review.repository.root / "plan.md").read_text(encoding="utf-8").startswith("### reconcile plan")
    else:
        assert "status 401" in done.stdout


def test_a_rate_limit_is_waited_for(review: Review) -> None:
    review.reviews.refusals = [("GET", 429), ("POST", 503)]

    done = review.run()

    assert (done.returncode, len(review.reviews.notes)) == (0, 1), done.stderr


def test_nothing_to_do_is_no_news_but_replaces_what_was_said(review: Review) -> None:
    review.repository.commit(app("shop"))

    review.run()
    quiet = len(review.reviews.notes)
    review.reviews.add(f"{MARKER}\nold", OURS[review.kind])
    review.run()

    assert quiet == 0
    assert [body.splitlines()[1] for body in review.reviews.bodies] == ["### reconcile plan: nothing to do"]


def test_a_desired_state_that_is_not_valid_is_told_as_well(review: Review) -> None:
    review.repository.commit(app("shop", "1.1"), files={"apps/bad.yaml": "app: bad\nhost: x\n"})

    done = review.run()

    assert done.returncode == (0 if review.kind == "github" else 1)  # at GitHub the next step is reconcile validate
    assert "desired-state/apps/bad.yaml:2:1" in review.reviews.bodies[0]


def test_a_huge_plan_fits(review: Review) -> None:
    apps = [app(f"app{number}", ports=[], env={f"KEY_{each}": "x" for each in range(20)}) for number in range(90)]
    review.repository.commit(app("shop", "1.1"), *apps)

    assert review.run().returncode == 0
    (body,) = review.reviews.bodies
    assert ("lines are cut here" in body) == (review.kind == "github")


def test_a_plan_that_could_not_be_worked_out_fails_the_job_and_is_not_posted(review: Review) -> None:
    review.base = "1" * 40

    with (
        pytest.raises(AssertionError, match="there is no commit 1111111") if review.kind == "github" else nullcontext()
    ):
        done = review.run()

        assert done.returncode != 0
        assert "there is no commit 1111111" in done.stderr
    assert review.reviews.notes == []


def test_a_job_with_a_token_that_writes_has_neither_checkout_nor_programs_from_outside() -> None:
    text = (CI / "github-actions.yml").read_text(encoding="utf-8")
    writing = [job for job in JOBS.values() if "write" in str(job.get("permissions", ""))]

    assert "pull_request_target" not in re.sub(r"#.*", "", text)
    assert writing == [JOBS["comment"]]
    assert not [step for job in writing for step in job["steps"] if "uses" in step or "pip " in step["run"]]


def test_a_job_for_strangers_has_no_secret() -> None:
    for_strangers = [job for job in JOBS.values() if "pull_request'" in str(job.get("if")) and "fork" not in str(job)]
    protected = [name for name, job in JOBS.items() if "secrets." in str(job)]

    assert for_strangers
    assert "secrets." not in str(JOBS["validate"])
    assert protected == ["live-plan", "converge"]
    assert {name: JOBS[name]["environment"] for name in protected} == {"live-plan": "plan", "converge": "production"}
    assert "head.repo.full_name == github.repository" in JOBS["live-plan"]["if"]
    assert LAB["live-plan"]["environment"]["name"] == "plan"


def test_the_words_of_a_stranger_are_never_part_of_a_script() -> None:
    """`${{ … }}` in `run` is replaced before the shell reads it."""
    for job in JOBS.values():
        for step in job["steps"]:
            assert "${{" not in step.get("run", "")


@pytest.mark.parametrize(
    "words",
    [
        ["check-jsonschema", "--builtin-schema", "vendor.github-workflows", "github-actions.yml"],
        ["check-jsonschema", "--builtin-schema", "vendor.gitlab-ci", "--data-transform", "gitlab-ci", "gitlab-ci.yml"],
        ["zizmor", "--offline", "--quiet", "--config", "zizmor.yml", "github-actions.yml"],
    ],
    ids=lambda words: f"{words[0]} {words[-1]}",
)
def test_a_checker_accepts_the_file(words: list[str], tmp_path: Path) -> None:
    for path in CI.glob("*.yml"):
        shutil.copy(path, tmp_path)
    # As everywhere here, an action is pinned to its major version.
    (tmp_path / "zizmor.yml").write_text("rules: {unpinned-uses: {config: {policies: {'actions/*': ref-pin}}}}\n")
    program = PROGRAMS / words[0]
    if not program.exists():
        pytest.skip(f"{words[0]} is not installed")

    done = subprocess.run([str(program), *words[1:]], cwd=tmp_path, capture_output=True, text=True, check=False)

    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize("kind", ["github", "gitlab"])
def test_shellcheck_has_nothing_to_say(kind: str, tmp_path: Path) -> None:
    if kind == "github":
        scripts = [step["run"] for job in JOBS.values() for step in job["steps"] if "run" in step]
    else:
        scripts = ["\n".join(job["script"]) for job in LAB.values() if isinstance(job, dict) and "script" in job]
    for number, script in enumerate(scripts):
        (tmp_path / f"{number}.sh").write_text(f"#!/bin/bash\n{script}\n")

    words = [str(PROGRAMS / "shellcheck"), "--severity=info", *map(str, sorted(tmp_path.iterdir()))]
    done = subprocess.run(words, capture_output=True, text=True, check=False)

    assert (done.stdout, done.returncode) == ("", 0)
