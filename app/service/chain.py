"""Calls on sessions on their way: what came together, and which of it runs as one sequence."""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import orjson
from numpy.typing import NDArray

from app.core.errors import RnnserveError
from app.core.sequence import Read, SequenceRequest
from app.service.inference import Deployment
from app.sessions.record import SessionRecord
from app.tasks.streaming import EncodedInputs

Outcome = bytes | RnnserveError
"""The JSON bytes of a step answer, or why there is none."""


@dataclass(frozen=True, slots=True, eq=False)
class StepCall:
    """One call on one session.

    Attributes:
        id: of the session.
        inputs: in the task's own terms.
        seq: number of the first step it writes, or ``None`` for at most once.
    """

    id: str
    inputs: Any
    seq: int | None = None


@dataclass(slots=True, eq=False)
class Run:
    """One sequence on its way through the engine: what goes in, and what came out.

    Attributes:
        error: set instead of ``row`` and ``outputs`` when it failed.
    """

    deployment: Deployment
    start: NDArray[np.float32] | None
    steps: NDArray[np.generic]
    row: NDArray[np.float32] | None = None
    outputs: list[NDArray[np.float32]] = field(default_factory=list)
    error: RnnserveError | None = None

    def request(self) -> SequenceRequest:
        """What the engine is asked for."""
        return SequenceRequest(self.steps, Read.ALL, start=self.start, keep_row=True)

    @property
    def read(self) -> NDArray[np.float32]:
        """All outputs, ``[time, ...]``."""
        return self.outputs[0] if len(self.outputs) == 1 else np.concatenate(self.outputs)


@dataclass(frozen=True, slots=True, eq=False)
class Link:
    """A call that has passed its checks.

    Attributes:
        place: among the calls of the batch.
        seq: number of the first step it writes.
        first: its first step in the chain's sequence.
    """

    place: int
    seq: int
    digest: str
    encoded: EncodedInputs
    first: int


@dataclass(slots=True, eq=False)
class Chain:
    """Calls on one session that are applied as one sequence and stored by one write."""

    record: SessionRecord
    deployment: Deployment
    links: list[Link] = field(default_factory=list)
    run: Run | None = None

    @property
    def step(self) -> int:
        """Steps applied when all links are."""
        if not self.links:
            return self.record.step
        return self.links[-1].seq - 1 + len(self.links[-1].encoded.reported)

    @property
    def context(self) -> dict[str, Any]:
        """What the task remembers after the last link."""
        return self.links[-1].encoded.context if self.links else self.record.context

    @property
    def length(self) -> int:
        """Steps of the sequence."""
        return self.links[-1].first + len(self.links[-1].encoded.steps) if self.links else 0

    def begin(self) -> Run:
        """The sequence of all links."""
        parts = [link.encoded.steps for link in self.links]
        start = self.record.row if self.record.row.size else None
        self.run = Run(self.deployment, start, parts[0] if len(parts) == 1 else np.concatenate(parts))
        return self.run

    def answers(self) -> list[bytes]:
        """The JSON bytes of each link's answer."""
        if self.run is None:
            raise AssertionError("a chain is answered after its run. This is a bug.")
        outputs = self.run.read
        answers: list[bytes] = []
        for link in self.links:
            before = outputs[link.first - 1] if link.first else self.record.last
            own = outputs[link.first : link.first + len(link.encoded.steps)]
            described = self.deployment.stream.describe(link.encoded, before, own)
            step = link.seq - 1 + len(link.encoded.reported)
            answers.append(orjson.dumps({"seq": link.seq, "step": step, "outputs": described}))
        return answers


class StepBatch:
    """Calls that came together, and what has become of each.

    Attributes:
        waiting: places of the calls that are not settled, in order, by session.
        failed: the first error of a session's calls.
        one_by_one: sessions whose chains are not to be longer than one call.
    """

    def __init__(self, calls: Sequence[StepCall], owner: str) -> None:
        self.calls = calls
        self.owner = owner
        self.outcomes: list[Outcome | None] = [None] * len(calls)
        self.waiting: dict[str, deque[int]] = {}
        self.failed: dict[str, RnnserveError] = {}
        self.one_by_one: set[str] = set()
        for place, call in enumerate(calls):
            self.waiting.setdefault(call.id, deque()).append(place)

    def settle(self, place: int, outcome: Outcome) -> None:
        """Book what became of a call."""
        id = self.calls[place].id
        self.outcomes[place] = outcome
        if isinstance(outcome, RnnserveError):
            self.failed.setdefault(id, outcome)
        self._tidy(id)

    def fail_all(self, id: str, error: RnnserveError) -> None:
        """A session that cannot be opened fails all of its calls."""
        for place in self.waiting.pop(id):
            self.outcomes[place] = error

    def put_back(self, id: str, places: list[int]) -> None:
        """Calls that are to be tried again, before those that wait."""
        self.waiting.setdefault(id, deque()).extendleft(reversed(places))

    def _tidy(self, id: str) -> None:
        if not self.waiting.get(id, True):
            del self.waiting[id]
