"""A network over tokens: embedding, recurrent layers, linear head (Mikolov et al. 2010, any cell)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn
from torch.nn import functional

from app.core.errors import TrainingError
from training.cells import Cell, Nonlinearity, RecurrentStack
from training.regularise import dropped_recurrent_weights, locked_dropout

if TYPE_CHECKING:
    from training.graph import Graph


@dataclass(frozen=True, slots=True)
class TokenNetConfig:
    """Shape and noise of a network.

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
        tied: the head's weights are the embedding's (Press & Wolf 2017), which takes as many features
            as units.

    Raises:
        TrainingError: there are fewer or more of them.
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
    tied: bool = False

    def __post_init__(self) -> None:
        if self.tied and self.embedding != self.hidden:
            raise TrainingError(
                f"tied weights take as many features of a token as units: embedding is {self.embedding}, "
                f"hidden is {self.hidden}"
            )


class TokenNet(nn.Module):
    """Logits of every step; the network of the exportable form that text tasks share.

    Args:
        embedding: of the tokens.
        recurrent: the layers; their state is the whole row.
        head: from the last layer's units to logits.
    """

    step_shape: tuple[int, ...] = ()

    def __init__(self, embedding: nn.Embedding, recurrent: RecurrentStack, head: nn.Linear) -> None:
        super().__init__()
        self.embedding, self.recurrent, self.head = embedding, recurrent, head

    @property
    def device(self) -> torch.device:
        return self.head.weight.device

    @property
    def row_size(self) -> int:
        return self.recurrent.size

    def fields(self) -> list[tuple[str, tuple[int, ...]]]:
        return self.recurrent.fields()

    def start_row(self) -> Tensor:
        return self.recurrent.start

    def forward(self, x: Tensor, state: Tensor, head_from: int = 0) -> tuple[dict[str, Tensor], Tensor]:
        """Advance by ``time`` tokens.

        Args:
            x: int64 ``[batch, time]``.
            state: ``[batch, row_size]``.
            head_from: first step whose output is computed.

        Returns:
            ``logits`` ``[batch, time - head_from, outputs]`` and the next row.
        """
        hidden, state = self.recurrent(self.embedding(x), state)
        return {"logits": self.head(hidden[:, head_from:])}, state

    def emit(self, g: Graph, x: str, state: str, head_from: str) -> tuple[dict[str, str], str]:
        """Write the network as ONNX nodes; see :meth:`forward`."""
        if self.head.weight is self.embedding.weight:
            # One constant serves both, in the head's layout, which is the one that is packed.
            weight = g.constant(self.head.weight.detach().T)
            features = g.op("Transpose", g.op("Gather", weight, x, axis=1), perm=[1, 2, 0])
            hidden, state_out = self.recurrent.emit(g, features, state)
            product = g.op("MatMul", g.slice_time(hidden, head_from), weight)
            return {"logits": g.op("Add", product, g.constant(self.head.bias))}, state_out
        features = g.op("Gather", g.constant(self.embedding.weight), x, axis=0)
        hidden, state_out = self.recurrent.emit(g, features, state)
        logits = g.linear(g.slice_time(hidden, head_from), self.head.weight, self.head.bias)
        return {"logits": logits}, state_out


class NoisyTokenNet(TokenNet):
    """The same made from a shape, with noise on it while it trains.

    Args:
        config: shape and noise.
        inputs: of the head.
        outputs: of the head.
    """

    def __init__(self, config: TokenNetConfig, inputs: int, outputs: int) -> None:
        embedding = nn.Embedding(config.vocabulary, config.embedding)
        recurrent = RecurrentStack(
            config.cell,
            config.embedding,
            config.hidden,
            config.layers,
            dropout=config.dropout,
            nonlinearity=config.nonlinearity,
        )
        head = nn.Linear(inputs, outputs)
        super().__init__(embedding, recurrent, head)
        self.config = config
        nn.init.normal_(embedding.weight, std=0.06 if config.tied else 0.3)
        if config.tied:
            head.weight = embedding.weight

    def read(self, tokens: Tensor, state: Tensor) -> tuple[Tensor, Tensor]:
        """Everything below the head: hidden states ``[batch, time, hidden]`` and the layers' next state."""
        features = locked_dropout(self.embedding(tokens), self.config.embedding_dropout, self.training)
        with dropped_recurrent_weights(self.recurrent.layers, self.config.recurrent_dropout, self.training):
            hidden, state = self.recurrent(features, state)
        return hidden, state

    def logits(self, hidden: Tensor) -> dict[str, Tensor]:
        return {"logits": self.head(functional.dropout(hidden, self.config.dropout, self.training))}

    def forward(self, x: Tensor, state: Tensor, head_from: int = 0) -> tuple[dict[str, Tensor], Tensor]:
        hidden, state = self.read(x, state)
        return self.logits(hidden[:, head_from:]), state
