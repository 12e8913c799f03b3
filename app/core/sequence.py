"""One request is one sequence: what a task hands to the engine, and what comes back.

task --SequenceRequest--> engine --Outputs* then Tokens* --> reader
                                 --exactly one Finished | Failed-->

All are values that nobody changes. Those that every request makes are still not frozen: a frozen
dataclass sets each field through ``object.__setattr__``, which takes four times as long.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from enum import Enum
from typing import NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray

from app.core.errors import RnnserveError


class Read(Enum):
    """Which supplied steps' outputs the caller wants."""

    NONE = "none"
    LAST = "last"
    ALL = "all"


class FinishReason(Enum):
    SUPPLIED = "supplied"
    """All supplied steps were consumed and nothing was to be fed back."""
    LENGTH = "length"
    """The number of fed-back steps reached its maximum."""
    END = "end"
    """The network produced an end token."""
    STOP = "stop"
    """The task's stop rule matched."""


class StopRule(Protocol):
    """Decides, token by token, whether a generation is over. One instance serves one sequence."""

    def __call__(self, token: int) -> bool: ...


@dataclass(frozen=True, slots=True)
class Sampling:
    """How the next token is drawn from the logits.

    Attributes:
        temperature: 0 takes the most likely token.
        top_k: 0 keeps all.
        top_p: keep the smallest set of most likely tokens whose probabilities reach this sum.
        seed: with the position, the key of the random number (0 <= seed < 2**63).
        first_position: position of the first token drawn here.
        alternatives: how many of the most likely tokens are reported with each one drawn;
            ``None`` reports no probabilities at all.
    """

    temperature: float = 1.0
    top_k: int = 0
    top_p: float = 1.0
    seed: int = 0
    first_position: int = 0
    alternatives: int | None = None


@dataclass(frozen=True, slots=True, eq=False)
class Feedback:
    """What happens after the supplied steps: the network's own output is fed back.

    Attributes:
        max_tokens: at least one.
        end_tokens: end the sequence; they are not reported.
        stop: consulted after each token.
        banned: tokens that are never drawn, such as the unknown token.
        avoided: asked before each draw for tokens that are not drawn this time; ``stop`` hears all before.
        forced: ``[max_tokens]``, the token of each position, or -1 where it is drawn. A forced token takes
            the place of the drawn one, so every drawn one has the random number it would have had anyway.
    """

    max_tokens: int
    sampling: Sampling
    end_tokens: frozenset[int] = frozenset()
    stop: StopRule | None = None
    banned: tuple[int, ...] = ()
    avoided: Callable[[], list[int]] | None = None
    forced: NDArray[np.int64] | None = None


@dataclass(slots=True, eq=False)
class SequenceRequest:
    """One sequence for the engine. Validated: nothing here can make a run fail.

    Attributes:
        steps: ``[time, ...]`` in the graph's input type, at least one unless there are ``first_logits``.
        feedback: how to go on after them, or ``None``.
        start: ``[S]`` row to start from; ``None`` takes the bundle's start row.
        first_logits: ``[vocabulary]``, what the network gave when it reached ``start``. Without steps the
            first token is drawn from them.
        attended: ``[L, C]``, what an encoder made of a whole input and each step attends to; not to be
            changed. ``None`` where there is nothing: one position of zeros, of a graph that attends.
    """

    steps: NDArray[np.generic]
    read: Read = Read.NONE
    feedback: Feedback | None = None
    start: NDArray[np.float32] | None = None
    first_logits: NDArray[np.float32] | None = None
    attended: NDArray[np.float32] | None = None

    @property
    def num_steps(self) -> int:
        """The most steps this sequence can take."""
        return len(self.steps) + (self.feedback.max_tokens if self.feedback else 0)


Source = NDArray[np.generic]
"""A whole input of an encoder: int64 tokens ``[length]``, one to ``max_length``, or float32 ``[*shape]``.

Tasks check what they send: too long an input is InvalidInput before anything runs. What was made of one is
kept for a while, so that the same input is seldom encoded again. It is not to be changed.
"""


@dataclass(slots=True, eq=False)
class Encoded:
    """What an encoder made of one whole input: the row ``[S]`` to start from, and what is attended to.

    ``attended`` is ``[L, C]``, without padding; ``None`` of an encoder that gives a row alone. Neither is to
    be changed: others that have the same input may share them.
    """

    row: NDArray[np.float32]
    attended: NDArray[np.float32] | None = None


@dataclass(slots=True, eq=False)
class Outputs:
    """Outputs ``[count, ...]``, in manifest order, of the supplied steps from index ``first`` on.

    One by position has as many of these as the run had; behind those of the sequence there are zeros.
    """

    first: int
    values: tuple[NDArray[np.float32], ...]


class Token(NamedTuple):
    """One produced token.

    Attributes:
        logprob: natural log of its probability under the unmodified distribution; ``None``
            when probabilities were not asked for.
        alternatives: the most likely tokens with theirs, most likely first.
    """

    id: int
    logprob: float | None = None
    alternatives: tuple[tuple[int, float], ...] = ()


@dataclass(slots=True, eq=False)
class Tokens:
    """All that a sequence has produced since its reader last looked, in order."""

    tokens: list[Token]


@dataclass(frozen=True, slots=True)
class Usage:
    """What a sequence cost: steps consumed, tokens produced, and what the runs it took part in did.

    ``queue_s`` is from submission to the first of these runs, ``compute_s`` the seconds of all.
    """

    queue_s: float = 0.0
    compute_s: float = 0.0
    supplied: int = 0
    produced: int = 0
    largest_batch: int = 0


@dataclass(slots=True, eq=False)
class Finished:
    """Terminal: the sequence ended well."""

    reason: FinishReason
    usage: Usage


@dataclass(frozen=True, slots=True)
class Failed:
    """Terminal: the sequence did not end well."""

    error: RnnserveError
    usage: Usage = field(default_factory=Usage)


Event = Outputs | Tokens | Finished | Failed
Terminal = Finished | Failed


@dataclass(slots=True, eq=False)
class BlockRequest:
    """Sequences of one length that feed nothing back, as arrays. Validated, as a sequence is.

    A block costs the engine no object per sequence and needs no slot: its rows come from the caller and
    go back to it. The bits are those of the same sequences submitted one by one.

    Attributes:
        steps: ``[N, T, ...]`` in the graph's input type, both at least one; not to be changed
            before the answer.
        starts: ``[N, S]`` rows to start from; ``None`` takes the bundle's start row for all.
        fresh: ``[N]``, where the bundle's start row is taken in place of the one in ``starts``.
        attended: for each sequence, as in a :class:`SequenceRequest`.
        lengths: int64 ``[N]``, of whole inputs for an encoder: tokens that count in each.
    """

    steps: NDArray[np.generic]
    read: Read = Read.ALL
    starts: NDArray[np.float32] | None = None
    fresh: NDArray[np.bool_] | None = None
    attended: Sequence[NDArray[np.float32] | None] | None = None
    lengths: NDArray[np.int64] | None = None


@dataclass(slots=True, eq=False)
class BlockResult:
    """What a block brought. Arrays may be views of larger ones: copy what is kept for long.

    Attributes:
        outputs: in manifest order, each ``[N, T, ...]``, ``[N, 1, ...]`` or ``[N, 0, ...]`` as
            all, the last or no steps are read.
        rows: ``[N, S]`` after the last step.
        errors: by sequence, of those that failed; the arrays are meaningless there.
    """

    outputs: tuple[NDArray[np.float32], ...]
    rows: NDArray[np.float32]
    errors: Mapping[int, RnnserveError]
    usage: Usage
