"""Encoders and what attends to them: what is written is proven, and what cannot be proven is not written."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from onnx import TensorProto
from torch import Tensor, nn

from app.bundle.reader import read_bundle
from app.core.errors import ExportError, ParityError
from app.registry.verification import verify
from app.runtime.session import GraphSession
from app.runtime.verify import open_encoder, verify_bundle
from app.tasks.task import Tasks
from tests.recall.network import (
    VOCABULARY,
    PictureEncoder,
    export_recall,
    networks,
    pictures,
    sources,
)
from tests.recall.task import TASK
from training.attention import MASKED
from training.both_ways import emit_both_ways, emit_mean_of, mean_of, read_both_ways
from training.cells import Cell, RecurrentStack
from training.encoder_decoder import AttendingNet, TokenEncoder
from training.graph import Graph
from training.token_net import TokenNet


@pytest.mark.parametrize("cell", ["gru", "lstm", "rnn"])
def test_both_graphs_are_proven_and_recorded(cell: Cell, tmp_path: Path) -> None:
    """Their answers are those of PyTorch, their bits hold, and the bundle verifies."""
    encoder, net = networks(cell)
    folder = export_recall(tmp_path, encoder=encoder, net=net)
    bundle = read_bundle(folder)
    manifest = bundle.manifest
    assert manifest.encoder is not None
    assert manifest.attended is not None
    assert (manifest.encoder.max_length, manifest.attended.width, manifest.attended.length) == (128, 40, None)
    assert [output.by_position for output in manifest.graph.outputs] == [False, True]
    both = {*encoder.parameters(), *net.parameters()}
    assert manifest.network.parameters == sum(parameter.numel() for parameter in both)
    assert 0 < manifest.parity.batched <= manifest.parity.bound
    assert bundle.golden.sources is not None
    assert bundle.golden.sources.lengths is not None
    assert bundle.golden.sources.lengths.tolist() == [len(source) for source in sources()]
    report = {check.subject: check for check in verify(folder, Tasks([TASK]))}
    assert {check.verdict for check in report.values()} == {"ok"}
    assert {"encoder", "joined", "bits"} <= set(report)


def test_an_encoder_may_give_a_row_alone(tmp_path: Path) -> None:
    """Then the decoder is a network like any other."""
    torch.manual_seed(0)
    encoder = TokenEncoder(nn.Embedding(VOCABULARY, 4), nn.GRU(4, 9, 2, batch_first=True))
    net = TokenNet(nn.Embedding(VOCABULARY, 4), RecurrentStack("gru", 4, 9), nn.Linear(9, VOCABULARY))
    bundle = read_bundle(export_recall(tmp_path, encoder=encoder, net=net))
    assert bundle.manifest.attended is None
    session = GraphSession(bundle.graph, bundle.manifest)
    assert verify_bundle(bundle, session, open_encoder(bundle)) < 1e-5


def test_an_encoder_may_read_numbers(tmp_path: Path) -> None:
    """Of one shape, to as many positions as it has."""
    torch.manual_seed(0)
    recurrent = RecurrentStack("lstm", 4, 7)
    net = AttendingNet(nn.Embedding(VOCABULARY, 4), recurrent, nn.Linear(7, 4), nn.Linear(7 + 6, VOCABULARY))
    encoder = PictureEncoder(recurrent.size, 10)
    bundle = read_bundle(export_recall(tmp_path, encoder=encoder, net=net, golden_inputs=pictures()))
    assert bundle.manifest.encoder is not None
    assert bundle.manifest.encoder.input.shape == (3, 8, 8)
    session = GraphSession(bundle.graph, bundle.manifest)
    assert verify_bundle(bundle, session, open_encoder(bundle)) < 1e-5


class Broken(AttendingNet):
    """Attends by other nodes than ``training.attention`` writes."""

    def __init__(self, net: AttendingNet, fault: str) -> None:
        super().__init__(net.embedding, net.recurrent, net.queries, net.head)
        self._fault = fault

    def emit(
        self, g: Graph, x: str, state: str, head_from: str, attended: str = "", attended_length: str = ""
    ) -> tuple[dict[str, str], str]:
        """As the network does, but for the fault."""
        features = g.op("Gather", g.constant(self.embedding.weight), x, axis=0)
        hidden, state_out = self.recurrent.emit(g, features, state)
        hidden = g.slice_time(hidden, head_from)
        keys, values = g.split(attended, self._parts, axis=2)
        queries = g.linear(hidden, self.queries.weight, self.queries.bias)
        products = g.op("MatMul", queries, g.op("Transpose", keys, perm=[0, 2, 1]))
        if self._fault != "no mask":
            length = g.squeeze(g.slice(g.op("Shape", keys), 1, 2, axis=0), axis=0)
            ends = (g.constant(np.asarray(number, np.int64)) for number in (0, 1))
            positions = g.op("Range", next(ends), length, next(ends))
            counts = g.op("Less", positions, g.unsqueeze(g.unsqueeze(attended_length, axis=1), axis=2))
            products = g.op("Where", counts, products, g.scalar(MASKED))
        weights = g.op("Softmax", products, axis=-1)
        found = g.op("MatMul", weights, values)
        logits = g.linear(g.op("Concat", hidden, found, axis=2), self.head.weight, self.head.bias)
        return {"logits": logits, "attention": weights}, state_out


@pytest.mark.parametrize(("fault", "dim"), [("one query row", 128), ("no mask", 8)])
def test_attention_whose_bits_depend_on_others_is_refused(fault: str, dim: int, tmp_path: Path) -> None:
    """The message names the runs that differ; no bundle is written."""
    encoder, net = networks(dim=dim)
    whole = [np.full(12, 3), np.arange(12), np.ones(12, np.int64)]  # of one length, so that parity holds
    with pytest.raises(ExportError, match=r"other bits for .*(row|step)"):
        export_recall(tmp_path, encoder=encoder, net=Broken(net, fault), golden_inputs=whole)
    assert not list(tmp_path.glob("*/*/manifest.json"))


class OfAll(TokenEncoder):
    """Begins with the mean of all positions."""

    def forward(self, x: Tensor, lengths: Tensor | None) -> tuple[Tensor, Tensor | None]:
        """As the encoder, but for the row."""
        assert lengths is not None
        _, attended = super().forward(x, lengths)
        values, _ = read_both_ways(self.layers, self.embedding(x), lengths)
        return mean_of(values, lengths), attended

    def emit(self, g: Graph, x: str, lengths: str) -> tuple[str, str | None]:
        """The same as ONNX nodes."""
        _, attended = super().emit(g, x, lengths)
        features = g.op("Gather", g.constant(self.embedding.weight), x, axis=0)
        values, _ = emit_both_ways(g, self.layers, features, lengths)
        return self.mean(g, values, lengths), attended

    def mean(self, g: Graph, values: str, lengths: str) -> str:
        """Over the positions."""
        return emit_mean_of(g, values, lengths)


class Reduced(OfAll):
    """The same by ONNX's operator for sums."""

    def mean(self, g: Graph, values: str, lengths: str) -> str:
        """Its order of additions depends on the batch."""
        total = g.op("ReduceSum", values, g.ints(1), keepdims=0)
        return g.op("Div", total, g.unsqueeze(g.op("Cast", lengths, to=TensorProto.FLOAT), axis=1))


def large() -> tuple[dict[str, Any], AttendingNet]:
    """Parts of an encoder of a size that reaches the kernels of real ones, and its decoder."""
    torch.manual_seed(5)
    recurrent = RecurrentStack("gru", 32, 512)
    parts = {
        "embedding": nn.Embedding(VOCABULARY, 64),
        "layers": nn.GRU(64, 256, bidirectional=True, batch_first=True),
        "keys": nn.Linear(512, 128),
    }
    net = AttendingNet(
        nn.Embedding(VOCABULARY, 32), recurrent, nn.Linear(512, 128), nn.Linear(1024, VOCABULARY)
    )
    return parts, net


def test_a_mean_over_an_input_keeps_its_bits(tmp_path: Path) -> None:
    """As a running sum; as the sum of an operator it is refused."""
    parts, net = large()
    export_recall(tmp_path, encoder=OfAll(**parts), net=net)
    with pytest.raises(ExportError, match=r"the encoder gives other bits for \d+ inputs together"):
        export_recall(tmp_path, name="reduced", encoder=Reduced(**parts), net=net)


class Leaking(TokenEncoder):
    """An encoder that reads what stands behind an input."""

    def emit(self, g: Graph, x: str, lengths: str) -> tuple[str, str | None]:
        """Every token counts."""
        rows = g.op("Add", g.op("Mul", lengths, g.ints(0)), g.squeeze(g.slice(g.op("Shape", x), 1, 2, 0), 0))
        return super().emit(g, x, rows)


def test_an_encoder_that_reads_padding_is_refused(tmp_path: Path) -> None:
    """Alone it is what PyTorch is; beside a longer one it is not."""
    encoder, net = networks()
    leaking = Leaking(encoder.embedding, encoder.layers, encoder.start, encoder.keys)
    whole = [np.full(12, 3), np.arange(12), np.ones(12, np.int64)]
    with pytest.raises(ExportError, match=r"the encoder gives other bits for \d+ (inputs|tokens of padding)"):
        export_recall(tmp_path, encoder=leaking, net=net, golden_inputs=whole)


class WrongRow(TokenEncoder):
    """An encoder whose graph is not its forward."""

    def emit(self, g: Graph, x: str, lengths: str) -> tuple[str, str | None]:
        """Adds one to the row."""
        row, attended = super().emit(g, x, lengths)
        return g.op("Add", row, g.scalar(1.0)), attended


class WrongLength(TokenEncoder):
    """An encoder whose graph is none."""

    def emit(self, g: Graph, x: str, lengths: str) -> tuple[str, str | None]:
        """Reads a tensor that nothing makes."""
        row, attended = super().emit(g, x, lengths)
        return g.op("Add", row, "nowhere"), attended


class NotFinite(TokenEncoder):
    """An encoder that has diverged."""

    def forward(self, x: Tensor, lengths: Tensor | None) -> tuple[Tensor, Tensor | None]:
        """Not a number."""
        row, attended = super().forward(x, lengths)
        return row / 0, attended


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"kind": WrongRow}, "differs from PyTorch"),
        ({"kind": WrongLength}, "the encoder does not form a valid ONNX graph"),
        ({"kind": NotFinite}, "not finite"),
        ({"golden_inputs": sources()[:2]}, "golden_inputs must be 3"),
        ({"golden_inputs": [np.ones(129, np.int64)] * 3}, "1 to 128 tokens"),
        ({"golden_inputs": [np.ones(0, np.int64)] * 3}, "1 to 128 tokens"),
        ({"start": 5}, "rows of 5, and the network has 16"),
    ],
)
def test_what_is_not_proven_is_not_written(change: dict[str, Any], message: str, tmp_path: Path) -> None:
    """Each mistake has its sentence."""
    encoder, net = networks()
    start = nn.Linear(32, change.pop("start")) if "start" in change else encoder.start
    kind = change.pop("kind", TokenEncoder)
    wrong = kind(encoder.embedding, encoder.layers, start, encoder.keys)
    with pytest.raises(ExportError, match=message):
        export_recall(tmp_path, encoder=wrong, net=net, **change)
    assert not list(tmp_path.glob("*/*/manifest.json"))


def test_a_bundle_with_another_encoder_is_not_served(tmp_path: Path) -> None:
    """Each graph may be right for itself: what counts is that they belong together."""
    bundle = read_bundle(export_recall(tmp_path))
    encoder, net = networks(seed=7)
    other = read_bundle(export_recall(tmp_path, name="other", encoder=encoder, net=net))
    session = GraphSession(bundle.graph, bundle.manifest)
    with pytest.raises(ParityError):
        verify_bundle(bundle, session, open_encoder(other))
