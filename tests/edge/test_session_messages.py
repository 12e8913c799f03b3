"""The messages of a session socket, and the bounded inbox that they wait in."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from app.core.errors import InvalidInput, RnnserveError
from app.edge.sockets.session_messages import Item, Marker, SessionInbox, read_message
from app.sessions.steps.calls import StepCall


def as_tuples(items: list[Item]) -> list[object]:
    """Comparable."""
    return [one.text if isinstance(one, Marker) else (one.id, one.seq, one.inputs) for one in items]


def test_a_socket_for_one_session_reads_its_steps_and_markers() -> None:
    """The id is the socket's."""
    assert as_tuples(read_message('{"type": "step", "seq": 3, "inputs": [1]}', "a")) == [("a", 3, [1])]
    assert as_tuples(read_message('{"type": "marker", "marker": "m"}', "a")) == ["m"]


def test_a_socket_for_many_reads_one_or_many_steps() -> None:
    """Each names its session."""
    assert as_tuples(read_message('{"type": "step", "id": "b", "inputs": "x"}', None)) == [("b", None, "x")]
    many = '{"type": "steps", "steps": [{"id": "b", "seq": 1, "inputs": 1}, {"id": "c", "inputs": 2}]}'
    assert as_tuples(read_message(many, None)) == [("b", 1, 1), ("c", None, 2)]


@pytest.mark.parametrize(
    ("text", "only"),
    [
        ("", None),
        ("{", None),
        ("[]", None),
        ("{}", None),
        ('{"type": "stop"}', None),
        ('{"type": ["step"]}', None),
        ('{"type": "step", "inputs": 1}', None),
        ('{"type": "step", "id": "a", "inputs": NaN}', None),
        ('{"type": "step", "id": "a", "inputs": 1}', "a"),
        ('{"type": "step"}', "a"),
        ('{"type": "step", "seq": 0, "inputs": 1}', "a"),
        ('{"type": "step", "seq": "1", "inputs": 1}', "a"),
        ('{"type": "steps", "steps": [{"id": "a", "inputs": 1}]}', "a"),
        ('{"type": "steps", "steps": []}', None),
        ('{"type": "marker"}', None),
        ('{"type": "marker", "marker": 1}', None),
        ("[" * 1000, None),
        ("x" * 2000, None),
    ],
)
def test_a_wrong_message_is_refused(text: str, only: str | None) -> None:
    """Whatever is wrong with it, as an error for the client."""
    with pytest.raises((RnnserveError, ValidationError)):
        read_message(text, only)


def test_the_refusal_names_what_is_allowed() -> None:
    """Per kind of socket."""
    with pytest.raises(InvalidInput) as refused:
        read_message('{"type": "steps", "steps": []}', "a")
    assert refused.value.allowed == ["step", "marker"]


@given(
    st.lists(st.tuples(st.integers(1, 4), st.integers(1, 50)), max_size=30),
    st.integers(1, 6),
)
def test_the_inbox_keeps_the_order_and_is_bounded(messages: list[tuple[int, int]], max_calls: int) -> None:
    """What is taken is what was put, in order, in batches of at most so many calls; and all of it."""
    inbox = SessionInbox(max_items=8, max_bytes=100)
    put: list[object] = []
    taken: list[object] = []

    def take() -> None:
        batch = inbox.take(max_calls)
        assert 0 < sum(isinstance(one, StepCall) for one in batch) <= max_calls
        taken.extend(batch)

    for count, size in messages:
        while inbox.full:
            take()
        items: list[Item] = [StepCall("a", number) for number in range(count)]
        inbox.put(items, size)
        put += items
        assert len(put) - len(taken) < 8 + 4
    while len(taken) < len(put):
        take()
    assert taken == put
    assert inbox.take(1) == []
    assert not inbox.full


def test_bytes_fill_the_inbox_too() -> None:
    """A few large messages are as much as many small ones; empty it takes any one."""
    inbox = SessionInbox(max_items=100, max_bytes=10)
    inbox.put([Marker("a")], 1000)
    assert inbox.full
    assert inbox.take(1) == [Marker("a")]
    assert not inbox.full
