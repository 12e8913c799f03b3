"""The wing is its folder and its lines in a list: without them everything else is as it was."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

from tests.e2e.server import REPOSITORY


def test_the_command_is_deleted_with_its_folder(tmp_path: Path) -> None:
    """``app/batch``, ``app/cli_batch.py``, and the lines of ``app/cli.py`` that name it."""
    ignored = shutil.ignore_patterns("__pycache__", "cli_batch.py")
    shutil.copytree(REPOSITORY / "app", tmp_path / "app", ignore=ignored)
    shutil.rmtree(tmp_path / "app" / "batch")
    path = tmp_path / "app" / "cli.py"
    lines = path.read_text().splitlines(keepends=True)
    kept = [line for line in lines if "batch_cli" not in line]
    assert len(lines) - len(kept) == 2
    path.write_text("".join(kept))
    # An editable install would find the folder where it still is.
    (tmp_path / "sitecustomize.py").write_text(
        "import sys\n"
        "for finder in list(sys.meta_path):\n"
        "    if '__editable__' in str(getattr(finder, '__module__', '')):\n"
        "        sys.meta_path.remove(finder)\n"
    )
    said = subprocess.run(
        [sys.executable, "-m", "app", "--help"],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(tmp_path), "COLUMNS": "200"},
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert said.returncode == 0, said.stderr
    assert "forecast" in said.stdout
    assert "batch" not in said.stdout
