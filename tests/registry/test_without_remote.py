"""A server from which the folder ``app/remote`` was deleted."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.bundles import tiny_classifier
from tests.e2e.server import REPOSITORY


@pytest.fixture(scope="module")
def checkout(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Without the folder, with a model."""
    checkout = tmp_path_factory.mktemp("checkout")
    shutil.copytree(
        REPOSITORY / "app", checkout / "app", ignore=shutil.ignore_patterns("remote", "__pycache__")
    )
    # An editable install would find the folder where it still is.
    (checkout / "sitecustomize.py").write_text(
        "import sys\n"
        "for finder in list(sys.meta_path):\n"
        "    if '__editable__' in str(getattr(finder, '__module__', '')):\n"
        "        sys.meta_path.remove(finder)\n"
    )
    tiny_classifier(checkout / "models", name="mood")
    return checkout


def python(checkout: Path, *words: str) -> subprocess.CompletedProcess[str]:
    """Python with the checkout's ``app``."""
    environment = {**os.environ, "PYTHONPATH": str(checkout)}
    return subprocess.run(
        [sys.executable, *words], cwd=checkout, env=environment, capture_output=True, text=True, timeout=60
    )


def test_it_serves_local_folders(checkout: Path) -> None:
    """And adds bundles from folders."""
    program = (
        "from app.main import compose\nfrom app.settings import load_settings\n"
        "print(*compose(load_settings(models='models', sessions='off')).registry.served.models)"
    )
    assert python(checkout, "-c", program).stdout == "mood@1\n"
    added = python(checkout, "-m", "app", "models", "add", "models/mood/1", "--models", "elsewhere")
    assert added.stdout == "mood@1 added: elsewhere/mood/1\n"


@pytest.mark.parametrize(
    "words",
    [
        ["serve", "--models", "models,s3://bucket/models"],
        ["models", "pull", "--models", "s3://bucket/models"],
        ["models", "add", "s3://bucket/models"],
    ],
)
def test_it_says_that_it_reads_no_network(checkout: Path, words: list[str]) -> None:
    """In one line."""
    done = python(checkout, "-m", "app", *words)
    assert done.returncode == 2
    assert done.stderr.endswith(
        "rnnserve: s3://bucket/models: places on the network are not built into this server; name folders\n"
    )
