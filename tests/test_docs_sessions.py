"""The page on sessions: its examples run one after the other, and its tables are the code's."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from pydantic import BaseModel

from app.edge.errors import KINDS
from app.sessions import socket_schema as frames
from tests.e2e.server import ServerProcess
from tests.readme import SHIPPED, ask

PAGE = (Path(__file__).parent.parent / "docs/sessions.md").read_text()
SECTIONS = re.split(r"^## ", PAGE, flags=re.MULTILINE)
EXPECTED: dict[str, list[str | None]] = {
    "Feeding it": ["id", "outputs", "outputs"],
    "Exactly once": ["outputs", "expected"],
    "Many sessions at once": ["id", "results"],
    "Answers from a state": ["forecast", "id", "choices"],
    "Copies and history": ["id", "name", "snapshots", "step", "model", "step", "sessions", None],
    "Carrying the state yourself": ["id", "state"],
}


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServerProcess]:
    """The shipped bundles, with sessions as they are by default."""
    with ServerProcess(SHIPPED, load="on-demand", state_dir=tmp_path_factory.mktemp("state")) as server:
        yield server


def test_the_examples_run_one_after_the_other(server: ServerProcess) -> None:
    """Each answers what the page says that it does."""
    for title, expected in EXPECTED.items():
        (section,) = [one for one in SECTIONS if one.startswith(title)]
        answers: list[Any] = []
        state = ""
        for block in re.findall(r"```bash\n(.*?)```", section, re.DOTALL):
            for command in block.splitlines():
                if command.startswith("STATE="):
                    state = command + "; "
                    continue
                printed = ask(state + command, server.port)
                answers.append(json.loads(printed) if printed else None)
        assert len(answers) == len(expected), title
        for answer, member in zip(answers, expected, strict=True):
            assert answer is None if member is None else member in answer, (title, answer)


def test_the_python_example_runs(server: ServerProcess, capsys: pytest.CaptureFixture[str]) -> None:
    """The client of the page, word for word."""
    (code,) = re.findall(r"```python\n(.*?)```", PAGE, re.DOTALL)
    exec(compile(code.replace("localhost:8000", f"localhost:{server.port}"), "sessions.md", "exec"), {})
    printed = capsys.readouterr().out
    assert printed.startswith("3\n[4, 4, 4]\n")
    assert len(printed) > 40


def documented(table: str) -> list[set[str]]:
    """The field names of each row of a table of messages."""
    rows = re.findall(r'^\| `(\{"type".*?)` \|', PAGE[PAGE.index(table) :], re.MULTILINE)
    return [set(re.findall(r'"(\w+)"', row)) for row in rows]


@pytest.mark.parametrize(
    "model",
    [
        frames.HelloFrame,
        frames.OutputFrame,
        frames.OutputsFrame,
        frames.SessionErrorFrame,
        frames.MarkerFrame,
        frames.ExpiredFrame,
        frames.ClosingFrame,
    ],
    ids=lambda model: model.__name__,
)
def test_every_frame_is_documented(model: type[BaseModel]) -> None:
    """With all of its fields."""
    kind = model.model_fields["type"].default
    assert set(model.model_fields) | {kind} in documented("The server sends:")


@pytest.mark.parametrize(
    "model",
    [frames.StepMessage, frames.SessionStepMessage, frames.MarkerMessage],
    ids=lambda model: model.__name__,
)
def test_every_message_is_documented(model: type[BaseModel]) -> None:
    """With all of its fields."""
    kind = "marker" if model is frames.MarkerMessage else "step"
    assert set(model.model_fields) | {kind} in documented("The client sends:")


def test_the_statuses_are_those_of_the_code() -> None:
    """Each type of problem that the page names has the status that it is sent with."""
    known = {kind.slug: kind.status for kind in KINDS.values()}
    rows = re.findall(r"^\| (\d{3}) \| (`[^|]*`) \|", PAGE, re.MULTILINE)
    named = {name: int(status) for status, names in rows for name in re.findall(r"`([a-z-]+)`", names)}
    assert len(named) >= 14
    assert {name: known[name] for name in named} == named
