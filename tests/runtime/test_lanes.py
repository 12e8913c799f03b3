"""Lanes: pieces of a run side by side, and that nobody can tell from the answers."""

from __future__ import annotations

import threading
import time
import weakref
from pathlib import Path

import numpy as np
import pytest

from app.bundle.reader import Bundle, read_bundle
from app.core.errors import RunFailed
from app.runtime.lanes import Lanes
from app.runtime.runner import LaneChoice, Runner
from app.runtime.session import GraphSession


@pytest.fixture
def lanes() -> Lanes:
    """Three."""
    return Lanes(3)


@pytest.fixture
def bundle(tiny_models: Path) -> Bundle:
    """A tiny language model."""
    return read_bundle(tiny_models / "tiny-text-lstm" / "1")


def always_cut(runner: Runner, monkeypatch: pytest.MonkeyPatch, pieces: int) -> None:
    """Whatever is faster, runs are cut."""
    monkeypatch.setattr(runner._choice, "pieces", lambda rows, steps: min(pieces, rows))


def test_pieces_run_at_once_on_threads_of_their_own(lanes: Lanes) -> None:
    """Three pieces that wait for each other all get there."""
    together = threading.Barrier(3)
    seen: list[str] = []

    def piece() -> None:
        together.wait(10)
        seen.append(threading.current_thread().name)

    lanes.run([piece] * 3)
    assert len(set(seen)) == 3


def test_a_lane_that_is_busy_delays_nobody(lanes: Lanes) -> None:
    """While both helpers are held up elsewhere, the caller runs all of its pieces itself."""
    gate, busy = threading.Event(), threading.Barrier(4)

    def hold() -> None:
        busy.wait(10)
        gate.wait(10)

    other = threading.Thread(target=lanes.run, args=([hold] * 3,))
    other.start()
    busy.wait(10)
    seen: list[str] = []
    lanes.run([lambda: seen.append(threading.current_thread().name)] * 3)
    assert seen == [threading.current_thread().name] * 3
    gate.set()
    other.join(10)


def test_the_threads_end_when_nobody_can_give_them_work() -> None:
    """The last model that shares them takes them along."""
    before = set(threading.enumerate())
    lanes = Lanes(3)
    lanes.run([lambda: None] * 3)
    helpers = set(threading.enumerate()) - before
    assert len(helpers) == 2
    del lanes
    for helper in helpers:
        helper.join(10)
    assert not any(helper.is_alive() for helper in helpers)


def test_a_lane_that_waits_keeps_nothing_of_what_it_ran(lanes: Lanes) -> None:
    """Or an unloaded model would keep its weights until another one is busy."""

    class Model:
        def __init__(self) -> None:
            self.together = threading.Barrier(3)

        def piece(self) -> None:
            self.together.wait(10)

    model = Model()
    lanes.run([model.piece] * 3)
    left = weakref.ref(model)
    del model
    until = time.monotonic() + 10
    while left() is not None and time.monotonic() < until:
        time.sleep(0.001)
    assert left() is None


def test_an_error_of_a_piece_comes_out_after_all_have_ended(lanes: Lanes) -> None:
    """No piece is still at work when the caller goes on."""
    ended: list[int] = []

    def fail() -> None:
        raise ValueError("a piece")

    with pytest.raises(ValueError, match="a piece"):
        lanes.run([lambda: ended.append(1), fail, lambda: ended.append(3)])
    assert sorted(ended) == [1, 3]


@pytest.mark.parametrize("pieces", [2, 3])
@pytest.mark.parametrize("rows", [2, 3, 7, 33])
def test_a_cut_run_gives_the_same_bits(
    bundle: Bundle, lanes: Lanes, monkeypatch: pytest.MonkeyPatch, rows: int, pieces: int
) -> None:
    """Outputs and rows, for all steps and for the last one."""
    session = GraphSession(bundle.graph, bundle.manifest)
    whole, cut = Runner(session, Lanes()), Runner(session, lanes)
    always_cut(cut, monkeypatch, pieces)
    random = np.random.default_rng(rows)
    steps = random.integers(0, 5, (rows, 4))
    state = random.normal(0, 0.3, (rows, bundle.start.size)).astype(np.float32)
    for head_from in (0, 3, 4):
        one, other = whole.run(steps, state, head_from), cut.run(steps, state, head_from)
        assert other.failed == []
        np.testing.assert_array_equal(one.rows, other.rows)
        for mine, theirs in zip(one.outputs, other.outputs, strict=True):
            np.testing.assert_array_equal(mine, theirs)


def test_a_piece_that_fails_fails_its_own_rows_only(
    bundle: Bundle, lanes: Lanes, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A token outside the vocabulary in the last row takes the last piece with it, and no other."""
    session = GraphSession(bundle.graph, bundle.manifest)
    cut = Runner(session, lanes)
    always_cut(cut, monkeypatch, 3)
    steps = np.array([[1], [2], [3], [4], [1], [10_000]])
    state = np.repeat(bundle.start[None], 6, axis=0)
    result = cut.run(steps, state, 0)
    assert [(first, last, type(error)) for first, last, error in result.failed] == [(4, 6, RunFailed)]
    alone = Runner(session, Lanes()).run(steps[:4], state[:4], 0)
    np.testing.assert_array_equal(result.rows[:4], alone.rows)


def choose(choice: LaneChoice, seconds: dict[int, float], runs: int) -> list[int]:
    """What is chosen for runs of 64 rows that take so long whole and cut."""
    chosen: list[int] = []
    for _ in range(runs):
        pieces = choice.pieces(64, 1)
        choice.observe(64, 1, pieces, seconds[pieces])
        chosen.append(pieces)
    return chosen


def test_short_runs_are_never_cut() -> None:
    """A run of 50 us ends before another thread would begin."""
    assert set(choose(LaneChoice(2), {1: 50e-6, 2: 1e-6}, 500)) == {1}


def test_what_is_faster_is_chosen_and_the_other_way_is_tried_now_and_then() -> None:
    """First whole, since nothing is known; then whichever took less, but for one run in 64."""
    chosen = choose(LaneChoice(2), {1: 2e-3, 2: 1e-3}, 640)
    assert chosen[0] == 1
    assert chosen.count(1) == 1 + 9
    chosen = choose(LaneChoice(2), {1: 1e-3, 2: 2e-3}, 640)
    assert chosen.count(2) == 1 + 9


def test_the_choice_follows_the_machine() -> None:
    """When the other core becomes busy, runs are cut no more."""
    choice = LaneChoice(2)
    assert choose(choice, {1: 2e-3, 2: 1e-3}, 300)[-1] == 2
    assert choose(choice, {1: 2e-3, 2: 4e-3}, 300)[-1] == 1
