"""What an export writes into a manifest: all that says something, and nothing that says nothing."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from app.bundle.manifest import Manifest
from app.tasks.compose.spec import ComposeSpec
from tests.bundles import tiny_composer, tiny_forecaster, tiny_generator, tiny_translator

FIRST = {
    "": {
        *("format", "name", "version", "description", "network", "graph", "row", "spec", "provenance"),
        *("parity", "files"),
    },
    "graph": {"opset", "input", "outputs"},
    "graph.outputs": {"name", "shape"},
    "provenance": {"created", "command", "seed", "packages"},
    "spec": {"task", "vocabulary", "unit", "start_token"},
}
"""The fields that the first servers knew, which refuse any other."""


def written(folder: Path) -> dict[str, Any]:
    """A manifest as it stands in its file."""
    found: dict[str, Any] = json.loads((folder / "manifest.json").read_text(encoding="utf-8"))
    return found


def test_a_server_of_the_first_version_reads_a_model_of_its_kind(tmp_path: Path) -> None:
    """There are no other fields than it knows."""
    manifest = written(tiny_generator(tmp_path))
    assert {*manifest} == FIRST[""]
    assert {*manifest["graph"]} == FIRST["graph"]
    assert [{*output} for output in manifest["graph"]["outputs"]] == [FIRST["graph.outputs"]]
    assert {*manifest["provenance"]} == FIRST["provenance"]
    assert {*manifest["spec"]} == FIRST["spec"]
    assert "covariates" not in written(tiny_forecaster(tmp_path))["spec"]


def test_what_says_something_is_written_though_it_be_the_default(tmp_path: Path) -> None:
    """By position where it is so, an empty shape where it is needed, and how music is counted."""
    manifest = written(tiny_translator(tmp_path))
    assert manifest["graph"]["input"]["shape"] == []
    assert manifest["graph"]["outputs"] == [
        {"name": "logits", "shape": [manifest["spec"]["vocabulary"]]},
        {"name": "attention", "shape": [], "by_position": True},
    ]
    assert manifest["spec"]["attention"] is True
    assert manifest["encoder"]["attended"].keys() == {"width"}
    music = written(tiny_composer(tmp_path, lead=0))["spec"]
    assert (music["lead"], music["steps_per_beat"]) == (0, 2)
    assert "restrikes" not in music


@pytest.mark.parametrize("made", [tiny_generator, tiny_forecaster, tiny_translator, tiny_composer])
def test_what_is_left_out_is_read_as_it_was(made: Any, tmp_path: Path) -> None:
    """The same manifest as from a file that has every field."""
    folder = made(tmp_path)
    manifest = Manifest.model_validate_json((folder / "manifest.json").read_bytes())
    whole = Manifest.model_validate_json(manifest.model_dump_json())
    assert whole == manifest
    if manifest.task == "compose":
        assert manifest.spec_as(ComposeSpec).restrikes is False
