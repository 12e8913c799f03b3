"""Beam searches in the engine, on a small exported network: alone and together, given up, late, failing."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from app.bundle.reader import Bundle, read_bundle
from app.core.beam import BeamRequest, BeamResult
from app.core.errors import DeadlineExceeded, Draining, EngineDead, NotFinite, Overloaded
from app.core.numbers import log_softmax
from app.core.plan import Batch, BatchResult, BeamBatch
from app.core.sequence import (
    BlockRequest,
    Feedback,
    Finished,
    FinishReason,
    Read,
    Sampling,
    SequenceRequest,
    Tokens,
)
from app.engine.engine import Engine
from app.engine.load import QueueLimits, SchedulerLimits
from app.runtime.executor import GraphExecutor
from app.runtime.session import GraphSession
from app.tasks.decoded.beams import streamed
from tests.engine.driving import StartEngine, drain, idle, soon, until

END = 3


@pytest.fixture(scope="module")
def bundle(tiny_models: Path) -> Bundle:
    """A language model over 32 characters; here one of them ends a text."""
    return read_bundle(tiny_models / "tiny-text-gru" / "1")


class Counting(GraphExecutor):
    """Remembers the searches of each run, and may be told to die."""

    def __init__(self, bundle: Bundle) -> None:
        super().__init__(GraphSession(bundle.graph, bundle.manifest), bundle.start, 8)
        self.runs: list[BeamBatch] = []
        self.dies = False

    def run(self, batch: Batch) -> BatchResult:
        """Run it."""
        if isinstance(batch, BeamBatch):
            self.runs.append(batch)
        if self.dies:
            raise ValueError("a bug")
        return super().run(batch)


@pytest.fixture
def executor(bundle: Bundle) -> Counting:
    """For one engine."""
    return Counting(bundle)


@pytest.fixture
async def engine(executor: Counting, start: StartEngine) -> Engine:
    """Of few rows, so that many searches wait, and are cut into several runs."""
    return start(executor, limits=SchedulerLimits(num_slots=8, max_batch=24, max_chunk=4))


def ask(*steps: int, width: int = 4, max_tokens: int = 12, **fields: Any) -> BeamRequest:
    """A search."""
    request = BeamRequest(np.array(steps, np.int64), width, max_tokens, end_tokens=frozenset([END]))
    return replace(request, **fields)


def told(result: BeamResult) -> list[tuple[list[int], float, float, FinishReason]]:
    """All bits of a result."""
    return [(one.tokens, one.logprob, one.score, one.reason) for one in result.hypotheses]


def many(num: int) -> list[BeamRequest]:
    """Searches of all kinds, with prefixes of several lengths."""
    random = np.random.default_rng(0)
    return [
        ask(
            *random.integers(4, 32, int(random.choice([1, 1, 2, 3, 9, 21]))).tolist(),
            width=int(random.integers(1, 6)),
            max_tokens=int(random.integers(1, 25)),
            n_best=1,
            banned=(0, 1) if index % 2 else (),
            no_repeat_ngram=index % 4,
            min_tokens=index % 5,
        )
        for index in range(num)
    ]


async def find(engine: Engine, requests: Sequence[BeamRequest]) -> list[Any]:
    """Their results, all at once."""
    return [
        told(result)
        for result in await asyncio.gather(*(engine.submit_beam(one, soon()) for one in requests))
    ]


async def test_a_search_has_the_same_bits_in_any_company(engine: Engine, executor: Counting) -> None:
    """Alone, and among 63 others that come and go, with streams and blocks beside them."""
    requests = many(64)
    alone = [(await find(engine, [request]))[0] for request in requests]
    assert max(batch.rows for batch in executor.runs) <= 5
    assert await find(engine, requests) == alone
    assert max(len(batch.parts) for batch in executor.runs) > 3
    assert max(batch.rows for batch in executor.runs) <= 24
    text = SequenceRequest(np.array([5, 6]), feedback=Feedback(400, Sampling(seed=3)))
    ticket = engine.submit([text] * 4, soon())
    block = asyncio.ensure_future(engine.submit_block(BlockRequest(np.full((9, 40), 7), Read.LAST), soon()))
    assert await find(engine, requests[::-1]) == alone[::-1]
    await asyncio.gather(drain(ticket, 4), block)
    await idle(engine)


async def test_scores_are_those_of_forced_decoding(engine: Engine, bundle: Bundle) -> None:
    """Whatever the prefix was cut into: the sum over the tokens of a hypothesis, the end token included."""
    session = GraphSession(bundle.graph, bundle.manifest)
    for prefix in ([5], [5, 6], [8, 9, 10, 11, 12, 13, 14, 15, 16]):
        result = await engine.submit_beam(ask(*prefix, n_best=4), soon())
        assert [one.score for one in result.hypotheses] == sorted(
            (one.score for one in result.hypotheses), reverse=True
        )
        assert (result.usage.supplied, result.usage.largest_batch) == (len(prefix), 4)
        for one in result.hypotheses:
            tokens = one.tokens + [END] * (one.reason is FinishReason.END)
            steps = np.array([[*prefix, *tokens[:-1]]], np.int64)
            (logits, *_), _ = session.run(steps, bundle.start[None], len(prefix) - 1)
            forced = log_softmax(logits[0])[np.arange(len(tokens)), tokens].sum()
            assert one.logprob == pytest.approx(forced, abs=1e-5)
            assert one.score == pytest.approx(forced / ((5 + len(tokens)) / 6) ** 0.6, abs=1e-5)


async def test_a_beam_of_one_is_the_stream_of_the_likeliest_tokens(engine: Engine) -> None:
    """Greedy decoding of the same engine, to the end token or the maximum."""
    for first in range(4, 30):
        result = await engine.submit_beam(ask(first, 5, width=1, max_tokens=20), soon())
        feedback = Feedback(20, Sampling(temperature=0), end_tokens=frozenset([END]))
        tokens, reason = await written(engine, SequenceRequest(np.array([first, 5]), feedback=feedback))
        assert (result.hypotheses[0].tokens, result.hypotheses[0].reason) == (tokens, reason)


async def test_a_stream_is_held_to_what_a_beam_of_one_is(engine: Engine) -> None:
    """The same tokens and end; at the border of the fewest tokens nothing changes, and one behind it does."""
    borders = 0
    for first in range(4, 30):
        for ngram in (0, 1, 3):
            free = ask(first, 5, width=1, max_tokens=20, banned=(2,), no_repeat_ngram=ngram)
            said = (await engine.submit_beam(free, soon())).hypotheses[0].tokens
            ended = replace(free, end_tokens=frozenset(said[6:7]))  # where this network comes to an end
            natural = (await engine.submit_beam(ended, soon())).hypotheses[0]
            length = len(natural.tokens)
            for least in (0, length, length + 1):
                request = replace(ended, min_tokens=least)
                found = (await engine.submit_beam(request, soon())).hypotheses[0]
                assert await written(engine, streamed(request)) == (found.tokens, found.reason)
                assert len(found.tokens) >= least
                assert (found.tokens == natural.tokens) == (least <= length)
            borders += natural.reason is FinishReason.END and length > 2
    assert borders > 10


async def written(engine: Engine, request: SequenceRequest) -> tuple[list[int], FinishReason]:
    """The tokens of a sequence, and why it ended."""
    events = [event for _, event in await drain(engine.submit([request], soon()))]
    last = events[-1]
    assert isinstance(last, Finished)
    return [token.id for event in events if isinstance(event, Tokens) for token in event.tokens], last.reason


async def test_a_search_goes_on_from_the_row_it_is_given(engine: Engine) -> None:
    """A row behind some steps, and these steps supplied, are the same."""
    row = (await engine.submit_block(BlockRequest(np.array([[7, 8, 9]])), soon())).rows[0]
    fed = ask(7, 8, 9, 5, 6, n_best=3)
    assert await find(engine, [ask(5, 6, n_best=3, start=row)]) == await find(engine, [fed])
    assert await find(engine, [ask(6, n_best=3, start=row)]) != await find(engine, [fed])


async def test_a_search_that_is_given_up_frees_its_rows(engine: Engine, executor: Counting) -> None:
    """Waiting, fed or under way: nothing of it is left, and others go on to what they find alone."""
    (alone,) = await find(engine, [ask(5)])
    endless = [
        ask(*[4] * length, width=6, max_tokens=10_000, end_tokens=frozenset()) for length in (1, 1, 3000, 1)
    ]
    left = [engine.submit_beam(one, soon(60)) for one in endless for _ in range(3)]
    await until(lambda: any(batch.rows == 24 for batch in executor.runs))
    kept = engine.submit_beam(ask(5), soon())
    await asyncio.sleep(0.02)
    assert not kept.done()  # those under way have all rows
    for future in left:
        future.cancel()
    assert told(await kept) == alone
    await idle(engine)
    assert engine._scheduler.jobs == {}
    assert not engine._scheduler._beams.under_way
    runs = len(executor.runs)
    await asyncio.sleep(0.02)
    assert len(executor.runs) == runs


async def test_a_search_that_is_late_fails(engine: Engine) -> None:
    """At its deadline, under way or waiting, with all that it held given back."""
    endless = ask(4, width=24, max_tokens=10_000, end_tokens=frozenset())
    futures = [engine.submit_beam(endless, soon(0.05)) for _ in range(3)]
    for result in await asyncio.gather(*futures, return_exceptions=True):
        assert isinstance(result, DeadlineExceeded)
    await idle(engine)
    assert engine._scheduler.jobs == {}


async def test_a_hung_run_does_not_hang_the_caller(
    executor: Counting, start_thread: StartEngine, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The future fails shortly after the deadline, though the engine says nothing."""
    monkeypatch.setattr("app.engine.engine._GRACE_S", 0.05)
    gate = threading.Event()
    monkeypatch.setattr(executor, "run", lambda batch: gate.wait(10))
    future = start_thread(executor).submit_beam(ask(4), soon(0.05))
    with pytest.raises(DeadlineExceeded):
        await future
    gate.set()


async def test_hypotheses_are_cut_off_at_the_maximum(engine: Engine) -> None:
    """All of them are as long, and say why they ended."""
    result = await engine.submit_beam(ask(5, width=3, n_best=3, max_tokens=7, banned=(END,)), soon())
    assert [(len(one.tokens), one.reason) for one in result.hypotheses] == [(7, FinishReason.LENGTH)] * 3
    assert len({tuple(one.tokens) for one in result.hypotheses}) == 3
    assert result.usage.produced == 21


async def test_a_row_that_fails_fails_its_search_alone(
    engine: Engine, bundle: Bundle, caplog: pytest.LogCaptureFixture
) -> None:
    """In the supplied steps or behind them; the neighbours in the same runs find what they find alone."""
    requests = many(12)
    alone = await find(engine, requests)
    broken = np.full_like(bundle.start, np.nan)
    sick = [engine.submit_beam(ask(*steps, start=broken), soon()) for steps in ([4], [4, 5, 6, 7])]
    assert await find(engine, requests) == alone
    for result in await asyncio.gather(*sick, return_exceptions=True):
        assert isinstance(result, NotFinite)
    await idle(engine)
    assert engine.alive
    assert "a run failed" in caplog.text


async def test_a_run_that_fails_fails_its_searches(engine: Engine) -> None:
    """A token that the graph does not know: the error of the run, and the engine goes on."""
    with pytest.raises(Exception, match="ONNX Runtime"):
        await engine.submit_beam(ask(1000), soon())
    assert len((await engine.submit_beam(ask(5), soon())).hypotheses) == 1


async def test_a_search_is_refused_where_it_does_not_fit(executor: Counting, start: StartEngine) -> None:
    """By the most steps that it can take, or by its rows; the queue stays as it was."""
    engine: Engine = start(executor, QueueLimits(max_steps=100, max_sequences=10))
    for request in (ask(5, width=4, max_tokens=26), ask(5, width=11, max_tokens=1)):
        with pytest.raises(Overloaded):
            engine.submit_beam(request, soon())
    assert engine.load().steps == engine.load().sequences == 0
    fitting = engine.submit_beam(ask(5, 6, 7, width=7, max_tokens=14), soon())
    assert (engine.load().steps, engine.load().sequences) == (100, 7)
    await fitting
    await idle(engine)


async def test_searches_end_with_the_engine(engine: Engine, bundle: Bundle, start: StartEngine) -> None:
    """Closing and dying fail every search, waiting or under way, and refuse the next."""
    endless = ask(4, width=24, max_tokens=10_000, end_tokens=frozenset())
    left = [engine.submit_beam(endless, soon(60)) for _ in range(2)]
    await asyncio.sleep(0.01)
    engine.close()
    for future in left:
        with pytest.raises(Draining):
            await future
    executor = Counting(bundle)
    sick: Engine = start(executor)
    executor.dies = True
    with pytest.raises(EngineDead):
        await sick.submit_beam(endless, soon())
    await until(lambda: not sick.alive)
    with pytest.raises(EngineDead):
        sick.submit_beam(endless, soon())
