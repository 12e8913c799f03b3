"""Reading bodies within bounds, and noticing that the client has gone."""

from __future__ import annotations

import asyncio
import gzip
import zlib

import pytest
from starlette.types import Message, Scope

from app.core.errors import DeadlineExceeded, InvalidInput, PayloadTooLarge, UnsupportedMedia
from app.edge.http.body import ClientGone, is_json, read_body, unpacked, while_connected


class Client:
    """A client whose messages are scripted; afterwards it stays silent."""

    def __init__(self, *messages: Message, headers: dict[str, str] | None = None) -> None:
        self._messages = list(messages)
        raw = [(name.encode(), value.encode()) for name, value in (headers or {}).items()]
        self.scope: Scope = {"type": "http", "headers": raw}
        self.taken = 0

    async def read(self, limit_bytes: int, timeout_s: float) -> bytes:
        """Its body."""
        head, body = await read_body(self.scope, self.receive, limit_bytes, timeout_s)
        return await unpacked(head, body, limit_bytes)

    async def receive(self) -> Message:
        """The next message."""
        if not self._messages:
            await asyncio.Event().wait()
        self.taken += 1
        return self._messages.pop(0)


def chunk(body: bytes, *, more: bool = False) -> Message:
    """A piece of a body."""
    return {"type": "http.request", "body": body, "more_body": more}


GONE: Message = {"type": "http.disconnect"}


async def test_pieces_are_joined() -> None:
    """A body in pieces is the same body."""
    client = Client(chunk(b"ab", more=True), chunk(b"", more=True), chunk(b"c"))
    assert await client.read(3, 1) == b"abc"


async def test_an_announced_length_over_the_limit_is_refused_unread() -> None:
    """Not one piece is taken."""
    client = Client(chunk(b"abcd"), headers={"content-length": "4"})
    with pytest.raises(PayloadTooLarge):
        await client.read(3, 1)
    assert client.taken == 0


async def test_a_body_over_the_limit_is_refused_as_soon_as_it_is() -> None:
    """The pieces after the one that crosses the limit are not taken, whatever was announced."""
    pieces = [chunk(b"ab", more=True)] * 5
    client = Client(*pieces, headers={"content-length": "1"})
    with pytest.raises(PayloadTooLarge):
        await client.read(3, 1)
    assert client.taken == 2


async def test_an_empty_body_is_named() -> None:
    """No validator needs to guess."""
    with pytest.raises(InvalidInput, match="empty"):
        await Client(chunk(b"")).read(3, 1)


async def test_an_empty_body_may_stand_for_another() -> None:
    """Where every field has a default."""
    client = Client(chunk(b""))
    _, body = await read_body(client.scope, client.receive, 3, 1, b"{}")
    assert body == b"{}"


@pytest.mark.parametrize(
    ("encoding", "packed"),
    [("gzip", gzip.compress(b"abc", mtime=0)), ("deflate", zlib.compress(b"abc")), ("identity", b"abc")],
)
async def test_a_compressed_body_is_unpacked(encoding: str, packed: bytes) -> None:
    """Whatever of the two that are common it is packed with."""
    client = Client(chunk(packed), headers={"content-encoding": encoding})
    assert await client.read(100, 1) == b"abc"


@pytest.mark.parametrize(
    ("encoding", "packed", "error"),
    [
        ("gzip", gzip.compress(b" " * 10_000, mtime=0), PayloadTooLarge),
        ("deflate", zlib.compress(b" " * 10_000), PayloadTooLarge),
        ("gzip", gzip.compress(b"abc", mtime=0)[:-3], InvalidInput),
        ("gzip", gzip.compress(b"abc", mtime=0) + b"x", InvalidInput),
        ("gzip", b"abc", InvalidInput),
        ("br", b"abc", UnsupportedMedia),
    ],
)
async def test_a_badly_compressed_body_is_refused(
    encoding: str, packed: bytes, error: type[Exception]
) -> None:
    """And never more made of it than the limit."""
    client = Client(chunk(packed), headers={"content-encoding": encoding})
    with pytest.raises(error):
        await client.read(100, 1)


async def test_a_client_that_leaves_while_sending_is_gone() -> None:
    """Nothing is parsed."""
    with pytest.raises(ClientGone):
        await Client(chunk(b"a", more=True), GONE).read(3, 1)


async def test_a_body_that_stalls_is_given_up() -> None:
    """The deadline covers the reading."""
    with pytest.raises(DeadlineExceeded):
        await Client(chunk(b"a", more=True)).read(3, 0.01)


async def test_work_is_cancelled_when_the_client_goes() -> None:
    """The work sees a cancellation, the caller a departure, and the task goes on."""
    cancelled = asyncio.Event()

    async def work() -> None:
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            cancelled.set()
            raise

    with pytest.raises(ClientGone):
        await while_connected({}, Client(GONE).receive, work())
    assert cancelled.is_set()
    await asyncio.sleep(0)


async def test_a_cancellation_from_elsewhere_is_not_taken_for_a_departure() -> None:
    """A server that shuts down cancels; that must not be swallowed."""

    async def work() -> None:
        await asyncio.Event().wait()

    task = asyncio.create_task(while_connected({}, Client().receive, work()))
    await asyncio.sleep(0.01)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task


async def test_finished_work_leaves_no_watcher() -> None:
    """The task that watches the client ends with the work."""

    async def work() -> int:
        await asyncio.sleep(0)
        return 3

    before = len(asyncio.all_tasks())
    assert await while_connected({}, Client().receive, work()) == 3
    await asyncio.sleep(0)
    assert len(asyncio.all_tasks()) == before


@pytest.mark.parametrize(
    ("content_type", "read"),
    [
        ("application/json", True),
        ("", True),
        ("application/x-www-form-urlencoded", True),
        ("application/vnd.api+json", True),
        ("text/csv", False),
        ("application/xml", False),
    ],
)
def test_what_is_read_as_json(content_type: str, read: bool) -> None:
    """``curl -d`` says form, and means JSON."""
    assert is_json(content_type) is read
