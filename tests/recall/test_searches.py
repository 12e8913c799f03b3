"""Beam searches that attend: alone or together, over a server, scored as forced decoding scores."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
import pytest

from app.bundle.reader import Bundle
from app.core.beam import BeamRequest, BeamResult
from app.core.numbers import log_softmax
from app.core.sequence import BlockRequest, Read
from app.engine.engine import Engine
from app.engine.load import QueueLimits, SchedulerLimits
from app.runtime.executor import GraphExecutor
from app.runtime.lanes import Lanes
from tests.e2e.server import ServerProcess
from tests.engine.driving import soon
from tests.recall.network import VOCABULARY
from tests.recall.searching import END
from tests.recall.test_bits import encoded_alone, sessions_of

SOURCES = [
    np.random.default_rng(length).integers(2, VOCABULARY, length).tolist()
    for length in [1, 2, 3, 5, 8, 13, 21, 34, 55, 128] * 6
]


def told(result: BeamResult) -> list[tuple[Any, ...]]:
    """All bits of a result."""
    return [
        (
            one.tokens,
            one.logprob,
            one.score,
            one.reason,
            one.attention is not None and one.attention.tobytes(),
        )
        for one in result.hypotheses
    ]


def searches(bundle: Bundle) -> list[BeamRequest]:
    """One for each source, and some that attend to nothing."""
    _, encoder = sessions_of(bundle)
    found = []
    for index, source in enumerate(SOURCES):
        one = encoded_alone(encoder, source)
        prefix = np.array([0, 4, 5][: 1 + index % 3])
        attended = None if index % 7 == 6 else one.attended
        width = 2 + index % 4
        found.append(
            BeamRequest(
                prefix,
                width,
                4 + index % 9,
                n_best=width,
                end_tokens=frozenset([END]),
                start=one.row,
                attended=attended,
                attention=index % 2 == 0,
            )
        )
    return found


async def run(
    bundle: Bundle, requests: Sequence[BeamRequest], *, together: bool
) -> list[list[tuple[Any, ...]]]:
    """Their hypotheses, one after the other or all at once."""
    session, _ = sessions_of(bundle)
    executor = GraphExecutor(session, bundle.start, 1, Lanes(3 if together else 1))
    engine = Engine("searches", executor, SchedulerLimits(max_batch=64), QueueLimits())
    engine.start(asyncio.get_running_loop())
    try:
        if together:
            results = await asyncio.gather(*(engine.submit_beam(one, soon(60)) for one in requests))
        else:
            results = [await engine.submit_beam(one, soon(60)) for one in requests]
        return [told(result) for result in results]
    finally:
        engine.close()


async def test_a_search_attends_as_it_does_alone(bundle: Bundle, monkeypatch: pytest.MonkeyPatch) -> None:
    """Among sources of other lengths, in another order, and cut over lanes: the same bits, attention too."""
    requests = searches(bundle)
    alone = await run(bundle, requests, together=False)
    monkeypatch.setattr("app.runtime.runner._WORTH_CUTTING_S", 0.0)
    monkeypatch.setattr("app.runtime.runner._TRY_EVERY", 2)
    assert await run(bundle, requests, together=True) == alone
    assert await run(bundle, requests[::-1], together=True) == alone[::-1]


async def test_attention_is_that_of_the_same_tokens_forced(bundle: Bundle) -> None:
    """Of each token one row over its source, which sums to one; none where it was not asked for."""
    session, _ = sessions_of(bundle)
    executor = GraphExecutor(session, bundle.start, 1)
    engine = Engine("searches", executor, SchedulerLimits(), QueueLimits())
    engine.start(asyncio.get_running_loop())
    try:
        for request in searches(bundle)[:12]:
            length = 1 if request.attended is None else len(request.attended)
            for one in (await engine.submit_beam(request, soon())).hypotheses:
                assert (one.attention is not None) == request.attention
                if one.attention is None:
                    continue
                assert one.attention.shape == (len(one.tokens), length)
                if not one.tokens:
                    continue
                np.testing.assert_allclose(one.attention.sum(axis=1), 1, atol=1e-5)
                steps = np.array([[*request.steps, *one.tokens[:-1]]])
                assert request.start is not None
                block = BlockRequest(steps, Read.ALL, request.start[None], attended=[request.attended])
                forced = await engine.submit_block(block, soon())
                np.testing.assert_array_equal(forced.outputs[1][0, len(request.steps) - 1 :], one.attention)
    finally:
        engine.close()


def test_a_served_search_is_the_same_in_a_crowd_and_scores_as_forced_decoding(server: ServerProcess) -> None:
    """Sources in requests of their own, at once, and together in one request."""
    more = {"width": 4, "max_tokens": 9, "prefix": [0, 7], "attention": True}
    with server.client() as client:

        def ask(sources: Sequence[Sequence[int]]) -> Any:
            answer = client.post("/recall/search", json={**more, "sources": sources})
            assert answer.status_code == 200, answer.text
            return answer.json()["hypotheses"]

        alone = [ask([source])[0] for source in SOURCES[:10]]
        with ThreadPoolExecutor(len(SOURCES)) as pool:
            assert list(pool.map(lambda source: ask([source])[0], SOURCES)) == alone * 6
        assert ask(SOURCES) == alone * 6
        for source, found in zip(SOURCES[:10], alone, strict=True):
            scores = [one["score"] for one in found]
            assert scores == sorted(scores, reverse=True)
            for one in found:
                tokens = one["tokens"] + [END] * (one["reason"] == "end")
                forced = {"sources": [source], "targets": [[0, 7, *tokens[:-1]]]}
                (logits,) = client.post("/recall/forced", json=forced).json()["logits"]
                logprobs = log_softmax(np.array(logits, np.float32))[1:]
                total = logprobs[np.arange(len(tokens)), tokens].sum()
                assert one["logprob"] == pytest.approx(total, abs=1e-4)
                assert one["score"] == pytest.approx(total / ((5 + len(tokens)) / 6) ** 0.6, abs=1e-4)
        refused = client.post("/recall/search", json={**more, "sources": [[2] * 129]})
        assert (refused.status_code, "128" in refused.text) == (422, True)
