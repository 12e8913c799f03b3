"""A network that reads a whole input and then writes: an encoder, and a decoder that attends to what it made.

    source --embedding, layers of one or both directions--> values --keys--> attended = keys and values
                                                        last --start--> row
    target --embedding, layers--> hidden --queries, attention (Luong et al. 2015)--> head --> logits

Without attention the decoder is a :class:`~training.token_net.TokenNet`, as in Sutskever et al. 2014.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

from training.attention import attend, emit_attention
from training.both_ways import emit_both_ways, read_both_ways
from training.cells import RecurrentStack

if TYPE_CHECKING:
    from training.graph import Graph


class TokenEncoder(nn.Module):
    """Reads tokens once; of the form that ``training.export`` asks of an encoder.

    Args:
        embedding: of the tokens.
        layers: batch first, of one or both directions; they begin with zeros.
        start: from the last state of the top layer's directions to the decoder's row, with a tanh behind it;
            without it that state is the row.
        keys: from the outputs of a position to its key; without it nothing is attended to.
        max_length: tokens that an input may have.
    """

    input_shape: tuple[int, ...] = ()
    attended_length: int | None = None

    def __init__(
        self,
        embedding: nn.Embedding,
        layers: nn.RNNBase,
        start: nn.Linear | None = None,
        keys: nn.Linear | None = None,
        max_length: int = 128,
    ) -> None:
        super().__init__()
        self.embedding, self.layers, self.start, self.keys = embedding, layers, start, keys
        self.max_length: int | None = max_length

    def forward(self, x: Tensor, lengths: Tensor | None) -> tuple[Tensor, Tensor | None]:
        """Read whole inputs.

        Args:
            x: int64 ``[batch, length]``.
            lengths: int64 ``[batch]``; behind them no token counts.

        Returns:
            Rows ``[batch, row_size]``; and what is attended to, ``[batch, length, width]``, keys first.
        """
        if lengths is None:
            lengths = torch.full((len(x),), x.shape[1])
        values, row = read_both_ways(self.layers, self.embedding(x), lengths)
        if self.start is not None:
            row = torch.tanh(self.start(row))
        return row, None if self.keys is None else torch.cat([self.keys(values), values], dim=2)

    def emit(self, g: Graph, x: str, lengths: str) -> tuple[str, str | None]:
        """Write the encoder as ONNX nodes; see :meth:`forward`."""
        features = g.op("Gather", g.constant(self.embedding.weight), x, axis=0)
        values, row = emit_both_ways(g, self.layers, features, lengths)
        if self.start is not None:
            row = g.op("Tanh", g.linear(row, self.start.weight, self.start.bias))
        if self.keys is None:
            return row, None
        return row, g.op("Concat", g.linear(values, self.keys.weight, self.keys.bias), values, axis=2)


class AttendingNet(nn.Module):
    """Logits of every step, of which each attends to what an encoder made; of the exportable form.

    Args:
        embedding: of the tokens.
        recurrent: the layers; their state is the whole row.
        queries: from the last layer's units to a query, of as many dimensions as a key has: 128 at most.
        head: from these units and what was found to logits.
    """

    step_shape: tuple[int, ...] = ()
    by_position = ("attention",)

    def __init__(
        self, embedding: nn.Embedding, recurrent: RecurrentStack, queries: nn.Linear, head: nn.Linear
    ) -> None:
        super().__init__()
        self.embedding, self.recurrent, self.queries, self.head = embedding, recurrent, queries, head

    @property
    def row_size(self) -> int:
        return self.recurrent.size

    def fields(self) -> list[tuple[str, tuple[int, ...]]]:
        return self.recurrent.fields()

    def start_row(self) -> Tensor:
        return self.recurrent.start

    @property
    def _parts(self) -> list[int]:
        """Sizes of a key and a value."""
        return [self.queries.out_features, self.head.in_features - self.recurrent.hidden_size]

    def forward(
        self,
        x: Tensor,
        state: Tensor,
        head_from: int = 0,
        attended: Tensor | None = None,
        attended_length: Tensor | None = None,
    ) -> tuple[dict[str, Tensor], Tensor]:
        """Advance by ``time`` tokens.

        Args:
            x: int64 ``[batch, time]``.
            state: ``[batch, row_size]``.
            head_from: first step whose output is computed.
            attended: ``[batch, length, width]``, keys before values.
            attended_length: int64 ``[batch]``, positions that count.

        Returns:
            Of the steps that are read ``logits`` ``[batch, read, outputs]`` and ``attention``
            ``[batch, read, length]``; and the next row.
        """
        assert attended is not None
        assert attended_length is not None
        hidden, state = self.recurrent(self.embedding(x), state)
        hidden = hidden[:, head_from:]
        keys, values = torch.split(attended, self._parts, dim=2)
        found, attention = attend(self.queries(hidden), keys, values, attended_length)
        return {"logits": self.head(torch.cat([hidden, found], dim=2)), "attention": attention}, state

    def emit(
        self, g: Graph, x: str, state: str, head_from: str, attended: str = "", attended_length: str = ""
    ) -> tuple[dict[str, str], str]:
        """Write the network as ONNX nodes; see :meth:`forward`."""
        features = g.op("Gather", g.constant(self.embedding.weight), x, axis=0)
        hidden, state_out = self.recurrent.emit(g, features, state)
        hidden = g.slice_time(hidden, head_from)
        keys, values = g.split(attended, self._parts, axis=2)
        queries = g.linear(hidden, self.queries.weight, self.queries.bias)
        found, attention = emit_attention(g, queries, keys, values, attended_length)
        logits = g.linear(g.op("Concat", hidden, found, axis=2), self.head.weight, self.head.bias)
        return {"logits": logits, "attention": attention}, state_out
