"""From a CSV of one's own readings, or of texts, to a bundle; honest parts and baselines."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from app.bundle.reader import read_bundle
from app.core.errors import DataError
from app.registry.verification import verify
from app.tasks.sequence.spec import SequenceSpec
from tests.docs_site.recorded import DOCS
from tests.public_data import data_folder
from tests.rig import REGISTERED
from training.run import run
from training.sequence.baselines import baselines
from training.sequence.batches import MIN_BATCHES, num_batches, training_batches
from training.sequence.data import load
from training.sequence.measure import figures
from training.sequence.recipe import SequenceRecipe
from training.sequence.series import Series, by_group, by_time, judged
from training.sequence.settings import SequenceOptions

SMALL: dict[str, Any] = {
    "hidden": 12,
    "epochs": 25,
    "window": 24,
    "threads": 1,
    "quiet": True,
    "batch": 8,
    "learning_rate": 0.02,
    "dropout": 0.0,
    "recurrent_dropout": 0.0,
    "average_decay": 0.0,
    "warmup_steps": 5,
}


@pytest.fixture(scope="module")
def machines(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Ten machines that fail after long vibration; decimal commas, gaps, rows in disorder."""
    random = np.random.default_rng(0)
    lines = ["machine;day;vibration;heat;constant;failure"]
    for machine in range(10):
        level, rows = 0.0, []
        for day in range(60):
            vibration = random.normal()
            level = 0.7 * level + vibration
            heat = "" if random.random() < 0.2 else f"{20 + vibration:.2f}".replace(".", ",")
            failure = "yes" if level > 0.8 else "no"
            number = f"{vibration:.3f}".replace(".", ",")
            rows.append(f"M{machine};{day};{number};{heat};7;{failure}")
        random.shuffle(rows)
        lines += rows
    path = tmp_path_factory.mktemp("data") / "machines.csv"
    path.write_text("\n".join(lines) + "\n")
    return path


def options(path: Path, **more: Any) -> SequenceOptions:
    """Of the machines."""
    return SequenceOptions(**{"csv": path, "group": "machine", "time": "day", "target": "failure", **more})


@pytest.mark.parametrize("cell", ["rnn", "lstm", "gru"])
def test_readings_become_a_bundle_that_beats_its_baselines(machines: Path, tmp_path: Path, cell: str) -> None:
    """On machines never seen; every check of a bundle holds, equal bits among them."""
    given = {"csv": machines, "group": "machine", "time": "day", "target": "failure", "cell": cell}
    folder = run(SequenceRecipe, {**given, **SMALL, "out": tmp_path})
    checks = list(verify(folder, REGISTERED))
    assert [check.verdict for check in checks] == ["ok"] * len(checks), checks
    manifest = read_bundle(folder).manifest
    spec = manifest.spec_as(SequenceSpec)
    assert [(column.name, column.missing) for column in spec.columns] == [
        ("vibration", False),
        ("heat", True),
        ("constant", False),
    ]
    assert (spec.outputs[0].name, spec.outputs[0].labels, spec.read) == ("failure", ("no", "yes"), "each")
    accuracy, f1 = manifest.quality
    assert accuracy.split == "a random 15 % of the groups"
    assert set(f1.baselines) == {"most frequent", "last value", "logistic regression on window statistics"}
    assert f1.value > max(f1.baselines["most frequent"], f1.baselines["last value"])
    assert "--group machine" in manifest.provenance.command


def test_a_number_ahead_is_told_in_its_unit(machines: Path, tmp_path: Path) -> None:
    """With a time split: one that knows the mean alone is worse."""
    given = {"csv": machines, "group": "machine", "time": "day", "target": "vibration", "split": "time"}
    folder = run(SequenceRecipe, {**given, **SMALL, "inputs": "heat", "out": tmp_path})
    manifest = read_bundle(folder).manifest
    mae = manifest.quality[0]
    assert (mae.metric, mae.split) == ("MAE of vibration", "the last 15 % of each series in time")
    assert mae.value < mae.baselines["mean"]
    assert manifest.spec_as(SequenceSpec).outputs[0].labels == ()


def test_texts_are_read_letter_by_letter(tmp_path: Path) -> None:
    """The same text is in one part alone; the tokenizer comes with the bundle."""
    random = np.random.default_rng(0)
    words = {"".join(random.choice(list("aeiou"), 4)) for _ in range(60)}
    others = {"".join(random.choice(list("klmnp"), 4)) for _ in range(60)}
    lines = ["name,kind", *(f"{word},vowels" for word in words), *(f"{word},others" for word in others)]
    path = tmp_path / "words.csv"
    path.write_text("\n".join([*lines, *lines[1:20]]) + "\n")
    given: dict[str, Any] = {"csv": path, "text": "name", "target": "kind"}
    folder = run(SequenceRecipe, {**given, **SMALL, "out": tmp_path / "models"})
    bundle = read_bundle(folder)
    assert bundle.tokenizer is not None
    assert bundle.manifest.quality[0].value > 0.95
    corpus = load(SequenceOptions(**given), None, 0)
    texts = [{series.text for series in part} for part in (corpus.train, corpus.validation, corpus.test)]
    assert sum(map(len, texts)) == len(set.union(*texts))


@settings(max_examples=50, deadline=None)
@given(st.lists(st.integers(1, 40), min_size=1, max_size=12), st.integers(0, 5))
def test_parts_in_time_do_not_overlap_and_leave_nothing_out(lengths: list[int], seed: int) -> None:
    """Every target is in one part; a part sees the steps before its own, and none behind."""
    series = [
        Series(np.zeros((n, 1), np.float32), np.arange(100.0 * place, 100.0 * place + n), np.full(n, np.nan))
        for place, n in enumerate(lengths)
    ]
    parts = by_time(series)
    assert sorted(np.concatenate([judged(part) for part in parts]).tolist()) == sorted(
        judged(series).tolist()
    )
    for part in parts:
        for each in part:
            assert np.isfinite(each.targets[-1])
    if len(series) >= 6:
        grouped = by_group(series, [str(place) for place in range(len(series))], seed)
        assert all(grouped)
        assert sum(map(len, grouped)) == len(series)


@pytest.mark.skipif(data_folder() is None, reason="no public data here")
def test_the_baselines_of_the_page_are_those_of_its_data() -> None:
    """Of the smaller of its two tables."""
    page = (DOCS / "your-data.md").read_text()
    folder = data_folder()
    assert folder is not None
    csv = folder / "forecasting/weather/seattle-weather.csv"
    assert "--csv seattle-weather.csv --time date --target weather`" in page
    corpus = load(SequenceOptions(csv=csv, time="date", target="weather"), None, 0)
    found = [figures(judged(corpus.test), said, classes=True) for said in baselines(corpus, 0).values()]
    for metric, row in (("accuracy", "by its rain"), ("macro F1", "the same: macro F1")):
        (line,) = [line for line in page.splitlines() if row in line]
        shown = [float(cell.strip(" *")) for cell in line.split("|")[3:-1]]
        assert shown == pytest.approx([one[metric] for one in found], abs=0.01)


def test_an_epoch_of_little_data_goes_over_it_again(machines: Path) -> None:
    """Else a few rows would be one step an epoch, and the training over before it begins."""
    series = load(options(machines, inputs="vibration"), None, 0).train
    for window, batch, enough in ((96, 64, False), (4, 1, True)):
        seen = list(training_batches(series, window, batch, np.random.default_rng(0)))
        assert len(seen) == pytest.approx(num_batches(series, window, batch), abs=1)
        assert (len(seen) > 2 * MIN_BATCHES) is enough


def test_the_last_value_is_one_that_was_known(machines: Path) -> None:
    """That of the step before or, with rows ahead, that of the step itself."""
    now = load(options(machines, inputs="vibration"), None, 0)
    ahead = load(options(machines, inputs="vibration", ahead=3), None, 0)
    (one,), (other,) = now.test[:1], ahead.test[:1]
    np.testing.assert_array_equal(one.known[1:], one.targets[:-1])
    np.testing.assert_array_equal(other.targets[:-3], one.targets[3:])
    np.testing.assert_array_equal(other.known, one.targets)
    assert np.isnan(other.targets[-3:]).all()
    assert set(baselines(now, 0)) == {
        "most frequent",
        "last value",
        "logistic regression on window statistics",
    }


@pytest.mark.parametrize(
    ("content", "given", "said"),
    [
        ("a,target\n1,x\n", {"inputs": "b"}, "no column 'b'"),
        ("a,target\n1,x\n", {"target": "y"}, "no column 'y'"),
        ("a,target\nfoo,1\n", {"inputs": "a"}, "'foo' is not a number"),
        ("a,target\n1,x\n2,x\n", {}, "has 1 labels"),
        ("note,target\nu,x\nv,y\n", {}, "no column holds numbers"),
        ("a,target\n" + "1,x\n2,y\n" * 10, {}, "validation part"),
        ("g,a,target\n" + "q,1,x\nq,2,y\n" * 10, {"group": "g", "split": "group"}, "6 groups or more"),
        ("a,target\n", {}, "no rows"),
        ("t,a,target\n" + "never,1,x\nnever,2,y\n" * 20, {"time": "t"}, "never"),
    ],
)
def test_what_cannot_be_learned_from_is_told(
    tmp_path: Path, content: str, given: dict[str, Any], said: str
) -> None:
    """With the file, and what is wrong in it."""
    path = tmp_path / "own.csv"
    path.write_text(content)
    with pytest.raises(DataError, match=said):
        load(SequenceOptions(csv=path, **given), None, 0)
