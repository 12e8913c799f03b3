"""From picture files and captions to a bundle that says what is to be seen."""

from __future__ import annotations

import base64
import csv
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image, ImageDraw

from app.bundle.reader import read_bundle
from app.core.errors import DataError
from app.features.text import TextCodec
from app.registry.verification import verify
from app.tasks.caption.spec import CaptionSpec
from tests.e2e.server import ServerProcess
from tests.rig import REGISTERED
from training.attending.fitting import LEAST_STEPS
from training.caption.corpus import Vocabulary, caption_tokenizer
from training.caption.data import load
from training.caption.recipe import CaptionRecipe
from training.caption.settings import CaptionOptions
from training.run import run

COLOURS = ("red", "green", "blue")
SHAPES = ("circle", "square")
SMALL: dict[str, Any] = {
    "encoder": "scratch",
    "size": 64,
    "mirror": True,
    "min_count": 1,
    "embedding": 32,
    "hidden": 32,
    "attention": 16,
    "values": 32,
    "dropout": 0.0,
    "embedding_dropout": 0.0,
    "token_dropout": 0.0,
    "smoothing": 0.0,
    "max_tokens": 8,
    "batch": 8,
    "epochs": 8,
    "learning_rate": 0.01,
    "warmup_steps": 5,
    "average_decay": 0.0,
    "precision": "float32",
    "threads": 1,
    "quiet": True,
}


def drawn(colour: str, shape: str, seed: int) -> Image.Image:
    """A shape somewhere on grey."""
    chance = np.random.default_rng(seed)
    image = Image.new("RGB", (80, 60), (128, 128, 128))
    left, top = chance.integers(2, 30, 2).tolist()
    place = (left, top, left + 28, top + 28)
    draw = ImageDraw.Draw(image)
    (draw.ellipse if shape == "circle" else draw.rectangle)(place, fill=colour)
    return image


@pytest.fixture(scope="module")
def table(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Pictures of six kinds, with two captions each."""
    folder = tmp_path_factory.mktemp("pictures")
    with (folder / "captions.csv").open("w", newline="") as file:
        lines = csv.writer(file)
        lines.writerow(["path", "text"])
        for index in range(96):
            colour, shape = COLOURS[index % 3], SHAPES[index % 2]
            drawn(colour, shape, index).save(folder / f"{index}.png")
            lines.writerow([f"{index}.png", f"A {colour} {shape} ."])
            lines.writerow([f"{index}.png", f"one {shape}, all {colour}"])
    return folder / "captions.csv"


@pytest.fixture(scope="module")
def bundle(table: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What the command makes of them."""
    out = tmp_path_factory.mktemp("models")
    return run(CaptionRecipe, {"csv": table, "image": "path", "caption": "text", "out": out, **SMALL})


def test_a_users_pictures_make_a_captioner_that_names_what_it_sees(bundle: Path) -> None:
    """Behind a server, of pictures it has never seen."""
    with ServerProcess(bundle.parent.parent, tasks="caption") as server, server.client() as http:
        right = 0
        for index in range(12):
            colour, shape = COLOURS[index % 3], SHAPES[index % 2]
            path = bundle.parent.parent / "new.png"
            drawn(colour, shape, 1000 + index).save(path)
            images = base64.b64encode(path.read_bytes()).decode()
            (found,) = http.post("/caption", json={"images": images}).json()["captions"]
            right += colour in found["text"]
    assert right >= 10


def test_the_card_has_the_figures_beside_honest_baselines(bundle: Path) -> None:
    """And the server's own checks of the bundle hold."""
    manifest = read_bundle(bundle).manifest
    verify(bundle, REGISTERED)
    figures = {quality.metric.partition(",")[0]: quality for quality in manifest.quality}
    assert [*figures] == ["BLEU-1", "BLEU-2", "BLEU-3", "BLEU-4", "CIDEr-D", "different captions"]
    assert "nrefs:2" in figures["BLEU-4"].metric
    best = figures["CIDEr-D"]
    assert best.value > best.baselines["the caption that suits most pictures"]
    assert "greedy" in best.baselines
    assert "a person against the others" in figures["BLEU-4"].baselines
    assert not figures["BLEU-4"].references
    spec = manifest.spec_as(CaptionSpec)
    assert (spec.size, spec.grid, spec.detail) == (64, (4, 4), None)
    assert "--csv captions.csv --image path --caption text" in manifest.provenance.command
    assert manifest.encoder is not None


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ({"dataset": "flickr9k"}, "flickr8k"),
        ({}, "--csv"),
        ({"csv": "captions.csv", "image": "file"}, "--image"),
        ({"csv": "few.csv"}, "at least 40"),
        ({"csv": "missing.csv"}, "missing.csv"),
        ({"csv": "captions.csv", "size": 50}, "multiple of 16"),
        ({"csv": "captions.csv", "encoder": "lite0", "size": 64, "weights": "captions.csv"}, "sha256"),
        ({"csv": "lost.csv"}, "lost.png"),
        ({"csv": "broken.csv"}, "captions.csv"),
    ],
)
def test_what_cannot_be_trained_on_is_said_in_one_line(
    table: Path, given: dict[str, Any], words: str, tmp_path: Path
) -> None:
    (table.parent / "few.csv").write_text("path,text\n0.png,a red circle\n")
    lines = "".join(f"{index}.png,a red circle\n" for index in range(60))
    (table.parent / "lost.csv").write_text("path,text\n" + lines + "lost.png,a red circle\n")
    (table.parent / "broken.csv").write_text("path,text\n" + lines + "captions.csv,a red circle\n")
    files: dict[str, Any] = {name: table.parent / given[name] for name in ("csv", "weights") if name in given}
    columns = {"image": "path", "caption": "text", "cache": tmp_path / "kept"}
    with pytest.raises(DataError) as refused:
        run(
            CaptionRecipe, {**SMALL, **columns, "out": tmp_path, "cache": tmp_path / "kept", **given, **files}
        )
    assert words in refused.value.message
    assert "\n" not in refused.value.message


def test_few_pictures_are_gone_over_more_often(table: Path) -> None:
    """Unless it is said how often."""
    options = CaptionOptions(csv=table, image="path", caption="text")
    recipe = CaptionRecipe.load(options, {**SMALL, "epochs": None}, None)
    assert recipe.settings.epochs * recipe.batches_per_epoch >= LEAST_STEPS
    assert CaptionRecipe.load(options, SMALL, None).settings.epochs == SMALL["epochs"]


def test_a_network_that_has_hardly_learned_is_not_the_best(table: Path) -> None:
    """However well words at random score: each epoch is better than the one before."""
    recipe = CaptionRecipe.load(CaptionOptions(csv=table, image="path", caption="text"), SMALL, None)
    net = recipe.build_net().eval()
    scores = []
    for epoch in range(-(-100 // recipe.batches_per_epoch)):
        next(iter(recipe.batches(epoch)))
        scores.append(recipe.validate(net))
    assert scores == sorted(scores, reverse=True)
    assert len({*scores}) == len(scores) > 2
    assert scores[-2] > 0 >= scores[-1]


def test_parts_share_no_picture(table: Path) -> None:
    """All captions of a picture are in one part; the same seed parts alike."""
    options = CaptionOptions(csv=table, image="path", caption="text")
    corpus = load(options, None, 1)
    parts = [{picture.name for picture in part} for part in (corpus.train, corpus.validation, corpus.test)]
    assert sum(map(len, parts)) == len(set().union(*parts)) == 96
    assert all(len(picture.captions) == 2 for picture in corpus.train)
    assert load(options, None, 1).test == corpus.test
    assert load(options, None, 2).test != corpus.test


def test_words_are_joined_as_people_write_them() -> None:
    """Marks stand at the word before; words with hyphens are one; a full stop at the end is left out."""
    texts = ["A man 's t-shirt , red and blue .", "Two dogs play ."]
    vocabulary = Vocabulary(TextCodec(caption_tokenizer(texts, 100, 1)))
    tokens = vocabulary.tokens(texts[0], 40)
    assert (tokens[0], tokens[-1]) == (vocabulary.start, vocabulary.end)
    assert vocabulary.codec.decode(tokens[1:-1]) == "a man's t-shirt, red and blue"
    stream = vocabulary.codec.stream()
    assert "".join(map(stream, tokens[1:-1])) == "a man's t-shirt, red and blue"
    assert vocabulary.tokens("a a a a", 3) == [vocabulary.start, *vocabulary.codec.encode("a a a")]
    assert vocabulary.codec.encode("zebra") == [vocabulary.codec.unknown]
