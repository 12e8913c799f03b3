"""The protocol's table, on its own: nothing is forgotten and nothing is stuck."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from app.core.errors import InvalidInput, PayloadTooLarge, UnsupportedMedia
from app.edge.sockets.connection import checked_text
from app.edge.sockets.task_socket import TABLE, Conversation, Event, State, StopMessage, read_message
from app.tasks.generate.schema import GenerateRequest

PARSE = GenerateRequest.model_validate_json


def test_every_state_has_a_row_and_every_state_can_be_reached() -> None:
    """From idle, over the table's own edges."""
    assert set(TABLE) == set(State)
    reached, frontier = {State.IDLE}, [State.IDLE]
    while frontier:
        for following in TABLE[frontier.pop()].values():
            if following not in reached:
                reached.add(following)
                frontier.append(following)
    assert reached == set(State)


def test_a_lost_connection_and_a_drain_are_possible_at_any_time() -> None:
    """Neither asks for permission; both lead to the end."""
    for row in TABLE.values():
        assert row[Event.LOST] is State.CLOSED
        assert row[Event.DRAIN] in (State.LAST, State.CLOSED)


def test_closed_is_the_end() -> None:
    """Nothing leads out of it."""
    assert set(TABLE[State.CLOSED].values()) == {State.CLOSED}


@given(st.lists(st.sampled_from(list(Event)), max_size=30))
def test_a_refused_event_changes_nothing(events: list[Event]) -> None:
    """Random walks: each event is in the table and moves, or is refused and does not."""
    conversation = Conversation()
    for event in events:
        before = conversation.state
        if event in TABLE[before]:
            assert conversation.on(event) is TABLE[before][event] is conversation.state
        else:
            with pytest.raises(InvalidInput):
                conversation.on(event)
            assert conversation.state is before


@given(st.lists(st.sampled_from(list(Event)), max_size=30))
def test_at_most_one_generation_runs(events: list[Event]) -> None:
    """Requests that are taken and generations that end alternate."""
    conversation, running = Conversation(), 0
    for event in events:
        was = conversation.state
        try:
            conversation.on(event)
        except InvalidInput:
            continue
        if event is Event.REQUEST:
            running += 1
        elif event is Event.ENDED and was is not State.CLOSED:
            running -= 1
        assert running in (0, 1)
        if conversation.state is State.IDLE:
            assert running == 0


def test_messages_are_told_apart() -> None:
    """A request has no type; a stop has nothing else."""
    assert isinstance(read_message('{"type": "stop"}', PARSE), StopMessage)
    request = read_message('{"prompt": "say \\"type\\"", "stop": ["\\"type\\""]}', PARSE)
    assert isinstance(request, GenerateRequest)
    assert request.prompt == 'say "type"'
    assert isinstance(read_message('{"prompt": "a", "stop": "type"}', PARSE), GenerateRequest)


@pytest.mark.parametrize(
    ("text", "error"),
    [
        ('{"type": "go"}', InvalidInput),
        ('{"type": 3}', InvalidInput),
        ('{"type": "stop", "x": 1}', ValidationError),
        ('"type"', ValidationError),
        ('{"type"', ValidationError),
        ("nonsense", ValidationError),
    ],
)
def test_wrong_messages_are_refused(text: str, error: type[Exception]) -> None:
    """Each with the error that says why."""
    with pytest.raises(error):
        read_message(text, PARSE)


@pytest.mark.parametrize(
    ("text", "error"), [(None, UnsupportedMedia), ("x" * 101, PayloadTooLarge), ("é" * 51, PayloadTooLarge)]
)
def test_frames_have_bounds(text: str | None, error: type[Exception]) -> None:
    """A frame is text, of at most so many bytes."""
    assert checked_text("é" * 50, 100) == "é" * 50
    with pytest.raises(error):
        checked_text(text, 100)
