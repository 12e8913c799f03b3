"""The page on importing ONNX files: its program exports, its commands import, a server answers as shown."""

from __future__ import annotations

import json
import os
import re
import warnings
from pathlib import Path

import pytest
import silero_vad

from tests.docs_site.recorded import DOCS, blocks, run
from tests.docs_site.site import ROOT
from tests.docs_site.test_your_model import shape
from tests.e2e.forked import completed
from tests.e2e.server import ServerProcess
from training.importing.options import ImportOptions

PAGE = (DOCS / "onnx-import.md").read_text()
NUMBER = re.compile(r"\d\.\de[+-]\d+")


@pytest.fixture(scope="module")
def said(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, list[str]]:
    """The folder in which all was run, and what the commands printed."""
    folder = tmp_path_factory.mktemp("import")
    (program,) = [body for kind, body in blocks(PAGE) if kind == "python"]
    with pytest.MonkeyPatch.context() as patch, warnings.catch_warnings():
        patch.chdir(folder)
        warnings.simplefilter("ignore")
        exec(compile(program, "onnx-import.md", "exec"), {})
    (config,) = [body for kind, body in blocks(PAGE) if kind == "toml"]
    (folder / "motion.toml").write_text(config, "utf-8")
    (folder / "models").mkdir()
    data = str(Path(silero_vad.__file__).parent / "data")
    printed = []
    for command in (line for kind, body in blocks(PAGE) if kind == "bash" for line in body.splitlines()):
        done = completed(command.replace("FOLDER", data).split()[1:], os.environ, folder)
        assert done.returncode == 0, done.stderr
        printed.append(done.stdout)
    return folder, printed


def test_the_command_prints_what_is_shown(said: tuple[Path, list[str]]) -> None:
    """But for the size of a difference."""
    shown = next(body for kind, body in blocks(PAGE) if kind == "text" and body.startswith("guessed"))
    assert NUMBER.sub("0", said[1][0]) == NUMBER.sub("0", shown)


def test_a_server_answers_as_shown(said: tuple[Path, list[str]]) -> None:
    """Numbers differ with PyTorch's version; a recording of speech is an array."""
    with ServerProcess(said[0] / "models") as server:
        for one in run(PAGE, server.port):
            assert one.answer
            shown, got = json.loads(one.answer), json.loads(one.got)
            for answer in (shown, got):
                for name in ("created_at", "updated_at", "expires_at"):
                    answer.pop(name, None)
            assert shape(shown) == shape(got), one.got


def test_every_option_of_the_page_is_one(said: tuple[Path, list[str]]) -> None:
    """And every message is one of the import's."""
    table = PAGE[PAGE.index("## Options") : PAGE.index("## The manifest of")]
    names = {name.replace("-", "_") for name in re.findall(r"`--([a-z-]+)", table)} - {"config"}
    assert len(names) > 15
    assert names <= set(ImportOptions.model_fields)
    files = [*sorted((ROOT / "training/importing").glob("*.py")), ROOT / "app/bundle/external_data.py"]
    code = "".join(path.read_text() for path in files)
    plain = re.sub(r'"\s*f?"', "", code)
    messages = re.findall(r"^\| `([^`]+)` \|", PAGE[PAGE.index("## When it is refused") :], re.MULTILINE)
    assert len(messages) == 8
    for message in messages:
        for part in message.split("..."):
            assert part.strip() in plain, part
