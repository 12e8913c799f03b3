"""``rnnserve forecast`` where it needs no server: what is wrong is one line."""

from __future__ import annotations

import io
import sys
from pathlib import Path

import pytest

from app import cli as command
from tests.conftest import REPOSITORY, SHIPPED

AIRLINE = REPOSITORY / "examples/airline-passengers.csv"


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("nothing.csv", "--horizon", "2"), "cannot read 'nothing.csv': No such file"),
        ((AIRLINE, "--horizon", "x"), "--horizon: "),
        ((AIRLINE, "--horizon", "0"), "--horizon: "),
        ((AIRLINE, "--horizon", "2", "--levels", "80,high"), "--levels.1: "),
        ((AIRLINE, "--horizon", "2", "--plot", "a.gif"), "must end in .png, .svg, .pdf"),
        ((AIRLINE, "--horizon", "2", "--time", "when"), "column 'when'; allowed: month, passengers"),
        ((AIRLINE, "--horizon", "2", "--models", "nowhere"), "the models folder 'nowhere' does not exist"),
        ((AIRLINE, "--horizon", "2", "--url", "http://127.0.0.1:1"), "does not answer: "),
        ((AIRLINE, "--horizon", "2", "--url", "ftp://x"), "must be like http://localhost:8000"),
        ((AIRLINE, "--horizon", "2", "--url", "http://x", "--models", "m"), "either --url or --models"),
        ((AIRLINE, "--horizon", "2", "--model", "other", "--models", SHIPPED), "no model 'other'"),
        (
            (AIRLINE, "--horizon", "2", "--out", "/nowhere/a.csv", "--models", SHIPPED),
            "cannot write '/nowhere/a.csv'",
        ),
        (("-", "--horizon", "2"), "standard input: column 'v', line 3: 'x' is not a number"),
    ],
)
def test_a_mistake_is_one_line(
    capfd: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    words: tuple[str | Path, ...],
    message: str,
) -> None:
    """Never a traceback, and the exit status is 2."""
    piped = io.TextIOWrapper(io.BytesIO(b"day,v\n2024-01-01,1\n2024-01-02,x\n"))
    monkeypatch.setattr(sys, "stdin", piped)
    monkeypatch.setattr(sys, "argv", ["rnnserve", "forecast", *map(str, words)])
    with pytest.raises(SystemExit) as ended:
        command.main()
    assert ended.value.code == 2
    *_, last = capfd.readouterr().err.strip().splitlines()
    assert last.startswith("rnnserve: ")
    assert message in last
