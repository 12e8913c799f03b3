"""When a socket looks whether its sessions have ended."""

from __future__ import annotations

from app.edge.sockets.session_watch import SessionWatch


def test_a_session_is_looked_at_once_and_then_when_its_time_has_come() -> None:
    """Steps in between cost nothing."""
    watch = SessionWatch(10)
    watch.seen("a", 0.0)
    assert watch.due(0.0, 9) == ["a"]
    watch.plan("a", 100.0)
    for now in range(1, 50):
        watch.seen("a", float(now))
    assert watch.due(99.0, 9) == []
    assert watch.wait_s(99.0, 5.0) == 1.0
    assert watch.due(100.0, 9) == ["a"]


def test_a_forgotten_session_is_not_looked_at() -> None:
    """Nor is an old plan that a newer one replaced."""
    watch = SessionWatch(10)
    watch.plan("a", 1.0)
    watch.plan("b", 1.0)
    watch.plan("b", 2.0)
    watch.forget("a")
    assert watch.due(1.0, 9) == []
    assert watch.due(2.0, 9) == ["b"]


def test_no_more_are_watched_than_allowed() -> None:
    """The one stepped longest ago goes first; a look takes a bounded number."""
    watch = SessionWatch(3)
    for number, id in enumerate("abcd"):
        watch.seen(id, float(number))
        watch.seen("a", float(number))
    assert len(watch) == 3
    assert watch.due(9.0, 2) == ["a", "c"]
    assert watch.due(9.0, 2) == ["d"]


def test_what_is_kept_is_bounded_however_many_are_stepped_in_turn() -> None:
    """Those given up leave nothing behind for the day on which they would have ended."""
    watch = SessionWatch(3)
    for now in range(1000):
        watch.seen(str(now % 9), float(now))
        for id in watch.due(float(now), 9):
            watch.plan(id, 1e6 + now)
    assert len(watch._queue) <= 4 * 3
    assert sorted(watch.due(2e6, 99)) == sorted(str(now % 9) for now in (997, 998, 999))


def test_with_nothing_to_watch_it_waits_longest() -> None:
    """So that a new session is noticed soon enough."""
    assert SessionWatch(3).wait_s(0.0, 1.0) == 1.0
