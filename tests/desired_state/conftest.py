"""Fixtures for tests that write a desired state."""

from __future__ import annotations

from pathlib import Path

import pytest


@pytest.fixture
def in_own_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The current folder is the test's own, so that paths in messages are short."""
    monkeypatch.chdir(tmp_path)
