"""A folder of tiny models, a server with it, and the command in this process."""

from __future__ import annotations

import contextlib
import csv
import io
import os
import signal
import subprocess
import sys
from collections.abc import Iterable, Iterator
from datetime import date, timedelta
from functools import partial
from pathlib import Path

import pytest

from app.cli import main
from tests.bundles import tiny_classifier, tiny_forecaster, tiny_reader
from tests.e2e.server import REPOSITORY, ServerProcess


@pytest.fixture(scope="session")
def models(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One bundle of each task that has batch work."""
    folder = tmp_path_factory.mktemp("models")
    tiny_forecaster(folder, "gru")
    tiny_classifier(folder)
    tiny_reader(folder)
    return folder


@pytest.fixture(scope="session")
def server(models: Path) -> Iterator[ServerProcess]:
    """Of the same models."""
    with ServerProcess(models) as server:
        yield server


class Batch:
    """``rnnserve batch`` in this process; ``said`` is what it printed last."""

    def __init__(self, models: Path, folder: Path) -> None:
        self.models = models
        self.folder = folder
        self.said = ""

    def __call__(self, task: str, given: Path | str, out: Path | str, *words: object) -> int:
        """The exit status. One process is faster here than to start others."""
        if "--workers" not in words:
            words += ("--workers", 1)
        arguments = ["rnnserve", "batch", task, given, "--out", out, "--models", self.models, *words]
        printed = io.StringIO()
        with (
            pytest.MonkeyPatch.context() as patch,
            contextlib.redirect_stdout(printed),
            contextlib.redirect_stderr(printed),
        ):
            patch.setattr("sys.argv", list(map(str, arguments)))
            for name in [name for name in os.environ if name.startswith("RNNSERVE_")]:
                patch.delenv(name)
            with pytest.raises(SystemExit) as ended:
                main()
        self.said = printed.getvalue()
        return int(ended.value.code or 0)

    def begin(self, task: str, given: Path | str, out: Path | str, *words: str) -> subprocess.Popen[str]:
        """The command in a process of its own, the leader of its group."""
        command = [sys.executable, "-m", "app", "batch", task, str(given), "--out", str(out)]
        environment = {name: value for name, value in os.environ.items() if not name.startswith("RNNSERVE_")}
        return subprocess.Popen(
            [*command, "--models", str(self.models), *words],
            cwd=REPOSITORY,
            env=environment,
            stderr=subprocess.PIPE,
            text=True,
            start_new_session=True,
            # A shell has what it starts in the background ignore it, and that is inherited.
            preexec_fn=partial(signal.signal, signal.SIGINT, signal.SIG_DFL),
        )

    def write(self, name: str, text: str, encoding: str = "utf-8") -> Path:
        """A file of the folder."""
        path = self.folder / name
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(text.encode(encoding))
        return path


@pytest.fixture
def batch(models: Path, tmp_path: Path) -> Batch:
    """With a folder of its own."""
    return Batch(models, tmp_path)


def daily(ids: Iterable[str], num: int = 24, header: str = "unique_id,ds,y") -> str:
    """A long table of daily values, all series of them different."""
    start = date(2024, 1, 1)
    lines = [
        f"{id},{start + timedelta(days=day)},{10 + place + (day * (place + 3)) % 7 + 0.25}"
        for place, id in enumerate(ids)
        for day in range(num)
    ]
    return "\n".join([header, *lines, ""])


def table(path: Path) -> list[dict[str, str]]:
    """The rows of a CSV, by column."""
    with path.open(newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))
