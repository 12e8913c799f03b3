"""Calls that come together: coalesced into one sequence, and parted again when one of them fails."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from typing import Any

from app.core.errors import NotFinite, SequenceConflict, StateQuarantined
from app.core.limits import Limits
from app.core.ports import Submitter
from app.core.sequence import BlockRequest, BlockResult
from app.service.catalog import Catalog
from app.service.inference import InferenceService
from app.sessions.steps.calls import StepCall
from tests.rig import Rig, sessions
from tests.sessions.bench import LIMITS, Bench, opened


class PoisonedEngine:
    """An engine that one token explodes on."""

    def __init__(self, inner: Submitter, token: int) -> None:
        self._inner = inner
        self._token = token

    def __getattr__(self, name: str) -> Any:
        return getattr(self._inner, name)

    def submit_block(self, request: BlockRequest, deadline: float) -> asyncio.Future[BlockResult]:
        """As the engine's, with the rows spoiled that hold the token."""
        poisoned = {
            index: NotFinite("nan") for index, steps in enumerate(request.steps) if self._token in steps
        }

        async def spoil() -> BlockResult:
            result = await self._inner.submit_block(request, deadline)
            return replace(result, errors={**result.errors, **poisoned})

        return asyncio.ensure_future(spoil())


async def test_a_state_that_is_not_finite_is_quarantined(bench: Bench) -> None:
    """Only the step that did it fails: calls before it in the same batch are kept, those behind are told."""
    model = "tiny-text-lstm@1"
    deployment = bench.rig.service.catalog.deployments[model]
    sick = replace(deployment, engine=PoisonedEngine(deployment.engine, 13))
    inference = InferenceService(Limits(), bench.rig.counts)
    inference.serve(Catalog([sick], {}))
    async with sessions(Rig(inference, bench.rig.counts, []), bench.store, LIMITS, bench.clock) as service:
        for id in ("numbered", "plain", "healthy"):
            await service.create(opened(model, id=id))
        outcomes = await service.steps(
            [
                StepCall("numbered", [1, 2], 1),
                StepCall("plain", [1]),
                StepCall("numbered", [3, 13], 3),
                StepCall("healthy", [1], 1),
                StepCall("plain", [13]),
                StepCall("numbered", [4], 5),
                StepCall("plain", [2]),
            ]
        )
        kinds = [type(outcome) for outcome in outcomes]
        assert kinds == [
            bytes,
            bytes,
            StateQuarantined,
            bytes,
            StateQuarantined,
            SequenceConflict,
            StateQuarantined,
        ]
        assert [(await service.view(id)).step for id in ("numbered", "plain", "healthy")] == [2, 1, 1]
        assert bench.rig.counts.sessions.count("quarantined") == 2
        (outcome,) = await service.steps([StepCall("numbered", [3, 4], 3)])
        assert isinstance(outcome, bytes)


async def test_calls_that_come_together_equal_calls_one_by_one(bench: Bench) -> None:
    """Answers, bytes and states are the same; the last call's retry gives its answer, doubled or not."""
    pieces: list[list[float | None]] = [[1.0, 2.0], [None], [4.0, 8.0, 16.0], [3.0]]
    for id in ("one", "together"):
        await bench.service.create(
            opened("tiny-series-rnn", id=id, options={"freq": "h", "start": "2024-01-01"})
        )
    seqs = [1, 3, 4, 7]
    alone = [
        (await bench.service.steps([StepCall("one", x, s)]))[0] for x, s in zip(pieces, seqs, strict=True)
    ]
    calls = [StepCall("together", x, s) for x, s in zip(pieces, seqs, strict=True)]
    assert await bench.service.steps([*calls, calls[-1]]) == [*alone, alone[-1]]
    assert await bench.service.steps([calls[-1]]) == alone[-1:]
    one, together = await bench.service.states.export("one"), await bench.service.states.export("together")
    assert one.state == together.state
