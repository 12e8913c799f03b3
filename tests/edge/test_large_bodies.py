"""How much a JSON text holds, whose turn it is to be read, and what stays of a request that failed."""

from __future__ import annotations

import asyncio
import gc
import json
import re
import weakref
from collections import Counter
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.core.errors import DeadlineExceeded, InvalidInput, Overloaded
from app.core.json_values import num_values
from app.edge.errors import describe
from app.edge.http import transports
from app.edge.http.large_bodies import LargeBodies
from app.edge.http.request_reader import RequestReader
from app.edge.http.transports import SLICE_BYTES, unfinished
from tests.edge.running import Running
from tests.security.raw import FORECAST, post

texts = st.text('ab\\"[]{}:,\n\u20ac', max_size=8)
documents = st.recursive(
    texts | st.integers() | st.none(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(texts, inner, max_size=4),
    max_leaves=30,
)


def weighed(document: Any) -> int:
    """By its definition: a comma between values 1, a list or an object 4, a key 8."""
    if isinstance(document, list | dict):
        inner = document.values() if isinstance(document, dict) else document
        keys = 8 * len(document) if isinstance(document, dict) else 0
        return 4 + keys + max(0, len(document) - 1) + sum(map(weighed, inner))
    return 0


@given(documents, st.booleans(), st.integers(0, 50))
def test_values_are_counted_outside_of_texts(document: Any, ascii: bool, most: int) -> None:
    """Exactly, where there may be too many."""
    text = json.dumps(document, ensure_ascii=ascii).encode()
    found, right = num_values(text, most), weighed(document)
    assert found == right if found > most else found >= right


async def test_two_are_read_at_once_and_the_others_wait_in_their_order() -> None:
    bodies, order = LargeBodies(), list[str]()
    running = 0

    async def read(name: str) -> None:
        nonlocal running
        async with bodies.turn(1000, 10):
            running += 1
            assert running <= 2
            order.append(name)
            for _ in range(5):
                await asyncio.sleep(0)
            running -= 1

    async with asyncio.TaskGroup() as tasks:
        for name in "abcdefgh":
            tasks.create_task(read(name))
    assert "".join(order) == "abcdefgh"


async def test_no_more_wait_than_there_is_memory_for() -> None:
    """The others are told to come again; one that does not get its turn is told as well."""
    bodies = LargeBodies()
    async with bodies.turn(unfinished.limit - 10, 1), bodies.turn(10, 1):
        with pytest.raises(Overloaded, match="large bodies"):
            async with bodies.turn(1, 1):
                pass
    async with bodies.turn(1, 1), bodies.turn(1, 1):
        with pytest.raises(DeadlineExceeded, match="not read within"):
            async with bodies.turn(1, 0.01):
                pass
    async with bodies.turn(unfinished.limit, 1):
        pass


class Request:
    """Something that a failure knows."""


def test_a_failure_that_was_told_keeps_nothing_of_its_request() -> None:
    """Though its traceback leads to frames which lead to it: the collector hardly ever comes by."""

    def fail() -> weakref.ref[Request]:
        request = Request()
        known = weakref.ref(request)

        def inner() -> None:
            try:
                raise KeyError(request)
            except KeyError as cause:
                error = InvalidInput("x", "wrong")
                kept = [error, cause]
                raise kept[0] from cause

        try:
            inner()
        except InvalidInput as error:
            describe(error, "id")
        return known

    gc.collect()
    gc.disable()
    try:
        assert fail()() is None
    finally:
        gc.enable()


def test_failures_that_are_causes_of_each_other_are_told() -> None:
    """As when one is raised again while what it led to is handled."""

    def fail() -> None:
        first = InvalidInput("x", "first")
        try:
            try:
                raise first
            except InvalidInput as cause:
                raise InvalidInput("x", "second") from cause
        except InvalidInput:
            raise first  # noqa: B904  its context is the second, whose cause it is

    with pytest.raises(InvalidInput) as failed:
        fail()
    context = failed.value.__context__
    assert context is not None
    assert context.__cause__ is failed.value
    assert describe(failed.value, "id").detail == "first"


async def test_what_comes_in_tiny_chunks_is_read_in_many_passes(monkeypatch: pytest.MonkeyPatch) -> None:
    """Others have their turn between any two of them, and nothing is lost or mixed up."""
    monkeypatch.setattr(transports, "PASS_S", 0.0)
    passes, reads = 0, Counter[int]()
    feed = RequestReader.feed

    def count(reader: RequestReader, data: bytes) -> None:
        reads[passes] += 1
        feed(reader, data)

    async def watch() -> None:
        nonlocal passes
        while True:
            passes += 1
            await asyncio.sleep(0)

    monkeypatch.setattr(RequestReader, "feed", count)
    body = json.dumps({"values": [1.5] * 20_000, "horizon": 2}).encode()
    pieces = b"".join(b"1\r\n%c\r\n" % byte for byte in body) + b"0\r\n\r\n"
    wire = post(b"", b"transfer-encoding: chunked", announced=False) + pieces
    async with Running() as running:
        watching = asyncio.create_task(watch())
        reader, writer = await asyncio.open_connection("127.0.0.1", running.port)
        writer.write(wire * 3 + post(FORECAST))
        for _ in range(4):
            assert await reader.readline() == b"HTTP/1.1 200 OK\r\n"
            head = await reader.readuntil(b"\r\n\r\n")
            (length,) = re.findall(rb"content-length: (\d+)", head)
            await reader.readexactly(int(length))
        writer.close()
        watching.cancel()
    assert reads.total() >= 3 * len(pieces) // SLICE_BYTES
    # One by the connection itself, and one by the application that asks for more.
    assert max(reads.values()) <= 2
