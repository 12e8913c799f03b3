"""The page on captions: its examples run, one after the other, and say what the page says."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.e2e.server import ServerProcess
from tests.readme import SHIPPED, ask

PAGE = (Path(__file__).parent.parent / "docs/caption.md").read_text()
COMMANDS = [
    line for block in re.findall(r"```bash\n(.*?)```", PAGE, re.DOTALL) for line in block.splitlines()
]


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServerProcess]:
    """The shipped bundles, with sessions on disk."""
    with ServerProcess(SHIPPED, load="on-demand", state_dir=tmp_path_factory.mktemp("state")) as server:
        yield server


def test_the_commands_say_what_the_page_says(server: ServerProcess) -> None:
    """Every curl of the page, in its order."""
    said = [ask(command, server.port) for command in COMMANDS]
    streamed = said.pop(4)
    one, many, several, attended, opened, fed, hugging = map(json.loads, said)
    (first,) = one["captions"]
    assert re.search(r"\bman\b", first["text"])
    assert len(many["captions"]) == 2
    assert len(several["captions"][0]["alternatives"]) == 2
    attention = attended["captions"][0]["attention"]
    assert len(attention["weights"][0]) == attention["grid"][0] * attention["grid"][1]
    frames = [json.loads(line[6:]) for line in streamed.splitlines() if line.startswith("data: ")]
    assert "".join(frame["text"] for frame in frames[:-1]) == frames[-1]["captions"][0]["text"]
    assert opened["task"] == "caption"
    assert [output["token"] for output in fed["outputs"]] == ["a", "man", "in"]
    assert "a" in [item["token"] for item in fed["outputs"][-1]["next"]]
    assert hugging == [{"generated_text": first["text"]}]
