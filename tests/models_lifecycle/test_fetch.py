"""``rnnserve models fetch``: the models of the release, from folders and addresses, by sums that it knows."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.models_lifecycle.test_cli_models import rnnserve
from tests.models_lifecycle.web import Web, serving
from tests.readme import SHIPPED
from tests.tables import SHIPPED as SUMS
from tests.tables import shipped

SMALL = "names"


@pytest.fixture
def web(tmp_path: Path) -> Iterator[Web]:
    """A web server with a copy of a shipped bundle."""
    shutil.copytree(SHIPPED / SMALL, tmp_path / "web/release" / SMALL)
    with serving(tmp_path / "web") as web:
        yield web


def test_the_package_knows_the_bundles_of_the_checkout() -> None:
    """All of them, as they are; ``make docs`` writes it again."""
    assert SUMS.read_text() == shipped(), "run `make docs`"
    assert len(json.loads(shipped())) >= 4


def test_without_a_place_it_says_what_to_do(tmp_path: Path) -> None:
    """No address is made up."""
    status, said = rnnserve("fetch", "--models", tmp_path / "models")
    assert status == 2
    assert said.startswith("rnnserve: say with --from where the models lie")
    assert not (tmp_path / "models").exists()


def test_an_unknown_name_is_told_with_those_there_are(tmp_path: Path) -> None:
    """Before anything is looked at."""
    status, said = rnnserve("fetch", "nobody", "--from", tmp_path, "--models", tmp_path / "models")
    assert (status, said.split(";")[0]) == (2, "rnnserve: this release has no model 'nobody'")
    assert SMALL in said


def test_the_first_place_that_has_it_counts(web: Web, tmp_path: Path) -> None:
    """A folder without it, then an address over a connection that breaks; a second time nothing is done."""
    (tmp_path / "empty").mkdir()
    web.cut[f"/release/{SMALL}/1/model.onnx"] = 1
    models = tmp_path / "models"
    command = [
        "fetch",
        SMALL,
        "--from",
        tmp_path / "empty",
        "--from",
        f"{web.url}/release/",
        "--models",
        models,
    ]
    status, said = rnnserve(*command)
    assert (status, said) == (
        0,
        f"{SMALL}@1 fetched: {models / SMALL / '1'}\nserve them: rnnserve serve --models {models}\n",
    )
    assert (models / SMALL / "1/model.onnx").read_bytes() == (SHIPPED / SMALL / "1/model.onnx").read_bytes()
    status, said = rnnserve(*command)
    assert (status, said.splitlines()[0].split(":")[0]) == (0, f"{SMALL}@1 is there already, the very same")


def test_what_is_not_as_it_was_released_is_refused(web: Web, tmp_path: Path) -> None:
    """Another manifest, and another file under a good one; every place is named with what was wrong."""
    folder = tmp_path / "copy" / SMALL / "1"
    shutil.copytree(SHIPPED / SMALL / "1", folder)
    (folder / "manifest.json").write_bytes((folder / "manifest.json").read_bytes() + b"\n")
    (web.folder / "release" / SMALL / "1/tokenizer.json").write_text("{}")
    places = ["--from", folder.parent.parent, "--from", f"{web.url}/release"]
    status, said = rnnserve("fetch", SMALL, *places, "--models", tmp_path / "models")
    assert status == 2
    first, second = said.split(": ", 1)[1].split(f"; {web.url}/release: ")
    assert first.startswith(
        f"{SMALL}@1 was not fetched; {folder.parent.parent}: manifest.json has the sha256"
    )
    assert second == "tokenizer.json does not have the sha256 that the manifest records\n"
    assert not list((tmp_path / "models").glob("*/*"))
