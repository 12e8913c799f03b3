"""The README's commands and figures: run, compared, and written again by ``make readme``."""

from __future__ import annotations

import json
import math
import re
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from app.bundle.manifest import Manifest, Quality
from app.bundle.reader import find_bundles, read_manifest
from tests.e2e.server import ServerProcess

ROOT = Path(__file__).parent.parent
README = ROOT / "README.md"
SHIPPED = ROOT / "models"
PORT = "localhost:8000"

_BLOCK = re.compile(r"```console\n(.*?)```", re.DOTALL)
_FIGURES = re.compile(r"(<!-- figures.*?-->\n).*?(<!-- end of figures -->)", re.DOTALL)


@dataclass(frozen=True, slots=True)
class Example:
    """One command and the answer that is printed under it."""

    command: str
    answer: str


def examples(text: str) -> list[Example]:
    """Every command of the console blocks, in order."""
    found: list[Example] = []
    for block in _BLOCK.findall(text):
        for part in re.split(r"^\$ ", block, flags=re.MULTILINE)[1:]:
            command, _, answer = part.partition("\n")
            found.append(Example(command, answer.strip()))
    return found


def ask(command: str, port: int) -> str:
    """What a command prints when the server listens on ``port``; ``rnnserve`` is this checkout's."""
    ours = re.sub(r"^rnnserve ", f"{sys.executable} -m app ", command)
    return subprocess.run(
        ["bash", "-c", ours.replace(PORT, f"localhost:{port}")],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    ).stdout.strip()


def same(shown: Any, got: Any) -> bool:
    """Equal, but for the last digits of numbers, which another processor may round differently."""
    if isinstance(shown, dict) and isinstance(got, dict):
        return shown.keys() == got.keys() and all(same(shown[key], got[key]) for key in shown)
    if isinstance(shown, list) and isinstance(got, list):
        return len(shown) == len(got) and all(map(same, shown, got))
    if isinstance(shown, float) and isinstance(got, float):
        return math.isclose(shown, got, rel_tol=1e-3, abs_tol=1e-4)
    return bool(shown == got)


def figures(models: Path) -> str:
    """A table of what the manifests recorded: of each data set the main figure, with its baselines."""
    lines = [
        "| bundle | cell | data | measure | value | baselines on the same split |",
        "|---|---|---|---|---|---|",
    ]
    newest = {manifest.name: manifest for manifest in map(read_manifest, find_bundles(models))}
    for manifest in newest.values():
        lines += [_figure(manifest, quality) for quality in _main_figures(manifest)]
    return "\n".join(lines) + "\n"


def _main_figures(manifest: Manifest) -> list[Quality]:
    """Of a forecaster the overall scores; of the others all that have a baseline."""
    measured = [quality for quality in manifest.quality if quality.baselines]
    overall = [
        quality
        for quality in measured
        if quality.metric == "OWA" or "RMSE" in quality.metric or quality.dataset == "M3 all"
    ]
    return overall if manifest.task == "forecast" and overall else measured


def _figure(manifest: Manifest, quality: Quality) -> str:
    baselines = ", ".join(f"{name} {value:.4g}" for name, value in quality.baselines.items())
    return (
        f"| `{manifest.name}` | {manifest.network.cell.upper()} | {quality.dataset}, {quality.split} | "
        f"{quality.metric} | {quality.value:.4g} | {baselines} |"
    )


def rewritten(text: str, answers: list[str], table: str) -> str:
    """The README with other answers and another table."""
    left = iter(answers)

    def block(match: re.Match[str]) -> str:
        commands = [one.command for one in examples(match[0])]
        return "```console\n" + "".join(f"$ {command}\n{next(left)}\n" for command in commands) + "```"

    return _FIGURES.sub(lambda match: match[1] + table + match[2], _BLOCK.sub(block, text))


def main() -> None:
    """Ask a server with the shipped bundles, and write its answers into the README."""
    text = README.read_text()
    with ServerProcess(SHIPPED) as server:
        answers = [ask(one.command, server.port) for one in examples(text)]
    for answer in answers:
        json.loads(answer)
    README.write_text(rewritten(text, answers, figures(SHIPPED)))


if __name__ == "__main__":
    main()
