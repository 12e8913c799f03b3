"""What is sent again, after how long, and what is raised, over a socket that says what a test tells it to."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator

import pytest

from rnnserve_client import Client, Conflict, Gone, Problem, Retry, SyncClient, Unreachable
from rnnserve_client.retry import asked_pause_s
from tests.client.scripted import Scripted, answering

QUICK = Retry(attempts=3, first_s=0.001, longest_s=0.002)


@pytest.fixture
def scripted() -> Iterator[Scripted]:
    """One that has nothing to say yet."""
    with answering() as server:
        yield server


@pytest.fixture
def client(scripted: Scripted) -> Iterator[SyncClient]:
    """That gives up after three attempts."""
    with SyncClient(f"http://127.0.0.1:{scripted.server_port}", retry=QUICK) as client:
        yield client


def test_a_pause_that_the_server_asks_for_is_made(scripted: Scripted, client: SyncClient) -> None:
    """After a refusal; after a hang-up the client's own pause is."""
    scripted.say(503, {"detail": "busy", "status": 503}, retry_after="1")
    scripted.answers.append(None)
    scripted.say(200, {"models": []})
    assert client.models() == []
    (first, *_), (second, *_), (third, *_) = scripted.asked
    assert second - first >= 1
    assert third >= second


@pytest.mark.parametrize(
    ("text", "seconds"),
    [(None, 0), ("2.5", 2.5), ("-1", 0), ("Wed, 21 Oct 2026 07:28:00 GMT", 0), ("soon", 0)],
)
def test_what_proxies_write_for_a_pause(text: str | None, seconds: float) -> None:
    """A date, or nonsense, is as if nothing was said."""
    assert asked_pause_s({} if text is None else {"retry-after": text}) == seconds


def test_the_last_refusal_is_raised(scripted: Scripted, client: SyncClient) -> None:
    """With the server's own words, when all attempts are used up."""
    for _ in range(3):
        scripted.say(503, {"type": "urn:rnnserve:problem:overloaded", "detail": "busy", "status": 503})
    with pytest.raises(Problem, match="busy") as raised:
        client.generate("a")
    assert (raised.value.name, raised.value.status, raised.value.attempts) == ("overloaded", 503, 3)


def test_a_proxys_word_for_a_lost_server_is_tried_again(scripted: Scripted, client: SyncClient) -> None:
    """A 500 that is no problem of the service; its own is raised."""
    scripted.say(500, {"message": "Internal Server Error"})
    scripted.say(200, {"models": []})
    assert client.models() == []
    scripted.say(500, {"type": "urn:rnnserve:problem:internal", "detail": "", "status": 500})
    with pytest.raises(Problem) as raised:
        client.models()
    assert (raised.value.name, raised.value.attempts) == ("internal", 1)


def test_what_trying_again_cannot_mend_is_raised_at_once(scripted: Scripted, client: SyncClient) -> None:
    """One request each."""
    for status, kind in ((422, Problem), (409, Conflict), (410, Gone)):
        scripted.say(status, {"status": status, "detail": "no"})
        with pytest.raises(kind, match="no"):
            client.sentiment("a")
    assert len(scripted.asked) == 3


def test_nobody_answers(scripted: Scripted, client: SyncClient) -> None:
    """What was asked, where, and how often."""
    scripted.answers = [None, None, None]
    with pytest.raises(Unreachable, match=r"http://127\.0\.0\.1:\d+: GET /models was not answered in 3 att"):
        client.models()


def test_something_else_answers(scripted: Scripted, client: SyncClient) -> None:
    """The page of a hotel's network, with and without a good status."""
    scripted.answers = [(200, "text/html", "<html>", {}), (404, "text/html", "<html>", {})]
    with pytest.raises(Unreachable, match="answered with text/html, not with JSON: no rnnserve there"):
        client.models()
    with pytest.raises(Problem, match="status 404, without a reason"):
        client.models()


def test_a_wrong_address_is_told_at_once() -> None:
    """It lacks what an address begins with."""
    with pytest.raises(ValueError, match="url is 'localhost:8000'; it must be like http://localhost:8000"):
        SyncClient("localhost:8000")


def test_a_session_whose_creation_was_not_answered_is_not_lost(
    scripted: Scripted, client: SyncClient
) -> None:
    """Its id is taken when it is asked for again: by the first attempt. Without one, by somebody else."""
    taken = {"status": 409, "detail": "the id is taken"}
    scripted.answers = [None]
    scripted.say(409, taken)
    scripted.say(200, {"id": "mine", "step": 0})
    assert client.create(task="generate", id="mine").id == "mine"
    scripted.say(409, taken)
    with pytest.raises(Conflict, match="taken"):
        client.create(task="generate", id="mine")


def test_a_name_is_a_name_whatever_is_in_it(scripted: Scripted, client: SyncClient) -> None:
    """It leads to no other address."""
    for call in (client.session, client.model, client.answer):
        scripted.say(404, {"status": 404, "detail": "no"})
        with pytest.raises(Problem, match="no"):
            call("a?b ü")
    asked = [what for _, what, _ in scripted.asked]
    assert asked == [f"{place}a%3Fb%20%C3%BC" for place in ("GET /sessions/", "GET /models/", "POST /")]


def test_a_stream_waits_as_it_is_told_and_goes_on(scripted: Scripted, client: SyncClient) -> None:
    """It asks for what follows the last event; leaving early, and closing the client, end it."""
    event = 'id: 1\nevent: token\ndata: {"type": "token", "text": "a"}\n\n'
    scripted.answers.append((200, "text/event-stream", event, {}))
    scripted.say(503, {"status": 503}, retry_after="1")
    scripted.answers.append((200, "text/event-stream", 'id: 2\ndata: {"type": "done"}\n\n', {}))
    assert [frame["type"] for frame in client.stream("any", prompt="a")] == ["token", "done"]
    times = [when for when, _, _ in scripted.asked]
    assert times[2] - times[1] >= 1
    scripted.answers.append((200, "text/event-stream", event * 3, {}))
    for frame in client.stream("any"):
        assert frame["text"] == "a"
        break


def test_a_closed_client_says_so(client: SyncClient) -> None:
    """In every call, also of a stream that was left open."""
    stream = client.stream("any")
    client.close()
    client.close()
    for call in (client.models, lambda: next(stream)):
        with pytest.raises(RuntimeError, match="the client is closed"):
            call()


async def test_a_generation_is_awaited_or_iterated(scripted: Scripted) -> None:
    """As the first release had it frame by frame; nothing is asked for by one that is neither."""
    frames = 'id: 1\ndata: {"type": "token", "text": "a"}\n\nid: 2\ndata: {"type": "done"}\n\n'
    async with Client(f"http://127.0.0.1:{scripted.server_port}", retry=QUICK) as client:
        client.generate("unused").close()
        for _ in range(2):
            scripted.say(200, {"choices": []})
            scripted.answers.append((200, "text/event-stream", frames, {}))
        assert (await client.generate("a", seed=1))["choices"] == []
        assert [frame["type"] async for frame in client.generate(prompt="a")] == ["token", "done"]
        assert (await asyncio.create_task(client.generate([1, 2])))["choices"] == []
        begun = client.generate("a")
        assert (await anext(begun))["text"] == "a"
        await begun.aclose()
    bodies = [body for _, _, body in scripted.asked]
    streamed = {"prompt": "a", "stream": True}
    assert bodies == [{"prompt": "a", "seed": 1}, streamed, {"prompt": [1, 2]}, streamed]
