"""A language model: tokens in, a distribution over the next token out of every step."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn
from torch.nn import functional

from training.cells import Cell, Nonlinearity, RecurrentStack
from training.regularise import dropped_recurrent_weights, locked_dropout

if TYPE_CHECKING:
    from training.graph import Graph


@dataclass(frozen=True, slots=True)
class LanguageModelConfig:
    """Shape of a :class:`LanguageModel`.

    Attributes:
        vocabulary: number of tokens.
        cell: the recurrent cell.
        nonlinearity: of the ``rnn`` cell.
        embedding: features of a token.
        hidden: units of each layer.
        layers: recurrent layers.
        dropout: on the units between layers and before the head.
        embedding_dropout: on the features of tokens, one mask per sequence.
        recurrent_dropout: on the hidden-to-hidden weights.
    """

    vocabulary: int
    cell: Cell = "lstm"
    nonlinearity: Nonlinearity = "tanh"
    embedding: int = 64
    hidden: int = 256
    layers: int = 1
    dropout: float = 0.0
    embedding_dropout: float = 0.0
    recurrent_dropout: float = 0.0


class LanguageModel(nn.Module):
    """Embedding, recurrent layers, linear head (Mikolov et al. 2010, with the cell of choice)."""

    def __init__(self, config: LanguageModelConfig) -> None:
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
        self.head = nn.Linear(config.hidden, config.vocabulary)
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
        return self.recurrent.size

    def fields(self) -> list[tuple[str, tuple[int, ...]]]:
        """Name and shape of each part of the row, in row order."""
        return self.recurrent.fields()

    def start_row(self) -> Tensor:
        """The row ``[row_size]`` that a text begins with."""
        return self.recurrent.start

    def forward(self, x: Tensor, state: Tensor, head_from: int = 0) -> tuple[dict[str, Tensor], Tensor]:
        """Advance by ``time`` tokens.

        Args:
            x: int64 ``[batch, time]``.
            state: ``[batch, row_size]``.
            head_from: first step whose output is computed.

        Returns:
            ``logits`` ``[batch, time - head_from, vocabulary]`` and the next row.
        """
        features = locked_dropout(self.embedding(x), self.config.embedding_dropout, self.training)
        with dropped_recurrent_weights(self.recurrent.layers, self.config.recurrent_dropout, self.training):
            hidden, state = self.recurrent(features, state)
        hidden = functional.dropout(hidden[:, head_from:], self.config.dropout, self.training)
        return {"logits": self.head(hidden)}, state

    def emit(self, g: Graph, x: str, state: str, head_from: str) -> tuple[dict[str, str], str]:
        """Write the network as ONNX nodes; see :meth:`forward`."""
        features = g.op("Gather", g.constant(self.embedding.weight), x, axis=0)
        hidden, state_out = self.recurrent.emit(g, features, state)
        logits = g.linear(g.slice_time(hidden, head_from), self.head.weight, self.head.bias)
        return {"logits": logits}, state_out
