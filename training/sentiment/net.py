"""A text classifier whose running score can be read at every token."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from training.cells import Cell, Nonlinearity, RecurrentStack
from training.regularise import drop_tokens, dropped_recurrent_weights, locked_dropout

if TYPE_CHECKING:
    from training.graph import Graph


@dataclass(frozen=True, slots=True)
class ClassifierConfig:
    """Shape of a :class:`Classifier`.

    Attributes:
        vocabulary: number of tokens.
        labels: number of classes.
        cell: the recurrent cell.
        nonlinearity: of the ``rnn`` cell.
        embedding: features of a token.
        hidden: units of each layer.
        layers: recurrent layers.
        dropout: on the units between layers and before the head.
        embedding_dropout: on the features of tokens, one mask per sequence.
        recurrent_dropout: on the hidden-to-hidden weights.
        word_dropout: probability that a token is read as unknown.
        unknown: id of the unknown token.
    """

    vocabulary: int
    labels: int
    cell: Cell = "gru"
    nonlinearity: Nonlinearity = "tanh"
    embedding: int = 128
    hidden: int = 128
    layers: int = 1
    dropout: float = 0.0
    embedding_dropout: float = 0.0
    recurrent_dropout: float = 0.0
    word_dropout: float = 0.0
    unknown: int = 0


class Classifier(nn.Module):
    """Embedding, recurrent layers, and a linear head on the newest hidden state beside the mean so far.

    The mean gives every token a short way to the answer, which long texts need to be learned
    from at all (Johnson & Zhang 2016 pool LSTM outputs for the same reason). Its sum and count
    are part of the row.
    """

    def __init__(self, config: ClassifierConfig) -> None:
        super().__init__()
        self.config = config
        self.embedding = nn.Embedding(config.vocabulary, config.embedding)
        self.recurrent = RecurrentStack(
            config.cell,
            config.embedding,
            config.hidden,
            config.layers,
            dropout=config.dropout,
            nonlinearity=config.nonlinearity,
        )
        self.head = nn.Linear(2 * config.hidden, config.labels)
        nn.init.normal_(self.embedding.weight, std=0.3)

    @property
    def step_shape(self) -> tuple[int, ...]:
        """Shape of one step: a token is a single number."""
        return ()

    @property
    def device(self) -> torch.device:
        """Where the weights are."""
        return self.head.weight.device

    @property
    def row_size(self) -> int:
        """Floats in the state row."""
        return self.recurrent.size + self.config.hidden + 1

    def fields(self) -> list[tuple[str, tuple[int, ...]]]:
        """Name and shape of each part of the row, in row order."""
        return [*self.recurrent.fields(), ("sum", (self.config.hidden,)), ("count", (1,))]

    def start_row(self) -> Tensor:
        """The row ``[row_size]`` that a text begins with: nothing summed, nothing counted."""
        start = self.recurrent.start
        return torch.cat([start, start.new_zeros(self.config.hidden + 1)])

    def forward(self, x: Tensor, state: Tensor, head_from: int = 0) -> tuple[dict[str, Tensor], Tensor]:
        """Advance by ``time`` tokens.

        Args:
            x: int64 ``[batch, time]``.
            state: ``[batch, row_size]``.
            head_from: first step whose output is computed.

        Returns:
            ``logits`` ``[batch, time - head_from, labels]`` and the next row.
        """
        config = self.config
        tokens = drop_tokens(x, config.word_dropout, config.unknown, self.training)
        features = locked_dropout(self.embedding(tokens), config.embedding_dropout, self.training)
        layers, total, count = torch.split(state, [self.recurrent.size, config.hidden, 1], dim=1)
        with dropped_recurrent_weights(self.recurrent.layers, config.recurrent_dropout, self.training):
            hidden, layers = self.recurrent(features, layers)
        # Sums need more digits than a low-precision run keeps.
        hidden = hidden.float()
        sums = torch.cat([total[:, None], hidden], dim=1).cumsum(dim=1)[:, 1:]
        counts = count[:, None] + torch.arange(1, x.shape[1] + 1, device=x.device)[None, :, None]
        read = torch.cat([hidden, sums / counts], dim=2)[:, head_from:]
        logits = self.head(functional.dropout(read, config.dropout, self.training))
        return {"logits": logits}, torch.cat([layers.float(), sums[:, -1], counts[:, -1]], dim=1)

    def emit(self, g: Graph, x: str, state: str, head_from: str) -> tuple[dict[str, str], str]:
        """Write the network as ONNX nodes; see :meth:`forward`.

        The cumulative sums begin with the carried value, so that they are the same additions in
        the same order however a text is cut.
        """
        layers, total, count = g.split(state, [self.recurrent.size, self.config.hidden, 1], axis=1)
        features = g.op("Gather", g.constant(self.embedding.weight), x, axis=0)
        hidden, layers_out = self.recurrent.emit(g, features, layers)
        sums = _running_sum(g, g.unsqueeze(total, axis=1), hidden)
        like = g.slice(hidden, 0, 1, axis=2)
        ones = g.op("Add", g.op("Sub", like, like), g.scalar(1.0))
        counts = _running_sum(g, g.unsqueeze(count, axis=1), ones)
        mean = g.op("Div", g.slice_time(sums, head_from), g.slice_time(counts, head_from))
        read = g.op("Concat", g.slice_time(hidden, head_from), mean, axis=2)
        after = [g.squeeze(g.slice(part, -1, None, axis=1), axis=1) for part in (sums, counts)]
        logits = g.linear(read, self.head.weight, self.head.bias)
        return {"logits": logits}, g.op("Concat", layers_out, *after, axis=1)


def _running_sum(g: Graph, carried: str, values: str) -> str:
    whole = g.op("CumSum", g.op("Concat", carried, values, axis=1), g.constant(np.asarray(1, np.int64)))
    return g.slice(whole, 1, None, axis=1)
