"""What the scheduler and the executor say to each other: batches, then what they brought.

A batch is rows that run together in one run of the graph, all by the same number of steps, so that
nothing is padded. There are four kinds:

    prefill  supplied steps of sequences that hold a slot
    decode   one fed-back step of sequences that hold a slot
    block    steps of blocks, whose rows come from their callers
    beam     one step of beam searches, each with rows of its own
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from app.core.beam import BeamRequest, Hypothesis
from app.core.errors import RunFailed
from app.core.sequence import BlockRequest, FinishReason, Read, Token


@dataclass(slots=True, eq=False)
class PrefillBatch:
    """Supplied steps of slots.

    Attributes:
        slots: none appears twice in a tick.
        length: steps each advances, at most what it has left. 0 when all draw their first token from
            the logits they came with; then the graph does not run.
        read: per slot. ``LAST`` is asked for only in the batch that holds the last supplied step.
        sample: per slot, whether a token is drawn after the last step.
    """

    slots: tuple[int, ...]
    length: int
    read: tuple[Read, ...]
    sample: tuple[bool, ...]

    @property
    def rows(self) -> int:
        return len(self.slots)


@dataclass(slots=True, eq=False)
class DecodeBatch:
    """Slots that advance by the token they drew last, and draw the next.

    The scheduler plans the same object again while nobody joins or leaves, so whatever is derived
    from it may be kept until another one comes.
    """

    slots: tuple[int, ...]
    length: int = 1

    @property
    def rows(self) -> int:
        return len(self.slots)


@dataclass(slots=True, eq=False)
class BlockPart:
    """Rows of one block that always run together, and how far they are. The executor advances it.

    Attributes:
        cursor: steps consumed.
        rows: ``[N, S]`` after the last run; ``None`` before the first.
        pieces: per run, the outputs read, each ``[N, count, ...]``.
        errors: by row.
    """

    request: BlockRequest
    cursor: int = 0
    rows: NDArray[np.float32] | None = None
    pieces: list[list[NDArray[np.float32]]] = field(default_factory=list)
    errors: dict[int, RunFailed] = field(default_factory=dict)


@dataclass(slots=True, eq=False)
class BlockBatch:
    """Parts of blocks, in the order of their rows in the run.

    Attributes:
        length: steps, at most what each part has left.
        rows: of all parts together.
    """

    parts: tuple[BlockPart, ...]
    length: int
    rows: int


@dataclass(slots=True, eq=False)
class BeamPart:
    """A beam search, and how far it is. The executor advances it.

    Attributes:
        prefix: all its steps but the last, which are fed as those of a block before it begins.
        rows: ``[width, S]`` after the last run; ``None`` before the first.
        search: the executor's own.
        hypotheses: when it is over.
        error: when it failed.
    """

    request: BeamRequest
    prefix: BlockPart | None = None
    rows: NDArray[np.float32] | None = None
    search: Any = None
    hypotheses: list[Hypothesis] | None = None
    error: RunFailed | None = None


@dataclass(slots=True, eq=False, weakref_slot=True)
class BeamBatch:
    """Searches that advance together, each by all of its ``width`` rows.

    As with a :class:`DecodeBatch`, the same object is planned again while none of them comes or goes.

    Attributes:
        most_turns: steps it may take one after the other; none follows one that ends a search.
    """

    parts: tuple[BeamPart, ...]
    rows: int
    length: int = 1
    most_turns: int = 1


Batch = PrefillBatch | DecodeBatch | BlockBatch | BeamBatch


@dataclass(slots=True, eq=False)
class BatchResult:
    """What a batch brought, by the row in it.

    Attributes:
        values: outputs in manifest order, each ``[rows, count, ...]``, of the last ``count`` steps;
            empty when nothing was read, and for blocks and searches, whose outputs are in their parts.
        tokens: of the rows that drew one, in their order; meaningless for a row in ``errors``, or in
            ``ended`` with ``END``.
        ended: rows whose token ended the sequence.
        errors: rows that failed. Those of blocks and searches are in their parts.
        turns: steps that searches took.
    """

    values: tuple[NDArray[np.float32], ...] = ()
    tokens: Sequence[Token | int] = ()
    ended: Mapping[int, FinishReason] = field(default_factory=dict)
    errors: Mapping[int, RunFailed] = field(default_factory=dict)
    seconds: float = 0.0
    turns: int = 1
