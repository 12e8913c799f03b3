"""The steps that a key's requests ask of the networks, counted where they are handed to an engine.

request --CURRENT--> Principal.take_steps --enough left--> engine
                                           --too many--> RateLimited
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import TYPE_CHECKING

from app.access.principal import CURRENT
from app.core.ports import Submitter, Ticket

if TYPE_CHECKING:
    from app.core.beam import BeamRequest, BeamResult
    from app.core.sequence import BlockRequest, BlockResult, SequenceRequest


class MeteredSubmitter:
    """An engine that takes no more steps from a key than its rate allows.

    What counts is the most that a sequence can take: its supplied steps and, of a generation,
    ``max_tokens`` of each text or beam. What it leaves unused is not given back.

    Tokens that an encoder reads count as steps, an image as one.

    Raises (from all ways to submit):
        RateLimited: the key has asked for too many steps lately.
    """

    def __init__(self, inner: Submitter) -> None:
        self._inner = inner

    @property
    def alive(self) -> bool:
        return self._inner.alive

    @property
    def full_for_s(self) -> float | None:
        return self._inner.full_for_s

    def submit(self, requests: Sequence[SequenceRequest], deadline: float) -> Ticket:
        principal = CURRENT.get()
        if principal is not None and principal.counts_steps:
            principal.take_steps(sum(one.num_steps for one in requests))
        return self._inner.submit(requests, deadline)

    def submit_block(self, request: BlockRequest, deadline: float) -> asyncio.Future[BlockResult]:
        principal = CURRENT.get()
        if principal is not None and principal.counts_steps:
            principal.take_steps(request.steps.shape[0] * request.steps.shape[1])
        return self._inner.submit_block(request, deadline)

    def submit_beam(self, request: BeamRequest, deadline: float) -> asyncio.Future[BeamResult]:
        principal = CURRENT.get()
        if principal is not None and principal.counts_steps:
            principal.take_steps(request.num_steps)
        return self._inner.submit_beam(request, deadline)

    def submit_encode(self, request: BlockRequest, deadline: float) -> asyncio.Future[BlockResult]:
        principal = CURRENT.get()
        if principal is not None and principal.counts_steps:
            lengths = request.lengths
            principal.take_steps(len(request.steps) if lengths is None else int(lengths.sum()))
        return self._inner.submit_encode(request, deadline)
