"""The commands of the page on batch work, in its order, print and write what is shown."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from app.registered import TASKS
from tests.docs_site.recorded import DOCS, blocks
from tests.docs_site.site import ROOT
from tests.readme import examples, same

PATH = DOCS / "batch.md"
_TIMES = re.compile(r"in [\d.]+ s")
_NUMBER = re.compile(r"-?\d+\.\d+")


def printed(command: str, folder: Path) -> str:
    """Everything that a command of the page says, run in ``folder`` with the shipped models."""
    ours = re.sub(r"^rnnserve ", f"{sys.executable} -m app ", command)
    done = subprocess.run(
        ["bash", "-c", ours],
        cwd=folder,
        env={**os.environ, "PYTHONPATH": str(ROOT), "RNNSERVE_MODELS": str(ROOT / "models")},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=60,
    )
    return _TIMES.sub("in 0.1 s", done.stdout.strip())


def shown(folder: Path) -> Iterator[tuple[str, str, str]]:
    """Each command of the page, what stands under it, and what it says now."""
    (folder / "examples").symlink_to(ROOT / "examples")
    for kind, body in blocks(PATH.read_text()):
        for one in examples(f"```console\n{body}```") if kind == "console" else ():
            yield one.command, one.answer, printed(one.command, folder)


def values(text: str) -> list[object]:
    """The text in pieces, with its numbers as such."""
    words: list[object] = [float(number) for number in _NUMBER.findall(text)]
    return [*words, _NUMBER.sub("N", text)]


def test_the_commands_say_what_is_shown(tmp_path: Path) -> None:
    """But for the last digits of numbers; ``python -m tests.docs_site.test_batch_page`` writes them again."""
    seen = 0
    for command, answer, got in shown(tmp_path):
        assert same(values(answer), values(got)), f"{command}\n{got}"
        seen += bool(answer)
    assert seen > 6


@pytest.mark.parametrize("task", [task for task in TASKS if task.batch], ids=lambda task: task.name)
def test_the_page_names_each_task_that_has_batch_work(task: object) -> None:
    """With its command and a line of the table."""
    page, name = PATH.read_text(), getattr(task, "name", "")
    assert f"`rnnserve batch {name}`" in page
    assert f"\n| `{name}` | " in page


def main(folder: Path) -> None:
    """Write what the commands say into the page."""
    page = PATH.read_text()
    for command, answer, got in list(shown(folder)):
        before = f"$ {command}\n" + (f"{answer}\n" if answer else "")
        assert before in page
        page = page.replace(before, f"$ {command}\n" + (f"{got}\n" if got else ""), 1)
    PATH.write_text(page)


if __name__ == "__main__":
    from tempfile import TemporaryDirectory

    with TemporaryDirectory() as name:
        main(Path(name))
