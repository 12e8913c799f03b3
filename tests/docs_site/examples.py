"""The programs of ``examples/``, run as their page says, and a server with what they wrote."""

from __future__ import annotations

import runpy
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.docs_site.site import ROOT
from tests.e2e.server import ServerProcess

PROGRAMS = {"own_model.py": "counter", "own_forecaster.py": "own-forecaster"}
"""Program to the bundle that it writes."""


def run_program(name: str, models: Path) -> None:
    """Run one; its bundle goes into ``models``."""
    runpy.run_path(str(ROOT / "examples" / name))["main"](models)


@contextmanager
def own_server(models: Path) -> Iterator[ServerProcess]:
    """A server with the bundles of all of them."""
    for name in PROGRAMS:
        run_program(name, models)
    with ServerProcess(models) as server:
        yield server
