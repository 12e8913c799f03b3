"""The sentiment recipe on a tiny CSV: command line to bundle, any labels, honest figures."""

from __future__ import annotations

import functools
import shlex
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner

from app.bundle.reader import Bundle, read_bundle
from app.core.errors import DataError, TrainingError
from app.features.text import TextCodec
from app.tasks.sentiment.spec import SentimentSpec
from training.cells import Cell
from training.cli import command_line
from training.graph_net import GraphNet
from training.run import run
from training.sentiment.data import encode, load_csv
from training.sentiment.measure import Verdicts
from training.sentiment.recipe import SentimentRecipe

LABELS = ("glad", "sad", "so-so")
SMALL = ["--hidden", "12", "--embedding", "8", "--epochs", "2", "--threads", "1", "--quiet"]


@pytest.fixture(scope="module")
def csv(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Texts whose label is told by one word among noise."""
    random = np.random.default_rng(0)
    told_by = {"glad": "lovely", "sad": "dreadful", "so-so": "bearable"}
    lines = ["review,mood"]
    for index in range(150):
        label = LABELS[index % 3]
        noise = random.choice(["the", "film", "was", "really", "a", "plot"], random.integers(2, 70)).tolist()
        noise.insert(int(random.integers(len(noise))), told_by[label])
        lines.append(f'"{" ".join(noise)}, indeed",{label}')
    path = tmp_path_factory.mktemp("csv") / "moods.csv"
    path.write_text("\n".join(lines), encoding="utf-8")
    return path


def train(csv: Path, *options: str) -> Bundle:
    """Run the command line and read the bundle it wrote beside the CSV."""
    words = ["sentiment", "--csv", str(csv), "--text", "review", "--label", "mood", "--out", str(csv.parent)]
    result = CliRunner().invoke(command_line(), [*words, *SMALL, *options], catch_exceptions=False)
    assert result.exit_code == 0, result.output
    return read_bundle(csv.parent / "sentiment" / "1")


@pytest.fixture(scope="module")
def trained(csv: Path) -> Callable[[Cell], Bundle]:
    """Two epochs of a cell, trained when it is first asked for."""
    return functools.cache(lambda cell: train(csv, "--cell", cell))


@pytest.mark.parametrize("cell", ["rnn", "lstm", "gru"])
def test_two_epochs_of_each_cell_make_a_bundle(trained: Callable[[Cell], Bundle], cell: Cell) -> None:
    """The bundle verifies and records labels, cell, figure, baselines, data and command."""
    manifest = trained(cell).manifest
    assert manifest.spec_as(SentimentSpec).labels == LABELS
    assert manifest.network.cell == cell
    assert [field.name for field in manifest.row.fields][-2:] == ["sum", "count"]
    figure, calibration = manifest.quality
    assert (figure.metric, calibration.metric) == ("accuracy", "calibration error")
    assert set(figure.baselines) == {"majority", "bag-of-words logistic regression"}
    assert figure.baselines["majority"] == pytest.approx(1 / 3)
    command = shlex.split(manifest.provenance.command)
    assert command[command.index("--csv") + 1] == "moods.csv"
    assert command[command.index("--text") + 1] == "review"


def test_the_recorded_figure_is_that_of_the_graph(csv: Path, trained: Callable[[Cell], Bundle]) -> None:
    """Labelling the test part with the exported graph gives the accuracy in the manifest."""
    bundle = trained("gru")
    assert bundle.tokenizer is not None
    _, (corpus,), _ = load_csv(csv, "review", "mood", seed=0)
    test = encode(TextCodec(bundle.tokenizer), corpus.test)
    verdicts = Verdicts.of(GraphNet(bundle), test)
    accuracy, calibration = (figure.value for figure in bundle.manifest.quality)
    assert verdicts.accuracy == accuracy
    assert verdicts.calibration_error == pytest.approx(calibration, abs=1e-5)


def test_what_tells_labels_apart_is_learned(csv: Path) -> None:
    """A few epochs are far above the majority."""
    quiet = ["--dropout", "0", "--embedding-dropout", "0", "--word-dropout", "0", "--recurrent-dropout", "0"]
    bundle = train(csv, "--epochs", "10", "--learning-rate", "0.01", "--warmup-steps", "0", *quiet)
    assert bundle.manifest.quality[0].value > 0.8


def test_texts_without_words_read_as_unknown(csv: Path, trained: Callable[[Cell], Bundle]) -> None:
    """Every text has at least one step."""
    _, (corpus,), _ = load_csv(csv, "review", "mood", seed=0)
    bundle = trained("gru")
    assert bundle.tokenizer is not None
    texts = type(corpus.test)(["\u200b ", "plot"], [0, 1])
    assert all(encode(TextCodec(bundle.tokenizer), texts).tokens)


def test_texts_of_one_word_each_make_a_bundle(tmp_path: Path) -> None:
    """Their words go with no others, so the embedding starts at random."""
    file = tmp_path / "words.csv"
    file.write_text(
        "\n".join(["review,mood", *(f"word{index % 40},{LABELS[index % 3]}" for index in range(120))])
    )
    assert train(file, "--min-count", "1").manifest.quality


def test_texts_without_a_frequent_word_are_refused_before_training(tmp_path: Path) -> None:
    """The message names the option."""
    file = tmp_path / "rare.csv"
    file.write_text("\n".join(["review,mood", *(f"word{index},{LABELS[index % 3]}" for index in range(12))]))
    with pytest.raises(TrainingError, match="no word occurs 2 times; a smaller min_count"):
        run(SentimentRecipe, {"csv": file, "text": "review", "label": "mood", "out": tmp_path, "threads": 1})


@pytest.mark.parametrize(
    ("dataset", "csv_path", "message"),
    [
        (None, None, "give either --csv FILE or --dataset NAME"),
        ("mr", None, "unknown data set 'mr'; allowed: sst-imdb"),
        (None, Path("nowhere.csv"), r"cannot read 'nowhere\.csv'"),
    ],
)
def test_data_that_cannot_be_had_is_an_error(
    tmp_path: Path, dataset: str | None, csv_path: Path | None, message: str
) -> None:
    """The message says what to give instead."""
    with pytest.raises(DataError, match=message):
        run(SentimentRecipe, {"dataset": dataset, "csv": csv_path, "out": tmp_path, "threads": 1})
