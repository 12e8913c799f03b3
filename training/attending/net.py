"""A decoder of two recurrent layers with attention between them, over what an encoder made of a whole input.

    tokens --embedding--> layer 1 --query--> attention --what it found--> layer 2 --readout--> logits

It is fed no attention of the step before, so a whole text is one call of each layer. Between the layers it
attends by scaled products (Vaswani et al. 2017); that a second layer follows is from the conditional GRU
(Firat & Cho 2016). The logits use the embedding again (Press & Wolf 2017).
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

import torch
from torch import Tensor, nn
from torch.nn import functional

from training.attention import attend, emit_attention
from training.cells import PARTS, Cell, Nonlinearity, emit_layers, run_layers
from training.regularise import drop_tokens, dropped_recurrent_weights, locked_dropout

if TYPE_CHECKING:
    from training.graph import Graph


@dataclass(frozen=True, slots=True, kw_only=True)
class AttendingConfig:
    """Shape and noise of an :class:`AttendingDecoder`.

    Attributes:
        vocabulary: number of tokens.
        values: features of a position that are found by attention.
        cell: the recurrent cell.
        embedding: features of a token.
        hidden: units of each layer.
        attention: features by which tokens and positions are compared; 0: nothing is attended to.
        dropout: on what the logits are made of; half of it on values, and between the layers.
        embedding_dropout: on the features of tokens, one mask per sequence.
        recurrent_dropout: on the hidden-to-hidden weights.
        token_dropout: tokens that are hidden.
    """

    vocabulary: int
    values: int
    cell: Literal["lstm", "gru"] = "lstm"
    embedding: int = 256
    hidden: int = 224
    attention: int = 128
    dropout: float = 0.0
    embedding_dropout: float = 0.0
    recurrent_dropout: float = 0.0
    token_dropout: float = 0.0

    @property
    def width(self) -> int:
        """Of what is attended to: keys before values."""
        return self.attention + self.values


@dataclass(slots=True)
class Decoder:
    """What the manifest says of the recurrent layers."""

    cell: Cell
    nonlinearity: Nonlinearity
    num_layers: int
    hidden_size: int


class AttendingDecoder(nn.Module):
    """See the module; an encoder is added by those who make one of it."""

    step_shape: tuple[int, ...] = ()

    def __init__(self, config: AttendingConfig, unknown: int = 0) -> None:
        super().__init__()
        self.config, self.unknown = config, unknown
        self.embedding = nn.Embedding(config.vocabulary, config.embedding)
        nn.init.normal_(self.embedding.weight, std=config.embedding**-0.5)
        found = config.values if config.attention else 0
        self.queries = nn.Linear(config.hidden, config.attention, bias=False) if config.attention else None
        self.first = self._layers(config.embedding, config.hidden)
        self.second = self._layers(config.hidden + found, config.hidden)
        self.readout = nn.Linear(config.hidden + found + config.embedding, config.embedding)
        self.bias = nn.Parameter(torch.zeros(config.vocabulary))

    def _layers(self, inputs: int, hidden: int, *, bidirectional: bool = False) -> nn.RNNBase:
        kind = nn.LSTM if self.config.cell == "lstm" else nn.GRU
        layers = kind(inputs, hidden, batch_first=True, bidirectional=bidirectional)
        for name, weight in layers.named_parameters():
            if name.startswith("weight_hh"):
                for gate in weight.data.chunk(len(weight) // hidden):
                    nn.init.orthogonal_(gate)
        return layers

    @property
    def device(self) -> torch.device:
        return self.bias.device

    @property
    def recurrent(self) -> Decoder:
        return Decoder(self.config.cell, "tanh", 2, self.config.hidden)

    @property
    def by_position(self) -> tuple[str, ...]:
        return ("attention",) if self.config.attention else ()

    def fields(self) -> list[tuple[str, tuple[int, ...]]]:
        names = ("first", "second")
        return [
            (f"{name}.{part}", (self.config.hidden,)) for name in names for part in PARTS[self.config.cell]
        ]

    @property
    def row_size(self) -> int:
        return sum(shape[0] for _, shape in self.fields())

    def start_row(self) -> Tensor:
        """For a decoder without an encoder, which there is none of."""
        return torch.zeros(self.row_size)

    def decode(
        self,
        inputs: Tensor,
        state: Tensor,
        attended: Tensor,
        lengths: Tensor,
        head_from: int = 0,
    ) -> tuple[Tensor, Tensor, Tensor | None]:
        """Target tokens to what is said of the next ones, rows and attention.

        Args:
            inputs: ``[batch, time]``, the target behind its language's token.
            state: ``[batch, row_size]``.
            attended: ``[batch, length, width]``.
            lengths: int64 ``[batch]``; behind them is padding.
            head_from: the first step whose output is computed.

        Returns:
            What :meth:`logits` takes ``[batch, time - head_from, embedding]``, the next rows, and attention
            ``[batch, time - head_from, length]``.
        """
        config = self.config
        features = self._embedded(inputs).float()
        before = state.chunk(2, dim=1)
        with self._noise(self.first), full_precision(self.first):
            hidden, first = run_layers(self.first, features, before[0].contiguous())
        attention, seen = None, [hidden]
        if self.queries is not None:
            keys, values = torch.split(attended, [config.attention, config.values], dim=2)
            found, attention = attend(self.queries(hidden).float(), keys.float(), values.float(), lengths)
            seen.append(found.float())
        with self._noise(self.second), full_precision(self.second):
            dropped = locked_dropout(torch.cat(seen, dim=2).float(), config.dropout / 2, self.training)
            hidden, second = run_layers(self.second, dropped, before[1].contiguous())
        said = torch.cat([hidden, *seen[1:], features], dim=2)[:, head_from:]
        said = torch.tanh(self.readout(said))
        rows = torch.cat([first, second], dim=1)
        return said, rows, None if attention is None else attention[:, head_from:]

    def forward(
        self,
        x: Tensor,
        state: Tensor,
        head_from: int = 0,
        attended: Tensor | None = None,
        attended_length: Tensor | None = None,
    ) -> tuple[dict[str, Tensor], Tensor]:
        """As :meth:`decode`, of the exportable form."""
        assert attended is not None
        assert attended_length is not None
        said, rows, attention = self.decode(x, state, attended, attended_length, head_from)
        logits = {"logits": self.logits(said)}
        return logits if attention is None else {**logits, "attention": attention}, rows

    def emit(
        self, g: Graph, x: str, state: str, head_from: str, attended: str = "", attended_length: str = ""
    ) -> tuple[dict[str, str], str]:
        """The same as ONNX nodes."""
        config, outputs = self.config, {}
        features = g.op("Gather", g.constant(self.embedding.weight * config.embedding**0.5), x, axis=0)
        parts = g.split(state, [shape[0] for _, shape in self.fields()], axis=1)
        half = len(parts) // 2
        hidden, first = emit_layers(g, self.first, features, parts[:half])
        seen = [hidden]
        if self.queries is not None:
            keys, values = g.split(attended, [config.attention, config.values], axis=2)
            queries = g.linear(hidden, self.queries.weight)
            found, weights = emit_attention(g, queries, keys, values, attended_length)
            seen.append(found)
            outputs["attention"] = g.slice_time(weights, head_from)
        below = g.op("Concat", *seen, axis=2) if len(seen) > 1 else hidden
        hidden, second = emit_layers(g, self.second, below, parts[half:])
        said = g.slice_time(g.op("Concat", hidden, *seen[1:], features, axis=2), head_from)
        said = g.op("Tanh", g.linear(said, self.readout.weight, self.readout.bias))
        logits = g.linear(said, self.embedding.weight, self.bias)
        return {"logits": logits, **outputs}, g.op("Concat", *first, *second, axis=1)

    def logits(self, said: Tensor) -> Tensor:
        """``[..., embedding]`` to ``[..., vocabulary]``."""
        return functional.linear(said, self.embedding.weight, self.bias)

    def loss(self, said: Tensor, targets: Tensor, smoothing: float) -> Tensor:
        """Cross entropy of each target with smoothed labels (Szegedy et al. 2016).

        The share of the targets and that of all tokens are taken before the vocabulary is: only the
        normalisation is as large as that.

        Args:
            said: ``[count, embedding]``.
            targets: ``[count]``.
            smoothing: the share of all tokens.
        """
        said = functional.dropout(said, self.config.dropout, self.training)
        total = torch.logsumexp(self.logits(said).float(), dim=1)
        weight, exact = self.embedding.weight, said.float()
        target = (exact * functional.embedding(targets, weight)).sum(dim=1) + self.bias[targets]
        mean = exact @ weight.mean(dim=0) + self.bias.mean()
        return total - (1 - smoothing) * target - smoothing * mean

    def _embedded(self, tokens: Tensor) -> Tensor:
        kept = drop_tokens(tokens, self.config.token_dropout, self.unknown, self.training)
        scaled = self.embedding(kept) * self.config.embedding**0.5
        return locked_dropout(scaled, self.config.embedding_dropout, self.training)

    def _noise(self, layers: nn.RNNBase) -> AbstractContextManager[None]:
        return dropped_recurrent_weights(layers, self.config.recurrent_dropout, self.training)


@contextmanager
def full_precision(layers: nn.RNNBase) -> Iterator[None]:
    """On a CPU only the LSTM has a kernel for bfloat16; the GRU is a hundred times slower in it."""
    kind = next(layers.parameters()).device.type
    enabled = torch.is_autocast_enabled(kind) and (kind != "cpu" or isinstance(layers, nn.LSTM))
    with torch.autocast(kind, enabled=enabled, dtype=torch.bfloat16):
        yield
