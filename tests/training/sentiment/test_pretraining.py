"""A classifier that was a language model first: chunks, loss, and a run that is interrupted and resumed."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from app.bundle.reader import read_bundle
from app.core.errors import TrainingError
from app.features.text import TextCodec
from training.run import run
from training.sentiment.adaptive_head import AdaptiveHead
from training.sentiment.data import Corpus, load_csv
from training.sentiment.net import Classifier, ClassifierConfig
from training.sentiment.pretraining import (
    CarriedTextLoss,
    TextChunk,
    TextModel,
    nats_per_token,
    num_chunks,
    text_chunks,
)
from training.sentiment.recipe import SentimentRecipe
from training.sentiment.reviews import LabelledTexts

SIZE: dict[str, Any] = {"max_batch": 3, "batch_tokens": 1000}
TEXTS = [[7, 8, 9], [5], [1, 2, 3, 4, 5, 6, 7], [1, 2, 3, 4, 5, 6]]
SMALL: dict[str, Any] = {
    "hidden": 12,
    "embedding": 8,
    "epochs": 2,
    "pretrain_epochs": 2,
    "pretrain_length": 5,
    "threads": 1,
    "quiet": True,
}


def model() -> TextModel:
    """A small one, the same each time."""
    torch.manual_seed(0)
    return TextModel(Classifier(ClassifierConfig(12, labels=2, cell="gru", embedding=8, hidden=16)))


@pytest.fixture(scope="module")
def csv(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Texts of which each word but the first says the next."""
    chance = np.random.default_rng(0)
    words = [
        "the",
        "film",
        "was",
        "slow",
        "but",
        "in",
        "the",
        "end",
        "it",
        "moved",
        "me",
        "to",
        "tears",
        "again",
    ]
    lines = ["review,mood"]
    for index in range(90):
        begin, length = int(chance.integers(0, 5)), int(chance.integers(5, 9))
        told = ["lovely", "dreadful"][index % 2]
        lines.append(
            f"{' '.join([*words[begin : begin + length], told])},{'glad' if index % 2 == 0 else 'sad'}"
        )
    path = tmp_path_factory.mktemp("csv") / "moods.csv"
    path.write_text("\n".join(lines))
    return path


def test_every_token_but_a_texts_first_is_told_once() -> None:
    """However the texts are cut; those of one token are left out."""
    for length in (2, 3, 70):
        told: list[int] = []
        for chunk in text_chunks(TEXTS, length, **SIZE):
            for tokens, real in zip(chunk.tokens.tolist(), chunk.lengths.tolist(), strict=True):
                told += tokens[1:real]
        expected = [token for text in TEXTS for token in text[1:]]
        assert sorted(told) == sorted(expected)
        chunks = list(text_chunks(TEXTS, length, **SIZE))
        assert len(chunks) == num_chunks(TEXTS, length, **SIZE)
        assert sum(chunk.first for chunk in chunks) == 1
        assert all(chunk.tokens.shape[1] <= length + 1 for chunk in chunks)


def test_the_nats_of_a_text_do_not_depend_on_how_it_is_cut() -> None:
    """The state goes on from chunk to chunk, and padding counts for nothing."""
    net = model().eval()
    whole = nats_per_token(net, TEXTS, **SIZE)
    with torch.no_grad():
        alone = [
            net(TextChunk(torch.tensor([text]), torch.tensor([len(text)]), True), net.start(1))[0]
            for text in TEXTS
            if len(text) > 1
        ]
        assert whole == pytest.approx(float(torch.cat(alone).mean()), rel=1e-5)
        loss = CarriedTextLoss()
        cut = [
            (float(loss(net, chunk)), int((chunk.lengths - 1).clamp(0).sum()))
            for chunk in text_chunks(TEXTS, 2, **SIZE)
        ]
    total = sum(mean * count for mean, count in cut)
    assert whole == pytest.approx(total / sum(count for _, count in cut), rel=1e-5)


def test_the_adaptive_head_is_a_distribution_over_all_tokens() -> None:
    """Of each list; also where the vocabulary has but one; in bfloat16 it is nearly the same."""
    torch.manual_seed(0)
    for vocabulary, cutoffs in ((30, (4, 10)), (30, (4, 100)), (3, (4, 10)), (5, (4,))):
        head = AdaptiveHead(16, vocabulary, cutoffs)
        state = torch.randn(1, 16)
        nats = head(state.expand(vocabulary, -1), torch.arange(vocabulary))
        assert float((-nats).exp().sum().detach()) == pytest.approx(1, abs=1e-5)
        with torch.autocast("cpu", dtype=torch.bfloat16):
            low = head(state.expand(vocabulary, -1), torch.arange(vocabulary))
        assert low.dtype is torch.float32
        assert torch.allclose(low, nats, atol=0.05)
        low.sum().backward()
        assert all(weight.grad is not None for weight in head.parameters())


def test_what_it_learns_is_the_classifiers() -> None:
    """A text that repeats is learned; embedding and layers are those of the classifier, whose head stays."""
    net = model()
    before = {name: value.clone() for name, value in net.classifier.state_dict().items()}
    optimizer, loss = torch.optim.Adam(net.parameters(), lr=0.02), CarriedTextLoss()
    texts = [[1, 2, 3, 4, 5, 6] * 3] * 3
    start = nats_per_token(net.eval(), texts, **SIZE)
    net.train()
    for _ in range(60):
        for chunk in text_chunks(texts, 9, **SIZE):
            optimizer.zero_grad()
            loss(net, chunk).backward()  # type: ignore[no-untyped-call]  # torch left it untyped
            optimizer.step()
    assert nats_per_token(net.eval(), texts, **SIZE) < 0.2 < 2 < start
    changed = {
        name for name, value in net.classifier.state_dict().items() if not torch.equal(value, before[name])
    }
    assert {"embedding.weight", "recurrent.layers.weight_hh_l0"} <= changed
    assert not any(name.startswith("head") for name in changed)


def test_no_text_of_the_test_part_is_read() -> None:
    """Nor one twice, whatever its case and punctuation; of a treebank, which repeats its parts, none."""
    train = LabelledTexts(["A good film.", "a good film", "Dull!", "dreadful"], [1, 1, 0, 0])
    test = LabelledTexts(["dull", "nice"], [0, 1])
    corpus = Corpus("c", "test", train, test, test)
    assert corpus.running_texts == ["a good film", "dreadful"]
    assert not Corpus("c", "test", train, test, test, whole=False).running_texts


def trained(csv: Path, out: Path, **more: Any) -> Path:
    """The bundle's folder."""
    given = {"csv": csv, "text": "review", "label": "mood", "out": out, **SMALL, **more}
    return run(SentimentRecipe, given)


def test_the_card_tells_of_it_and_the_command_repeats_it(csv: Path, tmp_path: Path) -> None:
    """Nats a word on held-out texts."""
    bundle = read_bundle(trained(csv, tmp_path))
    assert "--pretrain-epochs 2" in bundle.manifest.provenance.command
    card = (tmp_path / "sentiment/1/README.md").read_text()
    assert "language model of the whole texts among them" in card
    assert "nats a word on held-out texts after 2 epochs" in card
    plain = trained(csv, tmp_path / "plain", pretrain_epochs=0)
    assert "language model" not in (plain / "README.md").read_text()
    assert bundle.tokenizer is not None
    assert TextCodec(bundle.tokenizer).size > 10


class Interrupt:
    """Raises Ctrl-C at a batch of a stage."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, stage: str, batch: int) -> None:
        self.count = 0
        name = "text_chunks" if stage == "pretraining" else "labelled_batches"
        whole = getattr(__import__("training.sentiment.recipe", fromlist=[name]), name)

        def batches(*args: Any, **more: Any) -> Iterator[Any]:
            for one in whole(*args, **more):
                self.count += 1
                if self.count == batch:
                    raise KeyboardInterrupt
                yield one

        monkeypatch.setattr(f"training.sentiment.recipe.{name}", batches)


@pytest.mark.parametrize("stage", ["pretraining", "training"])
def test_an_interrupted_run_goes_on_to_the_same_bits(
    csv: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, stage: str
) -> None:
    """In either stage, from the last whole epoch."""
    whole = trained(csv, tmp_path / "whole")
    checkpoint = tmp_path / "run.ck"
    _, (corpus,), _ = load_csv(csv, "review", "mood", seed=0)
    with monkeypatch.context() as patch:
        Interrupt(patch, stage, 15)
        named = "epochs of pretraining" if stage == "pretraining" else "of 2 epochs"
        with pytest.raises(TrainingError, match=named):
            trained(csv, tmp_path / "part", checkpoint=checkpoint)
    assert len(corpus.train) > 60, "more than one batch an epoch"
    assert (tmp_path / "run.ck.pretraining").exists()
    assert checkpoint.exists() == (stage == "training")
    again = trained(csv, tmp_path / "part", checkpoint=checkpoint, resume=True)
    assert (again / "model.onnx").read_bytes() == (whole / "model.onnx").read_bytes()


def test_it_trains_in_bfloat16(csv: Path, tmp_path: Path) -> None:
    """Which the fused LSTM of a CPU is for."""
    assert trained(csv, tmp_path, precision="bfloat16", cell="lstm").is_dir()


def test_an_interrupt_without_a_checkpoint_says_what_would_help(
    csv: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One line."""
    Interrupt(monkeypatch, "pretraining", 1)
    with pytest.raises(
        TrainingError, match="epochs of pretraining; with --checkpoint the run could be resumed"
    ):
        trained(csv, tmp_path)


@pytest.mark.parametrize("text", ["the same text", "word"])
def test_texts_that_leave_nothing_to_read_are_refused(tmp_path: Path, text: str) -> None:
    """All are in a test part, or have one word."""
    file = tmp_path / "alike.csv"
    file.write_text("\n".join(["review,mood", *(f"{text},{'ab'[number % 2]}" for number in range(40))]))
    with pytest.raises(TrainingError, match="--pretrain-epochs: there is no training text of two words"):
        trained(file, tmp_path)
