"""Cores: affinity and quota, whichever is less."""

from __future__ import annotations

from pathlib import Path

import pytest

from app.runtime.cores import usable_cores


@pytest.fixture(autouse=True)
def eight_cores(monkeypatch: pytest.MonkeyPatch) -> None:
    """The process may run on eight cores."""
    monkeypatch.setattr("os.sched_getaffinity", lambda pid: set(range(8)), raising=False)


@pytest.mark.parametrize(
    ("text", "cores"),
    [("max 100000", 8), ("200000 100000", 2), ("150000 100000", 1), ("50000 100000", 1), ("nonsense", 8)],
)
def test_a_quota_of_version_two(tmp_path: Path, text: str, cores: int) -> None:
    """Whole cores within the quota, and at least one; what cannot be read is no quota."""
    (tmp_path / "cpu.max").write_text(text + "\n")
    assert usable_cores(tmp_path) == cores


@pytest.mark.parametrize(("quota", "cores"), [("-1", 8), ("300000", 3)])
def test_a_quota_of_version_one(tmp_path: Path, quota: str, cores: int) -> None:
    """The older files mean the same."""
    (tmp_path / "cpu").mkdir()
    (tmp_path / "cpu" / "cpu.cfs_quota_us").write_text(quota)
    (tmp_path / "cpu" / "cpu.cfs_period_us").write_text("100000")
    assert usable_cores(tmp_path) == cores


def test_without_control_groups_the_affinity_counts(tmp_path: Path) -> None:
    """Nothing is mounted there."""
    assert usable_cores(tmp_path) == 8
