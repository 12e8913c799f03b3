"""The generate recipe on tiny texts: command line to bundle, and figures that mean what they say."""

from __future__ import annotations

import dataclasses
import gzip
import shlex
from pathlib import Path

import numpy as np
import onnx
import pytest
import torch
from typer.testing import CliRunner

from app.bundle.reader import Bundle, read_bundle
from app.core.errors import DataError, TrainingError
from app.features.text import TextCodec
from app.tasks.generate.spec import GenerateSpec
from training.cells import Cell
from training.cli import command_line
from training.generate.corpus import TextSplit, read_text, stripped_lines
from training.generate.data import Corpus, load_file
from training.generate.measure import count_units, measure, ngram_baselines, total_nats
from training.generate.net import LanguageModel
from training.generate.recipe import GenerateRecipe
from training.generate.settings import PRESETS, GenerateSettings, TextOptions
from training.graph_net import GraphNet
from training.run import run
from training.token_net import TokenNetConfig

SONG = "the cat sat on the mat and the rat sat on the cat\n" * 40
NAMES = "\n".join(f"{a}{b}{c}" for a in "abcd" for b in "aeiou" for c in "lmnrs") + "\n"
SMALL = ["--hidden", "16", "--embedding", "8", "--epochs", "2", "--threads", "1", "--quiet"]


def train(tmp_path: Path, text: str, *options: str) -> Bundle:
    """Run the command line on a text and read the bundle it wrote."""
    file = tmp_path / "song.txt"
    file.write_text(text, encoding="utf-8")
    words = ["generate", "--text", str(file), "--name", "song", "--out", str(tmp_path), *SMALL, *options]
    result = CliRunner().invoke(command_line(), words, catch_exceptions=False)
    assert result.exit_code == 0, result.output
    return read_bundle(tmp_path / "song" / "1")


@pytest.mark.parametrize("cell", ["rnn", "lstm", "gru"])
def test_two_epochs_of_each_cell_make_a_bundle(tmp_path: Path, cell: Cell) -> None:
    """The bundle verifies, names its cell, and records figure, baselines, data and command."""
    bundle = train(tmp_path, SONG, "--cell", cell, "--length", "32", "--batch-size", "8")
    manifest = bundle.manifest
    assert (manifest.network.cell, manifest.network.hidden) == (cell, 16)
    spec = manifest.spec_as(GenerateSpec)
    assert (spec.unit, spec.end_token, spec.start_always) == (
        "character",
        None,
        False,
    )
    (figure,) = manifest.quality
    assert set(figure.baselines) == {f"{order}-gram" for order in range(1, 6)}
    assert 0 < figure.value < 4
    assert [source.name for source in manifest.provenance.data] == ["song.txt"]
    command = shlex.split(manifest.provenance.command)
    assert command[:2] == ["rnnserve-train", "generate"]
    assert command[command.index("--cell") + 1] == cell
    assert str(tmp_path) not in manifest.provenance.command


def test_the_recorded_figure_is_that_of_the_graph(tmp_path: Path) -> None:
    """Reading the last tenth with the exported graph gives the nats in the manifest."""
    bundle = train(tmp_path, SONG)
    assert bundle.tokenizer is not None
    corpus = load_file(tmp_path / "song.txt", lines=False, seed=0)
    assert corpus.parts.test == [SONG[int(len(SONG) * 0.9) :]]
    figure = measure(GraphNet(bundle), TextCodec(bundle.tokenizer), corpus, lines=False)
    assert figure.value == pytest.approx(bundle.manifest.quality[0].value, rel=1e-4)


def test_lines_begin_and_end_with_the_line_end(tmp_path: Path) -> None:
    """The line end starts every text and ends it when it is produced."""
    bundle = train(tmp_path, NAMES, "--lines")
    spec = bundle.manifest.spec_as(GenerateSpec)
    assert bundle.tokenizer is not None
    (end,) = TextCodec(bundle.tokenizer).encode("\n")
    assert (spec.start_token, spec.end_token, spec.start_always) == (end, end, True)


def test_a_text_too_short_to_cut_is_refused(tmp_path: Path) -> None:
    """Before training, in words."""
    (tmp_path / "abc.txt").write_text("abc")
    with pytest.raises(DataError, match="too few"):
        run(GenerateRecipe, {"text": tmp_path / "abc.txt", "threads": 1, "quiet": True})


def test_words_with_tied_weights_hold_them_once(tmp_path: Path) -> None:
    """The graph has one table for the embedding and the head; the answer's text has its spaces."""
    tied = ["--tokenizer", "word", "--tied", "--embedding", "16"]
    bundle = train(tmp_path, SONG, *tied)
    assert bundle.tokenizer is not None
    codec = TextCodec(bundle.tokenizer)
    assert codec.decode(codec.encode("the cat\nsat")) == " the cat\n sat"
    tables = [
        each for each in onnx.load_from_string(bundle.graph).graph.initializer if codec.size in each.dims
    ]
    assert [list(each.dims) for each in tables] == [[16, codec.size], [codec.size]]
    with pytest.raises(TrainingError, match="embedding is 16, hidden is 8"):
        train(tmp_path, SONG, *tied, "--hidden", "8")


def test_a_treebank_is_measured_per_word_by_its_own_parts(tmp_path: Path) -> None:
    """The perplexity of each word and line end, n-grams of words beside it."""
    files = [tmp_path / f"ptb.{part}.txt.gz" for part in ("train", "valid", "test")]
    for file in files:
        file.write_bytes(gzip.compress(b" the <unk> sat \n on N mats \n"))
    parts = TextSplit(*([stripped_lines(read_text(file))] for file in files))
    assert parts.test == ["the <unk> sat\non N mats\n"]
    corpus = Corpus("ptb", parts, "official test", (), unit="word")
    settings = dataclasses.replace(PRESETS["ptb"], hidden=8, embedding=8, dynamic=False)
    recipe = GenerateRecipe(TextOptions("ptb"), settings, corpus)
    (figure,) = recipe.measure(recipe.build_net().eval())
    assert (figure.metric, figure.split) == ("perplexity per word", "official test")
    assert figure.value == pytest.approx(np.exp(recipe.validate(recipe.build_net().eval())), rel=0.1)
    assert 6 < figure.value < 9  # seven tokens, and a network that knows nothing
    assert figure.baselines["3-gram"] < figure.baselines["1-gram"] < 8
    files[0].write_bytes(files[0].read_bytes()[:20])
    with pytest.raises(DataError, match=r"cannot read the text file 'ptb\.train\.txt\.gz'"):
        read_text(files[0])


def test_words_of_the_users_own_are_measured_per_word(tmp_path: Path) -> None:
    """Of the last tenth, or of some lines; per character an unknown word would hide what it is made of."""
    for more, split in (([], "last 10 %"), (["--lines"], "random tenth of the lines, by seed")):
        figure = train(tmp_path, SONG, "--tokenizer", "word", *more).manifest.quality[0]
        assert (figure.metric, figure.split) == ("perplexity per word", split)
        assert 1 < figure.value < 60
    with pytest.raises(TrainingError, match="--dynamic follows one text"):
        train(tmp_path, SONG, "--lines", "--dynamic")


def test_byte_pairs_are_measured_per_character(tmp_path: Path) -> None:
    """The figure of a token model can be compared with the n-grams over characters."""
    bundle = train(tmp_path, SONG, "--tokenizer", "bpe", "--vocab-size", "270")
    spec = bundle.manifest.spec_as(GenerateSpec)
    assert (spec.unit, spec.vocabulary) == ("token", 270)
    (figure,) = bundle.manifest.quality
    assert figure.metric == "nats per character"
    assert figure.value < np.log(270)


def test_the_same_seed_gives_the_same_bundle(tmp_path: Path) -> None:
    """Graphs are equal byte for byte for one seed, and differ for another."""
    graphs = []
    for number, seed in enumerate(["1", "1", "2"]):
        folder = tmp_path / str(number)
        folder.mkdir()
        graphs.append(train(folder, SONG, "--seed", seed, "--dropout", "0.3").graph)
    assert graphs[0] == graphs[1] != graphs[2]


def test_a_finished_run_can_be_exported_again(tmp_path: Path) -> None:
    """With --resume the training is only loaded, and the bundle's graph is the same."""
    checkpoint = ["--checkpoint", str(tmp_path / "run.pt")]
    first = train(tmp_path, SONG, *checkpoint)
    again = train(tmp_path, SONG, *checkpoint, "--resume")
    assert first.graph == again.graph
    assert first.manifest.provenance.training_seconds == again.manifest.provenance.training_seconds


def test_a_text_is_learned(tmp_path: Path) -> None:
    """A dozen epochs on a song of one line beat the bigram."""
    bundle = train(
        tmp_path, SONG, "--epochs", "12", "--learning-rate", "0.02", "--hidden", "32", "--length", "32"
    )
    (figure,) = bundle.manifest.quality
    assert figure.value < figure.baselines["2-gram"]


@pytest.mark.parametrize(
    ("dataset", "text", "message"),
    [
        (None, None, "give either --text FILE or --dataset NAME"),
        ("names", Path("x.txt"), "give either"),
        ("mnist", None, "unknown data set 'mnist'; allowed: tinyshakespeare, names, ptb"),
        (None, Path("nowhere.txt"), r"cannot read 'nowhere\.txt'"),
    ],
)
def test_data_that_cannot_be_had_is_an_error(dataset: str | None, text: Path | None, message: str) -> None:
    """The message says what to give instead."""
    with pytest.raises(DataError, match=message):
        run(GenerateRecipe, {"dataset": dataset, "text": text, "threads": 1})


def test_an_unknown_tokenizer_is_refused() -> None:
    """With the ones there are."""
    result = CliRunner().invoke(command_line(), ["generate", "--text", "x.txt", "--tokenizer", "words"])
    assert result.exit_code == 2
    assert all(f"'{word}'" in result.output for word in ("words", "char", "bpe", "word"))


def test_an_interrupted_run_says_how_to_go_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Ctrl-C ends in one sentence, and nothing is exported."""

    def interrupt(*_: object) -> float:
        raise KeyboardInterrupt

    monkeypatch.setattr(GenerateRecipe, "validate", interrupt)
    file = tmp_path / "song.txt"
    file.write_text(SONG, encoding="utf-8")
    with pytest.raises(
        TrainingError, match="interrupted after 0 of 2 epochs; repeat the command with --resume"
    ):
        run(
            GenerateRecipe,
            {
                "text": file,
                "hidden": 8,
                "epochs": 2,
                "out": tmp_path / "models",
                "checkpoint": tmp_path / "run.pt",
                "threads": 1,
                "quiet": True,
            },
        )
    assert not (tmp_path / "models").exists()


def test_batches_cover_the_training_part_and_differ_by_epoch(tmp_path: Path) -> None:
    """An epoch of lines holds each line once; the order is another in the next epoch."""
    file = tmp_path / "names.txt"
    file.write_text(NAMES, encoding="utf-8")
    corpus = load_file(file, lines=True, seed=0)
    recipe = GenerateRecipe(TextOptions(text=file), GenerateSettings(lines=True, batch_size=16), corpus)
    epochs = [list(recipe.batches(epoch)) for epoch in (0, 1, 0)]
    assert len(epochs[0]) == recipe.batches_per_epoch
    assert sum(batch.inputs.shape[0] for batch in epochs[0]) == len(corpus.parts.train)
    assert not torch.equal(epochs[0][0].inputs, epochs[1][0].inputs)
    assert torch.equal(epochs[0][0].inputs, epochs[2][0].inputs)


def test_the_end_of_a_line_counts_as_a_character() -> None:
    """Two names of three letters are eight predictions as lines, and six as one stream."""
    assert count_units(["eva", "ada"], lines=True) == 8
    assert count_units(["eva", "ada"], lines=False) == 6


def test_the_presets_are_the_shipped_networks() -> None:
    """An LSTM over Shakespeare and a vanilla RNN over names."""
    assert (PRESETS["tinyshakespeare"].cell, PRESETS["tinyshakespeare"].lines) == ("lstm", False)
    assert (PRESETS["names"].cell, PRESETS["names"].lines) == ("rnn", True)


def test_baselines_improve_with_order_on_regular_text(tmp_path: Path) -> None:
    """On a song of one line the 5-gram is far better than the unigram."""
    file = tmp_path / "song.txt"
    file.write_text(SONG, encoding="utf-8")
    baselines = ngram_baselines(load_file(file, lines=False, seed=0).parts, lines=False)
    assert baselines["1-gram"] > baselines["3-gram"] > baselines["5-gram"]
    assert baselines["5-gram"] < 0.5


def test_an_untrained_network_is_as_surprised_as_chance() -> None:
    """About log(vocabulary) nats a token, whether in one part or in several."""
    torch.manual_seed(0)
    net = LanguageModel(TokenNetConfig(30, embedding=4, hidden=4)).eval()
    ids = np.random.default_rng(0).integers(0, 30, 2001)
    whole = total_nats(net, [ids], 0, lines=False) / 2001
    parts = total_nats(net, [ids], 0, lines=False, num_parts=4) / 2000
    assert whole == pytest.approx(np.log(30), abs=0.3)
    assert parts == pytest.approx(whole, abs=0.01)
