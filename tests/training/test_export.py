"""Export: what is written is proven, and what cannot be proven is not written."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from app.bundle.manifest import Quality, Source
from app.bundle.reader import read_bundle
from app.core.errors import ExportError
from app.tasks.generate.spec import GenerateSpec
from tests.bundles import LABELS
from training.cells import Cell, Nonlinearity
from training.export import describe_run, export_bundle
from training.generate.net import LanguageModel
from training.graph import Graph
from training.token_net import TokenNetConfig
from training.tokenizers import character_tokenizer
from training.user_module import export_module

cells = pytest.mark.parametrize("cell", ["rnn", "lstm", "gru"])
TOKENIZER = character_tokenizer(["abcdef\n"])
VOCABULARY = 8
Kind = type[nn.RNN] | type[nn.LSTM] | type[nn.GRU]
SPEC = GenerateSpec(vocabulary=VOCABULARY, unit="character", start_token=1)


def export(net: LanguageModel, out: Path, **more: Any) -> Path:
    """Export a language model named ``net``."""
    return export_bundle(
        net,
        out=out,
        name="net",
        version="1",
        description="A net.",
        spec=SPEC,
        provenance=describe_run("rnnserve-train", 5, [Source(name="a.txt", sha256="0" * 64)], 61.0),
        files={"tokenizer.json": TOKENIZER.encode()},
        **more,
    )


@cells
@pytest.mark.parametrize("nonlinearity", ["tanh", "relu"])
def test_parity_is_measured_and_recorded(cell: Cell, nonlinearity: Nonlinearity, tmp_path: Path) -> None:
    """One-shot, step by step and batched differences are in the manifest and within the bound."""
    torch.manual_seed(0)
    config = TokenNetConfig(VOCABULARY, cell=cell, nonlinearity=nonlinearity, hidden=9, layers=2)
    manifest = read_bundle(export(LanguageModel(config), tmp_path)).manifest
    assert 0 < max(manifest.parity.one_shot, manifest.parity.step_by_step, manifest.parity.batched) < 1e-5
    assert manifest.network.cell == cell
    assert manifest.network.nonlinearity == (nonlinearity if cell == "rnn" else None)


class WrongGraph(LanguageModel):
    """A network whose graph is not its forward."""

    def emit(self, g: Graph, x: str, state: str, head_from: str) -> tuple[dict[str, str], str]:
        """Adds one to the logits."""
        outputs, after = super().emit(g, x, state, head_from)
        return {"logits": g.op("Add", outputs["logits"], g.scalar(1.0))}, after


class BrokenGraph(LanguageModel):
    """A network whose graph is no graph."""

    def emit(self, g: Graph, x: str, state: str, head_from: str) -> tuple[dict[str, str], str]:
        """Reads a tensor that nothing makes."""
        outputs, after = super().emit(g, x, state, head_from)
        return {"logits": g.op("Add", outputs["logits"], "nowhere")}, after


class NotFinite(LanguageModel):
    """A network that has diverged."""

    def forward(self, x: Tensor, state: Tensor, head_from: int = 0) -> tuple[dict[str, Tensor], Tensor]:
        """NaN."""
        outputs, after = super().forward(x, state, head_from)
        return {"logits": outputs["logits"] * float("nan")}, after


@pytest.mark.parametrize(
    ("kind", "reason"), [(WrongGraph, "differs"), (BrokenGraph, "valid ONNX"), (NotFinite, "not finite")]
)
def test_a_graph_that_is_not_the_network_is_not_written(
    kind: type[LanguageModel], reason: str, tmp_path: Path
) -> None:
    """The export fails with the reason, and an earlier bundle of the same name stays."""
    export(LanguageModel(TokenNetConfig(VOCABULARY)), tmp_path)
    before = (tmp_path / "net" / "1" / "manifest.json").read_bytes()
    with pytest.raises(ExportError, match=reason):
        export(kind(TokenNetConfig(VOCABULARY)), tmp_path)
    assert (tmp_path / "net" / "1" / "manifest.json").read_bytes() == before
    assert [path.name for path in (tmp_path / "net").iterdir()] == ["1"]


def test_the_card_shows_figures_baselines_and_how_to_make_it_again(tmp_path: Path) -> None:
    """Every figure of the manifest is on the model card, with its baselines."""
    figure = Quality(
        metric="nats per character",
        dataset="a.txt",
        split="last 10 %",
        value=1.25,
        higher_is_better=False,
        baselines={"trigram": 2.5},
        references={"a paper": 1.0},
    )
    net = LanguageModel(TokenNetConfig(VOCABULARY))
    card = (export(net, tmp_path, quality=[figure], card_notes="Not for poems.") / "README.md").read_text()
    for text in (
        "**1.25**",
        "trigram 2.5",
        "a paper 1",
        "rnnserve-train",
        "seed 5",
        "Not for poems.",
        "a.txt",
    ):
        assert text in card


class Usual(nn.Module):
    """What people write: embedding, recurrent layers, dropout, a linear head."""

    def __init__(self, kinds: Sequence[Kind], *, batch_first: bool = True, out: int = VOCABULARY) -> None:
        super().__init__()
        self.embed = nn.Embedding(VOCABULARY, 5)
        sizes = [5, 7, 6][: len(kinds) + 1]
        self.cells = nn.ModuleList(
            kind(size, following, num_layers=2, batch_first=batch_first)
            for kind, size, following in zip(kinds, sizes, sizes[1:], strict=False)
        )
        self.drop = nn.Dropout(0.5)
        self.out = nn.Linear(sizes[-1], out)
        self.batch_first = batch_first

    def forward(self, tokens: Tensor) -> Tensor:
        """Logits of every step."""
        x = self.embed(tokens)
        x = x if self.batch_first else x.transpose(0, 1)
        for cell in self.cells:
            x = self.drop(cell(x)[0])
        logits: Tensor = self.out(x if self.batch_first else x.transpose(0, 1))
        return logits


@pytest.mark.parametrize("kind", [nn.RNN, nn.LSTM, nn.GRU])
@pytest.mark.parametrize("num", [1, 2])
@pytest.mark.parametrize("batch_first", [True, False])
def test_a_users_module_is_exported(kind: Kind, num: int, batch_first: bool, tmp_path: Path) -> None:
    """The bundle's golden logits are what the user's own forward returns."""
    torch.manual_seed(4)
    module = Usual([kind] * num, batch_first=batch_first)
    folder = export_module(module, task="generate", tokenizer=TOKENIZER, out=tmp_path, name="mine")
    bundle = read_bundle(folder)
    assert module.training, "it is left as it was"
    with torch.no_grad():
        own = module.eval()(torch.from_numpy(bundle.golden.steps)).numpy()
    np.testing.assert_allclose(bundle.golden.outputs["logits"], own, atol=1e-6)
    assert bundle.manifest.network.layers == 2 * num


class LastStep(Usual):
    """A classifier that returns the last step only."""

    def forward(self, tokens: Tensor) -> Tensor:
        """Logits of the last step."""
        return super().forward(tokens)[:, -1]


def test_a_users_classifier_may_return_its_last_step_only(tmp_path: Path) -> None:
    """The running score can be read all the same."""
    module = LastStep([nn.GRU], out=2)
    folder = export_module(
        module, task="sentiment", labels=LABELS, tokenizer=TOKENIZER, out=tmp_path, name="moods"
    )
    assert read_bundle(folder).golden.outputs["logits"].shape[1:] == (24, 2)


class Sneaky(Usual):
    """Does something between its layers that no layer shows."""

    def forward(self, tokens: Tensor) -> Tensor:
        """Twice the logits."""
        return super().forward(tokens) * 2


def bidirectional() -> nn.Module:
    """A network that reads the future."""
    return nn.Sequential(
        nn.Embedding(VOCABULARY, 4), nn.LSTM(4, 4, bidirectional=True), nn.Linear(8, VOCABULARY)
    )


@pytest.mark.parametrize(
    ("module", "reason"),
    [
        (Sneaky([nn.LSTM]), "something else"),
        (bidirectional(), "reads the future"),
        (nn.Sequential(nn.Embedding(VOCABULARY, 4), nn.Linear(4, VOCABULARY)), "must hold"),
        (
            nn.Sequential(nn.Embedding(VOCABULARY, 4), nn.GRU(4, 4), nn.ReLU(), nn.Linear(4, VOCABULARY)),
            "ReLU",
        ),
        (Usual([nn.LSTM], out=3), "3 outputs"),
        (nn.Sequential(nn.Embedding(5, 4), nn.GRU(4, 4), nn.Linear(4, 5)), "embedding only 5"),
    ],
)
def test_a_module_of_another_form_is_refused_with_what_was_found(
    module: nn.Module, reason: str, tmp_path: Path
) -> None:
    """Nothing is written."""
    with pytest.raises(ExportError, match=reason):
        export_module(module, task="generate", tokenizer=TOKENIZER, out=tmp_path, name="mine")
    assert list(tmp_path.iterdir()) == []
