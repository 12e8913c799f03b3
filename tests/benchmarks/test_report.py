"""Figures, their targets, and the files of a run."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from benchmarks import report
from benchmarks.report import Figure, against, plain


@pytest.mark.parametrize(
    ("figure", "met"),
    [
        (Figure("a", 5, "x"), None),
        (Figure("a", 5, "x", least=5), True),
        (Figure("a", 4.9, "x", least=5), False),
        (Figure("a", 5, "x", most=4), False),
        (Figure("a", 5, "x", ratio=0.5, of="b", least=0.6), False),
        (Figure("a", 5, "x", ratio=0.7, of="b", least=0.6), True),
    ],
)
def test_a_target_is_for_the_ratio_where_there_is_one(figure: Figure, met: bool | None) -> None:
    """Else for the value; without a target nothing is reached or missed."""
    assert figure.met is met


def test_ratios_are_taken_within_a_round() -> None:
    """The median of each round's own ratio, which is not the ratio of the medians when the machine drifts."""
    figure = against("a", [100, 10, 30], [50, 10, 10], "x", "b")
    assert figure.value == 30
    assert figure.ratio == 2
    assert figure.rounds == (2, 1, 3)
    assert against("a", [100, 10, 30], [50, 10, 10], "x", "b").ratio != 30 / 10


def test_a_command_is_recorded_without_the_folders_of_a_machine(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.argv", ["x", "--data", "/mnt/big/series", "--out=/mnt/a/", "--only", "a/b", "2"])
    assert report.command("one") == "python -m benchmarks.one --data series --out=a --only a/b 2"


def test_publishing_writes_json_and_a_picture(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """With machine, versions, date, command and every figure; and a line for each on the screen."""
    monkeypatch.setattr(report, "RESULTS", tmp_path / "results")
    monkeypatch.setattr(report, "RUN", "run-1")
    figures = [against("ours", [6.0], [4.0], "x/s", "theirs", least=2.0), plain("time", [0.5], "s")]
    report.publish("made-up", figures, {"note": 1})
    document = json.loads((tmp_path / "results" / "made-up.json").read_text())
    assert document["run"] == "run-1"
    assert document["machine"]["cores"]
    assert document["machine"]["onnxruntime"]
    assert document["command"].startswith("python -m benchmarks.made-up")
    assert [one["met"] for one in document["figures"]] == [False, None]
    assert document["figures"][0]["ratio"] == 1.5
    picture = (tmp_path / "results" / "made-up.svg").read_text()
    assert picture.lstrip().startswith("<?xml")
    assert "MISSED" in capsys.readouterr().out
