"""The page on translation: its examples run, one after the other, and say what the page says."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.e2e.server import ServerProcess
from tests.readme import SHIPPED, ask

PAGE = (Path(__file__).parent.parent / "docs/translate.md").read_text()
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
    answers = [json.loads(ask(command, server.port)) for command in COMMANDS]
    one, many, several, aligned, begun, opened, fed, hugging, libre, languages = answers
    (there,) = one["translations"]
    assert re.search("Mann.*roten Jacke.*Fahrrad", there["text"])
    assert [item["source"] for item in many["translations"]] == ["de", "en"]
    assert many["translations"][0]["text"].count("\n\n") == 1
    assert many["translations"][1]["text"] == ""
    assert len(several["translations"][0]["alternatives"]) == 2
    assert set(aligned["translations"][0]["alignment"]) == {"source", "target", "weights"}
    assert begun["translations"][0]["text"].startswith("Auf einem Fahrrad")
    assert opened["task"] == "translate"
    assert fed["outputs"][0]["token"] == "Ein"
    assert "Mann" in [item["token"].strip() for item in fed["outputs"][0]["next"]]
    assert hugging[0]["translation_text"] == libre["translatedText"]
    assert {item["code"] for item in languages} == {"de", "en"}
