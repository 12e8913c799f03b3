"""Calls on one session that are applied as one sequence and stored by one write."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import orjson

from app.core.sequence import Usage
from app.service.deployment import Deployment
from app.service.run import Run
from app.sessions.record import SessionRecord
from app.sessions.steps.calls import PendingStep, StepLine
from app.tasks.session import AppliedInputs, EncodedInputs


@dataclass(frozen=True, slots=True, eq=False)
class Link:
    """A call that has passed its checks.

    Attributes:
        pending: the call, to be settled.
        seq: number of the first step it writes.
        digest: of its inputs.
        first: its first step in the chain's sequence.
    """

    pending: PendingStep
    seq: int
    digest: str
    encoded: EncodedInputs
    first: int


@dataclass(slots=True, eq=False)
class Chain:
    """What a round does with one session.

    Attributes:
        line: where the calls come from.
        record: what they begin from.
        cached: whether the record may be out of date, which the write will tell.
    """

    line: StepLine
    record: SessionRecord
    deployment: Deployment
    cached: bool
    links: list[Link] = field(default_factory=list)
    step: int = 0
    length: int = 0
    context: dict[str, Any] = field(default_factory=dict)
    run: Run | None = None

    def __post_init__(self) -> None:
        self.step, self.context = self.record.step, self.record.context

    def append(self, pending: PendingStep, encoded: EncodedInputs) -> None:
        """Add a call, whose digest is known, behind the others."""
        digest = pending.digest or ""
        self.links.append(Link(pending, self.step + 1, digest, encoded, self.length))
        self.step += len(encoded.reported)
        self.length += len(encoded.steps)
        self.context = encoded.context

    def note(self, usage: Usage) -> None:
        """Tell those who ask what the run cost."""
        for link in self.links:
            clock = link.pending.group.clock
            if clock is not None:
                clock.add(usage)

    def begin(self) -> Run:
        """The sequence of all links."""
        parts = [link.encoded.steps for link in self.links]
        start = self.record.row if self.record.row.size else None
        self.run = Run(self.deployment, start, parts[0] if len(parts) == 1 else np.concatenate(parts))
        return self.run

    def applied(self) -> list[AppliedInputs]:
        """Each link's inputs with what the network made of them."""
        if self.run is None:
            raise AssertionError("a chain is answered after its run. This is a bug.")
        _, outputs = self.run.result()
        return [
            AppliedInputs(
                link.encoded,
                outputs[link.first - 1] if link.first else self.record.last,
                outputs[link.first : link.first + len(link.encoded.steps)],
            )
            for link in self.links
        ]


def answers(chains: Sequence[Chain]) -> list[list[bytes]]:
    """The JSON bytes of the answer to each link of each chain; one look at each model's outputs."""
    groups: dict[str, list[Chain]] = {}
    for chain in chains:
        groups.setdefault(chain.record.model, []).append(chain)
    found: dict[int, list[bytes]] = {}
    for members in groups.values():
        applied = [one for chain in members for one in chain.applied()]
        described = iter(members[0].deployment.model.session.describe(applied))
        for chain in members:
            found[id(chain)] = [
                orjson.dumps(
                    {
                        "seq": link.seq,
                        "step": link.seq - 1 + len(link.encoded.reported),
                        "outputs": next(described),
                    }
                )
                for link in chain.links
            ]
    return [found[id(chain)] for chain in chains]
