"""A text classifier whose running score can be read at every token."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor

from training.regularise import drop_tokens
from training.token_net import NoisyTokenNet, TokenNetConfig
from training.tokenizers import UNKNOWN_ID

if TYPE_CHECKING:
    from training.graph import Graph


@dataclass(frozen=True, slots=True)
class ClassifierConfig(TokenNetConfig):
    """Shape and noise of a :class:`Classifier`.

    Attributes:
        labels: number of classes.
        word_dropout: probability that a token is read as unknown.
    """

    labels: int = field(kw_only=True)
    word_dropout: float = 0.0


class Classifier(NoisyTokenNet):
    """Reads the newest hidden state beside the mean so far, so that every token has a running score.

    The mean gives every token a short way to the answer, which long texts need to be learned
    from at all (Johnson & Zhang 2016 pool LSTM outputs for the same reason). Its sum and count
    are part of the row.
    """

    config: ClassifierConfig

    def __init__(self, config: ClassifierConfig) -> None:
        super().__init__(config, 2 * config.hidden, config.labels)

    @property
    def row_size(self) -> int:
        return self.recurrent.size + self.config.hidden + 1

    def fields(self) -> list[tuple[str, tuple[int, ...]]]:
        return [*self.recurrent.fields(), ("sum", (self.config.hidden,)), ("count", (1,))]

    def start_row(self) -> Tensor:
        """The row ``[row_size]`` that a text begins with: nothing summed, nothing counted."""
        start = self.recurrent.start
        return torch.cat([start, start.new_zeros(self.config.hidden + 1)])

    def forward(self, x: Tensor, state: Tensor, head_from: int = 0) -> tuple[dict[str, Tensor], Tensor]:
        tokens = drop_tokens(x, self.config.word_dropout, UNKNOWN_ID, self.training)
        layers, total, count = torch.split(state, [self.recurrent.size, self.config.hidden, 1], dim=1)
        hidden, layers = self.read(tokens, layers)
        # Sums need more digits than a low-precision run keeps.
        hidden = hidden.float()
        sums = torch.cat([total[:, None], hidden], dim=1).cumsum(dim=1)[:, 1:]
        counts = count[:, None] + torch.arange(1, x.shape[1] + 1, device=x.device)[None, :, None]
        read = torch.cat([hidden, sums / counts], dim=2)[:, head_from:]
        return self.logits(read), torch.cat([layers.float(), sums[:, -1], counts[:, -1]], dim=1)

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
