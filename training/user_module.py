"""Serving a network of your own: an ``nn.Module`` in, a bundle out.

The documented form is what most recurrent models are:

    tokens [batch, time] -> nn.Embedding -> one or more nn.RNN | nn.LSTM | nn.GRU -> nn.Linear -> logits

The layers are found by their type, in the order the module registered them (dropout and identity
layers between them do nothing at inference). Whatever else ``forward`` does would be lost, so
its output is compared with the exported graph's, and a difference refuses the export.

    export_module(model, task="generate", tokenizer=Path("tokenizer.json").read_text(),
                  out=Path("models"), name="mine")
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Literal, cast

import numpy as np
import torch
from torch import Tensor, nn

from app.bundle.manifest import TOKENIZER_FILE, Provenance, Quality
from app.core.errors import ExportError
from app.features.text import TextCodec
from app.tasks.generate.spec import GenerateSpec
from app.tasks.sentiment.spec import SentimentSpec
from training.cells import Cell, Nonlinearity, emit_layer
from training.export import PARITY_BOUND, describe_run, export_bundle

if TYPE_CHECKING:
    from training.graph import Graph

_CELLS: dict[type[nn.RNNBase], Cell] = {nn.RNN: "rnn", nn.LSTM: "lstm", nn.GRU: "gru"}
_PASSIVE = (nn.Dropout, nn.Identity)


def export_module(
    module: nn.Module,
    *,
    task: Literal["generate", "sentiment"],
    tokenizer: str,
    out: Path,
    name: str,
    version: str = "1",
    description: str = "",
    labels: Sequence[str] = (),
    start_token: int | None = None,
    end_token: int | None = None,
    provenance: Provenance | None = None,
    quality: Sequence[Quality] = (),
    card_notes: str = "",
) -> Path:
    """Export a module of the documented form to a bundle that the server can run.

    Args:
        module: embedding, recurrent layers (one kind, one direction, no projection), linear head.
            ``forward(tokens)`` must return logits ``[batch, time, vocabulary]`` for ``generate``,
            and ``[batch, time, labels]`` or, of the last step, ``[batch, labels]`` for
            ``sentiment``; alone or as the first element of a tuple. The state starts at zero.
        task: what the logits mean.
        tokenizer: JSON text of a tokenizer of the ``tokenizers`` library.
        out: the models folder.
        name: of the bundle.
        version: of the bundle.
        description: one sentence for people choosing a model.
        labels: for ``sentiment``, in the order of the logits.
        start_token: for ``generate``, fed when a prompt is empty; the newline's id when left out.
        end_token: for ``generate``, ends a text when it is produced.
        provenance: where the weights come from; by default only when and with which packages.
        quality: measured figures.
        card_notes: Markdown for the model card.

    Returns:
        The bundle's folder.

    Raises:
        ExportError: the module is not of the documented form, or computes something else than
            its layers in this order.
        BundleError: the tokenizer cannot be read, or the folder cannot be written.
    """
    module = module.eval().cpu()
    net = ModuleNet(module)
    codec = TextCodec(tokenizer)
    vocabulary = net.embedding.num_embeddings
    if codec.size > vocabulary:
        raise ExportError(f"the tokenizer has {codec.size} tokens, but the embedding only {vocabulary} rows")
    spec: GenerateSpec | SentimentSpec
    if task == "generate":
        _check_width(net.head.out_features, vocabulary, "tokens")
        spec = GenerateSpec(
            vocabulary=vocabulary,
            unit="token",
            start_token=_newline(codec) if start_token is None else start_token,
            end_token=end_token,
        )
    else:
        _check_width(net.head.out_features, len(labels), "labels")
        spec = SentimentSpec(vocabulary=vocabulary, labels=tuple(labels))
    _check_forward(module, net, vocabulary)
    return export_bundle(
        net,
        out=out,
        name=name,
        version=version,
        description=description or f"Exported from {type(module).__name__}.",
        spec=spec,
        provenance=provenance or describe_run("training.user_module.export_module", seed=0),
        quality=quality,
        files={TOKENIZER_FILE: tokenizer.encode()},
        card_notes=card_notes,
    )


class ModuleStack(nn.Module):
    """Recurrent modules of one kind, one above the other, with one packed row.

    Args:
        modules: ``nn.RNN``, ``nn.LSTM`` or ``nn.GRU``, bottom first.

    Raises:
        ExportError: they are of several kinds, bidirectional, or have projections.
    """

    def __init__(self, modules: Sequence[nn.RNNBase]) -> None:
        super().__init__()
        for one in modules:
            if one.bidirectional:
                raise ExportError(
                    "a bidirectional layer reads the future, so it cannot be served step by step"
                )
            if one.proj_size:
                raise ExportError("layers with proj_size are not supported")
        cells = {_CELLS[type(one)] for one in modules}
        kinds = {getattr(one, "nonlinearity", "tanh") for one in modules}
        if len(cells) > 1 or len(kinds) > 1:
            raise ExportError(f"all recurrent layers must be of one kind, got {sorted(cells | kinds)}")
        self.stack = nn.ModuleList(modules)
        self.cell: Cell = cells.pop()
        self.nonlinearity = cast(Nonlinearity, kinds.pop())
        self.num_layers = sum(one.num_layers for one in modules)
        self.hidden_size = modules[-1].hidden_size
        self.parts = ("h", "c") if self.cell == "lstm" else ("h",)

    def _modules_in_order(self) -> list[nn.RNNBase]:
        return [cast(nn.RNNBase, one) for one in self.stack]

    def fields(self) -> list[tuple[str, tuple[int, ...]]]:
        """Name and shape of each part of the row, in row order."""
        sizes = [one.hidden_size for one in self._modules_in_order() for _ in range(one.num_layers)]
        return [(f"layer{index}.{part}", (size,)) for index, size in enumerate(sizes) for part in self.parts]

    @property
    def size(self) -> int:
        """Floats in the row."""
        return sum(shape[0] for _, shape in self.fields())

    def forward(self, x: Tensor, state: Tensor) -> tuple[Tensor, Tensor]:
        """Advance ``x [batch, time, features]`` from ``state [batch, size]``."""
        after: list[Tensor] = []
        offset = 0
        for one in self._modules_in_order():
            width = one.num_layers * len(self.parts) * one.hidden_size
            rows = state[:, offset : offset + width].reshape(len(x), one.num_layers, len(self.parts), -1)
            offset += width
            parts = [rows[:, :, index].transpose(0, 1).contiguous() for index in range(len(self.parts))]
            steps = x if one.batch_first else x.transpose(0, 1)
            y, last = one(steps, tuple(parts) if len(parts) > 1 else parts[0])
            x = y if one.batch_first else y.transpose(0, 1)
            stacked = torch.stack(last if isinstance(last, tuple) else (last,), dim=2)
            after.append(stacked.transpose(0, 1).reshape(len(x), width))
        return x, torch.cat(after, 1)

    def emit(self, g: Graph, x: str, state: str) -> tuple[str, str]:
        """Write the stack as ONNX nodes; see :meth:`training.cells.RecurrentStack.emit`."""
        rows = g.split(state, [shape[0] for _, shape in self.fields()], axis=1)
        y = g.op("Transpose", x, perm=[1, 0, 2])
        after: list[str] = []
        for one in self._modules_in_order():
            for layer in range(one.num_layers):
                own, rows = rows[: len(self.parts)], rows[len(self.parts) :]
                y, parts = emit_layer(g, one, layer, y, own, self.cell)
                after.extend(parts)
        return g.op("Transpose", y, perm=[1, 0, 2]), g.op("Concat", *after, axis=1)


class ModuleNet(nn.Module):
    """The layers of a user's module as a network of the exportable form.

    Args:
        module: of the documented form.

    Raises:
        ExportError: it is not; says what was found.
    """

    def __init__(self, module: nn.Module) -> None:
        super().__init__()
        leaves = [one for one in module.modules() if not list(one.children())]
        embeddings = [one for one in leaves if isinstance(one, nn.Embedding)]
        recurrent = [one for one in leaves if type(one) in _CELLS]
        heads = [one for one in leaves if isinstance(one, nn.Linear)]
        known = [*embeddings, *recurrent, *heads]
        other = [type(one).__name__ for one in leaves if one not in known and not isinstance(one, _PASSIVE)]
        if len(embeddings) != 1 or not recurrent or len(heads) != 1 or other:
            found = ", ".join(type(one).__name__ for one in leaves) or "no layers"
            raise ExportError(
                "the module must hold one nn.Embedding, one or more of nn.RNN, nn.LSTM or nn.GRU, and one "
                f"nn.Linear, and besides them only dropout; found {found}"
            )
        self.embedding = embeddings[0]
        self.recurrent = ModuleStack([cast(nn.RNNBase, one) for one in recurrent])
        self.head = heads[0]

    @property
    def step_shape(self) -> tuple[int, ...]:
        """Tokens have no further axes."""
        return ()

    @property
    def row_size(self) -> int:
        """Floats in the state row."""
        return self.recurrent.size

    def fields(self) -> list[tuple[str, tuple[int, ...]]]:
        """Name and shape of each part of the row, in row order."""
        return self.recurrent.fields()

    def start_row(self) -> Tensor:
        """Zeros, as PyTorch's modules start when no state is given."""
        return torch.zeros(self.row_size)

    def forward(self, x: Tensor, state: Tensor, head_from: int = 0) -> tuple[dict[str, Tensor], Tensor]:
        """Logits ``[batch, time - head_from, out]`` of tokens ``x [batch, time]``, and the next row."""
        y, after = self.recurrent(self.embedding(x), state)
        return {"logits": self.head(y[:, head_from:])}, after

    def emit(self, g: Graph, x: str, state: str, head_from: str) -> tuple[dict[str, str], str]:
        """Write the same computation as ONNX nodes."""
        embedded = g.op("Gather", g.constant(self.embedding.weight), x, axis=0)
        y, after = self.recurrent.emit(g, embedded, state)
        return {"logits": g.linear(g.slice_time(y, head_from), self.head.weight, self.head.bias)}, after


def _check_width(actual: int, wanted: int, what: str) -> None:
    if actual != wanted:
        raise ExportError(f"the linear head has {actual} outputs, but there are {wanted} {what}")


def _check_forward(module: nn.Module, net: ModuleNet, vocabulary: int) -> None:
    tokens = torch.from_numpy(np.random.default_rng(0).integers(0, vocabulary, (2, 9)))
    with torch.no_grad():
        try:
            own = module(tokens)
        except Exception as error:
            raise ExportError(f"forward(tokens [batch, time]) failed: {error}") from error
        logits = own[0] if isinstance(own, tuple) else own
        ours = net(tokens, net.start_row()[None].repeat(2, 1))[0]["logits"]
    ours = ours[:, -1] if logits.dim() == 2 else ours
    if logits.shape != ours.shape:
        raise ExportError(f"forward returned logits {list(logits.shape)}, expected {list(ours.shape)}")
    if not torch.allclose(logits, ours, atol=PARITY_BOUND, rtol=PARITY_BOUND):
        raise ExportError(
            "forward computes something else than embedding, recurrent layers and linear head in this order"
        )


def _newline(codec: TextCodec) -> int:
    ids = codec.encode("\n")
    if len(ids) != 1:
        raise ExportError("the tokenizer has no single token for a newline; give start_token")
    return ids[0]
