"""What a manifest says of outputs and columns, and what it may not say."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from app.bundle.reader import read_bundle
from app.core.errors import InvalidManifest
from app.core.numbers import softmax
from app.tasks.sequence.model import SequenceModel
from app.tasks.sequence.outputs import OutputReader
from app.tasks.sequence.schema import SequenceLimits
from app.tasks.sequence.spec import NamedOutput, SequenceSpec
from tests.tasks.sequence.conftest import MODEL


def test_outputs_have_the_names_of_the_manifest() -> None:
    """Classes by logits, by probabilities, by one number; numbers alone, several, by column."""
    spec = SequenceSpec(
        width=1,
        outputs=(
            NamedOutput(name="kind", size=2, labels=("a", "b")),
            NamedOutput(name="chance", size=2, labels=("a", "b"), scores="probabilities"),
            NamedOutput(name="alarm", labels=("off", "on"), scores="probabilities"),
            NamedOutput(name="one"),
            NamedOutput(name="two", size=2),
            NamedOutput(name="named", size=2, columns=("x", "y")),
        ),
    )
    values = np.array([[1.0, 3.0, 0.25, 0.75, 0.9, 7.0, 8.0, 9.0, 0.1, 0.2]], np.float32)
    (said,) = OutputReader(spec).read(values)
    expected = softmax(np.array([1.0, 3.0], np.float32))
    assert said["kind"]["label"] == "b"
    assert [*said["kind"]["scores"].values()] == pytest.approx(expected.tolist(), abs=1e-6)
    assert said["chance"] == {"label": "b", "score": 0.75, "scores": {"a": 0.25, "b": 0.75}}
    assert (said["alarm"]["label"], said["alarm"]["scores"]["off"]) == ("on", pytest.approx(0.1, abs=1e-6))
    assert (said["one"], said["two"]) == (7.0, [8.0, 9.0])
    assert said["named"] == {"x": pytest.approx(0.1), "y": pytest.approx(0.2)}


@pytest.mark.parametrize(
    ("spec", "said"),
    [
        ({"outputs": [{"name": "y"}]}, "exactly one of columns, width and vocabulary"),
        ({"width": 2, "vocabulary": 3, "outputs": [{"name": "y"}]}, "exactly one"),
        ({"columns": [{"name": "a"}, {"name": "a"}], "outputs": [{"name": "y"}]}, "one name"),
        ({"width": 1, "outputs": [{"name": "y", "size": 3, "labels": ["a", "b"]}]}, "3 numbers for 2 labels"),
        ({"width": 1, "outputs": [{"name": "y", "size": 2, "labels": ["a", "a"]}]}, "one name"),
        ({"width": 1, "outputs": [{"name": "y", "size": 2, "columns": ["a"]}]}, "1 columns"),
        ({"width": 1, "outputs": []}, "at least 1"),
        ({"width": 1, "outputs": [{"name": "y"}], "reads": "last"}, "reads"),
    ],
)
def test_a_wrong_manifest_is_refused(models: Path, spec: dict[str, Any], said: str) -> None:
    """With the field or what is wrong; also one that does not fit its graph."""
    bundle = read_bundle(models / MODEL / "1")
    wrong = bundle.manifest.model_copy(
        update={"spec": type(bundle.manifest.spec).model_validate({"task": "sequence", **spec})}
    )
    with pytest.raises(InvalidManifest, match=said):
        wrong.spec_as(SequenceSpec)


def test_a_spec_that_does_not_fit_the_graph_is_refused(models: Path) -> None:
    """Another width, or another number of outputs."""
    bundle = read_bundle(models / MODEL / "1")
    for spec in (
        SequenceSpec(width=3, outputs=(NamedOutput(name="y", size=4),)),
        SequenceSpec(width=2, outputs=(NamedOutput(name="y", size=3),)),
    ):
        manifest = bundle.manifest.model_copy(update={"spec": spec})
        with pytest.raises(InvalidManifest, match="graph"):
            SequenceModel(replace(bundle, manifest=manifest), SequenceLimits())
