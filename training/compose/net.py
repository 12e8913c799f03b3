"""A recurrent network over the tokens of several voices, which also sees the last tokens as they are.

    tokens [batch, time]  --last `window` of them, embedded--> features --layers--> hidden --+
                                      clock: voice, place in the bar --+------------------> head --> logits

The row holds a counter, the last tokens, and the state of the layers. The counter tells which voice is next
and where in the bar it is, so a step of the graph is one token, whoever drew it. What the clock allows no
voice to have gets the logit :data:`REFUSED`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import torch
from numpy.typing import NDArray
from onnx import TensorProto
from torch import Tensor, nn
from torch.nn import functional

from app.tasks.compose.spec import OUTPUT
from training.cells import Cell, Nonlinearity, RecurrentStack
from training.regularise import dropped_recurrent_weights, locked_dropout

if TYPE_CHECKING:
    from training.graph import Graph

REFUSED = -60.0
"""So low that nothing of a mass is left, and not so low that it hides differences of the other logits."""
LEAST = -30.0
"""Of a note that may be had."""


_MOST_HEARD = 3
"""Other voices whose distance to the next note is told."""


@dataclass(frozen=True, slots=True)
class ComposerConfig:
    """Shape and noise of a :class:`Composer`.

    Attributes:
        vocabulary: number of tokens.
        voices: tokens of a step.
        lead: steps that the first voice is ahead.
        bar: steps after which the clock begins anew.
        window: tokens that are seen as they are.
        embedding: features of a token in the window.
        interval: features of an interval between two of its tokens.
        features: that the layers read.
        hidden: units of each layer.
        head: units between the layers and the logits.
    """

    vocabulary: int
    voices: int
    lead: int
    bar: int
    window: int = 24
    cell: Cell = "lstm"
    nonlinearity: Nonlinearity = "tanh"
    embedding: int = 16
    interval: int = 8
    features: int = 160
    hidden: int = 208
    layers: int = 1
    head: int = 224
    dropout: float = 0.0
    embedding_dropout: float = 0.0
    recurrent_dropout: float = 0.0


class Composer(nn.Module):
    """See the module.

    Args:
        config: shape and noise.
        allowed: bool ``[lead * voices + bar * voices, vocabulary]``, what each place of the clock may have.
        follows: bool ``[vocabulary, vocabulary]``, what may follow a token of the same voice, if not all may.
        intervals: ``[vocabulary, vocabulary]``, a number for the interval from one token to another; 0 where
            one is no pitch.
    """

    step_shape: tuple[int, ...] = ()
    allowed: Tensor
    follows: Tensor | None
    intervals: Tensor

    def __init__(
        self,
        config: ComposerConfig,
        allowed: NDArray[np.bool_],
        intervals: NDArray[np.int64],
        follows: NDArray[np.bool_] | None = None,
    ) -> None:
        super().__init__()
        self.config = config
        self.register_buffer("allowed", torch.from_numpy(allowed))
        self.register_buffer("follows", None if follows is None else torch.from_numpy(follows))
        self.register_buffer("intervals", torch.from_numpy(intervals))
        self._num_intervals = int(intervals.max()) + 1
        # How many tokens back each voice was heard last: some of the others, then the voice itself.
        own = config.voices
        self._heard = [*range(1, min(own, _MOST_HEARD + 1)), own]
        others = self._heard[:-1]
        self._pairs = [(before + own, before) for before in others]
        self._pairs += [(own, before + own) for before in others] + [(own, before) for before in others]
        led = config.lead > 0
        pairs, bases = len(self._pairs) + 2 * led, len(self._heard) + led
        self.pairs = nn.Embedding(pairs * self._num_intervals, config.interval)
        self.relative = nn.Linear(config.head, bases * self._num_intervals)
        self.embedding = nn.Embedding(config.voices * config.vocabulary, config.embedding)
        self.follow = nn.Embedding(config.voices * config.vocabulary, config.vocabulary)
        self.clock = nn.Embedding(len(allowed), config.features)
        self.clock_head = nn.Embedding(len(allowed), config.head)
        seen = config.window * config.embedding + pairs * config.interval
        self.features = nn.Linear(seen, config.features)
        self.recurrent = RecurrentStack(
            config.cell, config.features, config.hidden, config.layers, config.dropout, config.nonlinearity
        )
        self.inner = nn.Linear(config.hidden + config.features, config.head)
        self.head = nn.Linear(config.head, config.vocabulary)
        nn.init.normal_(self.embedding.weight, std=0.5)
        nn.init.zeros_(self.follow.weight)
        for table in (self.clock, self.clock_head):
            nn.init.normal_(table.weight, std=0.1)

    @property
    def device(self) -> torch.device:
        return self.head.weight.device

    @property
    def row_size(self) -> int:
        return 1 + self.config.window + self.recurrent.size

    def fields(self) -> list[tuple[str, tuple[int, ...]]]:
        return [("clock", (1,)), ("window", (self.config.window,)), *self.recurrent.fields()]

    def start_row(self) -> Tensor:
        fixed = torch.zeros(1 + self.config.window, device=self.device)
        return torch.cat([fixed, self.recurrent.start])

    @property
    def _first(self) -> int:
        """Tokens before the clock begins to go round."""
        return self.config.lead * self.config.voices

    @property
    def _round(self) -> int:
        return self.config.bar * self.config.voices

    def forward(self, x: Tensor, state: Tensor, head_from: int = 0) -> tuple[dict[str, Tensor], Tensor]:
        """Tokens ``[batch, time]`` and rows to ``logits [batch, time - head_from, vocabulary]`` and rows."""
        config = self.config
        time, size = x.shape[1], config.window
        parts = torch.split(state, [1, size, state.shape[1] - 1 - size], dim=1)
        counter, window, layers = parts[0].long(), parts[1].long(), parts[2]
        seen = torch.cat([window, x], dim=1)
        places = self._wrapped(counter + torch.arange(time, device=x.device))
        voices = (counter + torch.arange(size + time, device=x.device)) % config.voices
        codes = seen + voices * config.vocabulary
        embedded = locked_dropout(self.embedding(codes), config.embedding_dropout, self.training)
        slots = [embedded[:, 1 + slot : 1 + slot + time] for slot in range(size)]

        def back(tokens: int) -> Tensor:
            return seen[:, size + 1 - tokens : size + 1 - tokens + time]

        bases = [back(tokens) for tokens in self._heard]
        pairs = [self.intervals[back(one), back(other)] for one, other in self._pairs]
        if config.lead:
            at = torch.arange(size + 1 - self._first, size + 1 - self._first + time, device=x.device)
            at = at - places % config.voices
            led, before = (torch.gather(seen, 1, at - step) for step in (0, config.voices))
            bases.append(led)
            pairs += [self.intervals[before, led], self.intervals[bases[-2], led]]
        slots += [self.pairs(pair + kind * self._num_intervals) for kind, pair in enumerate(pairs)]
        features = torch.relu(self.features(torch.cat(slots, dim=2)) + self.clock(places))
        features = functional.dropout(features, config.dropout, self.training)
        with dropped_recurrent_weights(self.recurrent.layers, config.recurrent_dropout, self.training):
            hidden, layers = self.recurrent(features, layers)
        both = torch.cat([hidden, features], dim=2)[:, head_from:]
        both = functional.dropout(both, config.dropout, self.training)
        places = places[:, head_from:]
        inner = torch.relu(self.inner(both) + self.clock_head(places))
        last = codes[:, size + 1 - config.voices + head_from : size + 1 - config.voices + time]
        inner = functional.dropout(inner, config.dropout, self.training)
        logits = self.head(inner) + self.follow(last)
        relative = self.relative(inner).chunk(len(bases), dim=2)
        for scores, base in zip(relative, bases, strict=True):
            logits = logits + torch.gather(scores, 2, self.intervals[base[:, head_from:]])
        may = self.allowed[places]
        if self.follows is not None:
            may = may & self.follows[last % config.vocabulary]
        logits = torch.where(may, torch.clamp(logits, min=LEAST), REFUSED)
        after = [self._wrapped(counter + time).to(state.dtype), seen[:, time:].to(state.dtype), layers]
        return {OUTPUT: logits}, torch.cat(after, dim=1)

    def _wrapped(self, counter: Tensor) -> Tensor:
        beyond = torch.clamp(counter - self._first, min=0)
        return torch.where(counter < self._first, counter, self._first + beyond % self._round)

    def emit(self, g: Graph, x: str, state: str, head_from: str) -> tuple[dict[str, str], str]:
        """The same as ONNX nodes."""
        config, size = self.config, self.config.window
        counter, window, layers = g.split(state, [1, size, self.recurrent.size], axis=1)
        counter, window = (g.op("Cast", part, to=TensorProto.INT64) for part in (counter, window))
        seen = g.op("Concat", window, x, axis=1)
        time = g.op("Shape", x, start=1, end=2)
        steps = _count(g, time)
        places = self._emit_wrapped(g, g.op("Add", counter, steps))
        voices = g.op("Add", counter, _count(g, g.op("Add", time, g.ints(size))))
        voices = g.op("Mod", voices, g.ints(config.voices))
        codes = g.op("Add", seen, g.op("Mul", voices, g.ints(config.vocabulary)))
        embedded = g.op("Gather", g.constant(self.embedding.weight), codes, axis=0)
        slots = [_slot(g, embedded, slot, size) for slot in range(size)]
        table = g.constant(self.intervals)

        def interval(one: str, other: str) -> str:
            pair = g.op("Concat", g.unsqueeze(one, 2), g.unsqueeze(other, 2), axis=2)
            return g.op("GatherND", table, pair)

        def back(tokens: int) -> str:
            return _slot(g, seen, size - tokens, size)

        bases = [back(tokens) for tokens in self._heard]
        pairs = [interval(back(one), back(other)) for one, other in self._pairs]
        if config.lead:
            at = g.op("Add", steps, g.ints(size + 1 - self._first))
            at = g.op("Sub", at, g.op("Mod", places, g.ints(config.voices)))
            led = g.op("GatherElements", seen, at, axis=1)
            before = g.op("GatherElements", seen, g.op("Sub", at, g.ints(config.voices)), axis=1)
            bases.append(led)
            pairs += [interval(before, led), interval(bases[-2], led)]
        for kind, pair in enumerate(pairs):
            code = g.op("Add", pair, g.ints(kind * self._num_intervals))
            slots.append(g.op("Gather", g.constant(self.pairs.weight), code, axis=0))
        features = g.linear(g.op("Concat", *slots, axis=2), self.features.weight, self.features.bias)
        clock = g.op("Gather", g.constant(self.clock.weight), places, axis=0)
        features = g.op("Relu", g.op("Add", features, clock))
        hidden, layers = self.recurrent.emit(g, features, layers)
        both = g.slice_time(g.op("Concat", hidden, features, axis=2), head_from)
        read = g.slice_time(places, head_from)
        inner = g.linear(both, self.inner.weight, self.inner.bias)
        inner = g.op(
            "Relu", g.op("Add", inner, g.op("Gather", g.constant(self.clock_head.weight), read, axis=0))
        )
        last = g.slice_time(_slot(g, codes, size - config.voices, size), head_from)
        logits = g.linear(inner, self.head.weight, self.head.bias)
        logits = g.op("Add", logits, g.op("Gather", g.constant(self.follow.weight), last, axis=0))
        relative = g.linear(inner, self.relative.weight, self.relative.bias)
        relatives = g.split(relative, [self._num_intervals] * len(bases), axis=2)
        for scores, base in zip(relatives, bases, strict=True):
            numbers = g.op("Gather", table, g.slice_time(base, head_from), axis=0)
            logits = g.op("Add", logits, g.op("GatherElements", scores, numbers, axis=2))
        may = g.op("Gather", g.constant(self.allowed), read, axis=0)
        if self.follows is not None:
            last = g.op("Mod", last, g.ints(config.vocabulary))
            may = g.op("And", may, g.op("Gather", g.constant(self.follows), last, axis=0))
        logits = g.op("Where", may, g.op("Max", logits, g.scalar(LEAST)), g.scalar(REFUSED))
        counter = g.op("Cast", self._emit_wrapped(g, g.op("Add", counter, time)), to=TensorProto.FLOAT)
        window = g.op("Cast", g.slice(seen, -size, None, axis=1), to=TensorProto.FLOAT)
        return {OUTPUT: logits}, g.op("Concat", counter, window, layers, axis=1)

    def _emit_wrapped(self, g: Graph, counter: str) -> str:
        first = g.ints(self._first)
        beyond = g.op("Max", g.op("Sub", counter, first), g.ints(0))
        turned = g.op("Add", first, g.op("Mod", beyond, g.ints(self._round)))
        return g.op("Where", g.op("Less", counter, first), counter, turned)


def _count(g: Graph, length: str) -> str:
    """0, 1, ... of a length ``[1]``."""
    zero, one = (g.constant(torch.tensor(value)) for value in (0, 1))
    return g.op("Range", zero, g.squeeze(length, axis=0), one)


def _slot(g: Graph, seen: str, slot: int, size: int) -> str:
    """Of a window that ends at each step the ``slot``-th entry."""
    behind = size - 1 - slot
    return g.slice(seen, 1 + slot, -behind if behind else None, axis=1)
