"""Pages of ``docs/`` whose answers were given by a server; ``make readme`` writes them again.

In a ``console`` block a command is followed by its answer. ``bash`` blocks are run in between, since
later commands build on them.
"""

from __future__ import annotations

import json
import re
import shlex
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from typer.testing import CliRunner

from tests.docs_site.examples import own_server
from tests.e2e.server import ServerProcess
from tests.readme import SHIPPED, ask, examples
from training.cli import command_line

DOCS = Path(__file__).parent.parent.parent / "docs"
PAGES = ("first-steps.md", "your-data.md", "compose.md")
"""Those that speak of the shipped bundles; ``your-model.md`` has bundles of its own."""
WIDTH = 96

_FENCE = re.compile(r"^```(\w*)\n(.*?)^```$", re.DOTALL | re.MULTILINE)


@dataclass(frozen=True, slots=True)
class Shown:
    """A command, what the page shows under it, and what the server answered."""

    command: str
    answer: str | None
    got: str


def blocks(text: str) -> list[tuple[str, str]]:
    """The code blocks of a page: language, which may be empty, and content."""
    return _FENCE.findall(text)


def run(text: str, port: int) -> Iterator[Shown]:
    """Send every request of a page in its order; ``answer`` is ``None`` where the page shows none."""
    for kind, body in blocks(text):
        if kind == "console":
            for one in examples(f"```console\n{body}```"):
                yield Shown(one.command, one.answer, ask(one.command, port))
        elif kind == "bash":
            for command in body.splitlines():
                if command.startswith("curl "):
                    yield Shown(command, None, ask(command, port))


def pretty(value: Any, indent: int = 0) -> str:
    """JSON as short as a line, or broken where it is longer."""
    flat = json.dumps(value, ensure_ascii=False)
    if len(flat) + indent <= WIDTH or not isinstance(value, dict | list) or not value:
        return flat
    inner = indent + 2
    if isinstance(value, dict):
        parts = [f"{json.dumps(key)}: {pretty(one, inner)}" for key, one in value.items()]
        return "{\n" + ",\n".join(" " * inner + part for part in parts) + "\n" + " " * indent + "}"
    parts = [pretty(one, inner) for one in value]
    return "[\n" + ",\n".join(" " * inner + part for part in parts) + "\n" + " " * indent + "]"


def value_of(text: str) -> Any:
    """An answer as JSON, or as the rows of a table, with its numbers as such."""
    try:
        return json.loads(text)
    except ValueError:
        return [[_cell(cell) for cell in re.split(r"\s+|,", line.strip())] for line in text.splitlines()]


def _cell(text: str) -> float | str:
    try:
        return float(text)
    except ValueError:
        return text


def rewritten(text: str, port: int) -> str:
    """A page with the answers that a server gives now."""
    answers = iter([_shown(one.got) for one in run(text, port) if one.answer is not None])

    def block(match: re.Match[str]) -> str:
        if match[1] != "console":
            return match[0]
        commands = [one.command for one in examples(match[0])]
        return "```console\n" + "".join(f"$ {command}\n{next(answers)}\n" for command in commands) + "```"

    return _FENCE.sub(block, text)


def _shown(got: str) -> str:
    return pretty(json.loads(got)) if got.startswith("{") else got


def main() -> None:
    """Ask servers, and write their answers into the pages."""
    for page in PAGES:
        with ServerProcess(SHIPPED) as server:
            _write(DOCS / page, server)
    with TemporaryDirectory() as folder, own_server(Path(folder)) as server:
        _write(DOCS / "your-model.md", server)
    with TemporaryDirectory() as folder:
        train_bakery(Path(folder))
        with ServerProcess(Path(folder)) as server:
            _write(DOCS / "covariates.md", server)


def train_bakery(models: Path, *more: str) -> None:
    """The bundle of the page on covariates, by the command that it shows."""
    (command,) = re.findall(r"^rnnserve-train (.*)$", (DOCS / "covariates.md").read_text(), re.MULTILINE)
    words = shlex.split(command.replace("examples/", f"{DOCS.parent}/examples/"))
    result = CliRunner().invoke(command_line(), [*words, "--out", str(models), *more], catch_exceptions=False)
    assert result.exit_code == 0, result.output


def _write(page: Path, server: ServerProcess) -> None:
    page.write_text(rewritten(page.read_text(), server.port))


if __name__ == "__main__":
    main()
