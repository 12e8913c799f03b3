"""A recurrent encoder and a decoder of two recurrent layers with attention between them.

    source --embedding, both directions--> values --linear--> keys        context = keys and values
    target --embedding--> layer 1 --query--> attention --what it found--> layer 2 --readout--> logits

The decoder is fed no attention of the step before, so a whole target is one call of each layer. Between the
layers it attends by scaled products (Vaswani et al. 2017); that a second layer follows is from the conditional
GRU (Firat & Cho 2016). The logits use the embedding again (Press & Wolf 2017).
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional

from training.cells import CELLS, Cell, Nonlinearity, run_layers
from training.regularise import drop_tokens, dropped_recurrent_weights, locked_dropout

_OF_CELL = {cell: kind for kind, cell in CELLS.items() if issubclass(kind, nn.RNNBase)}
MASKED = -1e30
"""Added to what is not to be attended to; infinity would make NaN of a row that has nothing else."""


@dataclass(frozen=True, slots=True)
class TranslatorConfig:
    """Shape and noise of a :class:`Translator`."""

    vocabulary: int
    cell: Cell = "lstm"
    nonlinearity: Nonlinearity = "tanh"
    embedding: int = 256
    encoder: int = 256
    hidden: int = 224
    attention: int = 128
    dropout: float = 0.0
    embedding_dropout: float = 0.0
    recurrent_dropout: float = 0.0
    token_dropout: float = 0.0


class Translator(nn.Module):
    """See the module. Without attention (``attention=0``) layer 2 is fed what layer 1 says alone."""

    def __init__(self, config: TranslatorConfig, unknown: int = 0) -> None:
        super().__init__()
        self.config, self.unknown = config, unknown
        self.embedding = nn.Embedding(config.vocabulary, config.embedding)
        nn.init.normal_(self.embedding.weight, std=config.embedding**-0.5)
        values = 2 * config.encoder
        found = values if config.attention else 0
        self.encoder = self._layers(config.embedding, config.encoder, bidirectional=True)
        self.start = nn.Linear(values, self.row_size)
        self.keys = nn.Linear(values, config.attention, bias=False) if config.attention else None
        self.queries = nn.Linear(config.hidden, config.attention, bias=False) if config.attention else None
        self.first = self._layers(config.embedding, config.hidden)
        self.second = self._layers(config.hidden + found, config.hidden)
        self.readout = nn.Linear(config.hidden + found + config.embedding, config.embedding)
        self.bias = nn.Parameter(torch.zeros(config.vocabulary))

    def _layers(self, inputs: int, hidden: int, *, bidirectional: bool = False) -> nn.RNNBase:
        kind = _OF_CELL[self.config.cell]
        more = {"nonlinearity": self.config.nonlinearity} if self.config.cell == "rnn" else {}
        layers: nn.RNNBase = kind(inputs, hidden, batch_first=True, bidirectional=bidirectional, **more)
        for name, weight in layers.named_parameters():
            if name.startswith("weight_hh"):
                for gate in weight.data.chunk(len(weight) // hidden):
                    nn.init.orthogonal_(gate)
        return layers

    @property
    def device(self) -> torch.device:
        return self.bias.device

    @property
    def row_size(self) -> int:
        return 2 * self.config.hidden * (2 if self.config.cell == "lstm" else 1)

    @property
    def context_width(self) -> int:
        return self.config.attention + 2 * self.config.encoder

    def encode(self, source: Tensor) -> tuple[Tensor, Tensor]:
        """Sources of one length ``[batch, length]`` to rows ``[batch, row_size]`` and contexts.

        Contexts are ``[batch, length, context_width]``, keys before values.
        """
        config = self.config
        features = self._embedded(source)
        with self._noise(self.encoder), _full_precision(self.encoder):
            values, last = self.encoder(features.float())
        values = locked_dropout(values, config.dropout / 2, self.training)
        ends = torch.cat([*(last[0] if isinstance(last, tuple) else last)], dim=1)
        row = torch.tanh(self.start(ends)).float()
        if self.keys is None:
            return row, values
        return row, torch.cat([self.keys(values).float() * config.attention**-0.5, values], dim=2)

    def decode(
        self, inputs: Tensor, state: Tensor, context: Tensor, mask: Tensor | None = None, head_from: int = 0
    ) -> tuple[Tensor, Tensor, Tensor | None]:
        """Target tokens to what is said of the next ones, rows and attention.

        Args:
            inputs: ``[batch, time]``, the target behind its language's token.
            state: ``[batch, row_size]``.
            context: ``[batch, length, context_width]``.
            mask: ``[batch, 1, length]``, :data:`MASKED` where the context is padding.
            head_from: the first step whose output is computed.

        Returns:
            What :meth:`logits` takes ``[batch, time - head_from, embedding]``, the next rows, and attention ``[batch, time -
            head_from, length]``.
        """
        config = self.config
        features = self._embedded(inputs).float()
        before = state.chunk(2, dim=1)
        with self._noise(self.first), _full_precision(self.first):
            hidden, first = run_layers(self.first, features, before[0].contiguous())
        attention, seen = None, [hidden]
        if self.queries is not None:
            keys, values = context.split([config.attention, 2 * config.encoder], dim=2)
            scores = self.queries(hidden).float() @ keys.transpose(1, 2).float()
            attention = torch.softmax(scores if mask is None else scores + mask, dim=2)
            seen.append((attention @ values.float()).float())
        with self._noise(self.second), _full_precision(self.second):
            dropped = locked_dropout(torch.cat(seen, dim=2).float(), config.dropout / 2, self.training)
            hidden, second = run_layers(self.second, dropped, before[1].contiguous())
        said = torch.cat([hidden, *seen[1:], features], dim=2)[:, head_from:]
        said = torch.tanh(self.readout(said))
        rows = torch.cat([first, second], dim=1)
        return said, rows, None if attention is None else attention[:, head_from:]

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

    def _noise(self, layers: nn.RNNBase):  # type: ignore[no-untyped-def]
        return dropped_recurrent_weights(layers, self.config.recurrent_dropout, self.training)


@contextmanager
def _full_precision(layers: nn.RNNBase) -> Iterator[None]:
    """On a CPU only the LSTM has a kernel for bfloat16; the GRU is a hundred times slower in it."""
    kind = layers._flat_weights[0].device.type
    enabled = torch.is_autocast_enabled(kind) and (kind != "cpu" or isinstance(layers, nn.LSTM))
    with torch.autocast(kind, enabled=enabled, dtype=torch.bfloat16):
        yield
