"""What the pages name is there: files, folders, flags; and what the design says of the code is so."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
import typer

from app.cli import cli
from app.sessions.steps.queue import MAX_BATCHES
from app.settings import ENV_PREFIX, Settings
from app.settings.sources import FOREIGN_VARIABLES
from tests.docs_site.recorded import DOCS
from tests.docs_site.site import ROOT
from training.cli import command_line

PAGES = sorted(DOCS.glob("*.md"))
FOREIGN = {"deployment", "reliability", "performance"}
"""Pages that name other programs' flags too."""
INSIDE = re.compile(r"`([^`\n]+)`")


def flags(command: Any) -> set[str]:
    """Every long option of a command line program."""
    found = {flag for one in command.params for flag in (*one.opts, *one.secondary_opts)}
    return found.union(*(flags(one) for one in getattr(command, "commands", {}).values()))


FLAGS = flags(typer.main.get_command(cli)) | flags(typer.main.get_command(command_line())) | {"--help"}


@pytest.mark.parametrize(
    "page", [one for one in PAGES if one.stem not in FOREIGN], ids=lambda page: page.stem
)
def test_every_flag_that_a_page_names_exists(page: Path) -> None:
    """In ``rnnserve`` or ``rnnserve-train``; a variable is that of a setting."""
    text = page.read_text()
    for inside in INSIDE.findall(text):
        for flag in re.findall(r"(?<![\w-])--[a-z][a-z0-9-]+", inside):
            # `--session-*` speaks of all that begin so.
            known = any(one.startswith(flag) for one in FLAGS) if flag.endswith("-") else flag in FLAGS
            assert known, f"{page.name}: {flag}"
    for name in re.findall(rf"\b{ENV_PREFIX}(\w+)", text):
        known = name.lower() in Settings.model_fields or ENV_PREFIX + name in FOREIGN_VARIABLES
        assert known, f"{page.name}: {name}"


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_every_file_that_a_page_names_exists(page: Path) -> None:
    """Paths from the root of the repository."""
    named = re.findall(r"`((?:app|training|tests|examples|deploy|benchmarks)/[\w/.-]+)`", page.read_text())
    for path in named:
        assert (ROOT / path).exists(), f"{page.name}: {path}"


def test_the_design_names_every_folder_of_app() -> None:
    """The map has a line for each, or two share one."""
    design = (DOCS / "design.md").read_text()
    table = design[design.index("| folder |") : design.index("Training and serving meet")]
    folders = {path.name for path in (ROOT / "app").iterdir() if path.is_dir() and path.name[0] != "_"}
    assert folders == set(re.findall(r"`app/(\w+)/`", table))


def test_the_design_counts_the_batches_as_the_code_does() -> None:
    """Two of them side by side."""
    assert MAX_BATCHES == 2
    assert "Two batches go" in (DOCS / "design.md").read_text()
