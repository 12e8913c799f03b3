"""A Redis that goes back in time, met by servers of which only some have seen what it lost."""

from __future__ import annotations

import asyncio
import shutil
from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack
from pathlib import Path

import pytest
import redis

from app.core.errors import SequenceConflict, StoreUnavailable
from app.sessions.service import SessionService
from app.sessions.steps.calls import StepCall
from app.sessions.stores.redis import RedisStore
from app.sessions.stores.store import Stored, Write, Written
from tests.redis_server import KINDS, RedisServer
from tests.rig import Rig, inference, sessions
from tests.sessions.bench import LIMITS, opened

MODEL = "tiny-text-lstm"


class Past:
    """A server of Redis, and what its file was at one time."""

    def __init__(self, server: RedisServer, folder: Path) -> None:
        self.server = server
        self._folder = folder
        self._kept = folder.with_name("kept")

    def keep(self) -> None:
        """Remember the present."""
        shutil.copytree(self._folder, self._kept)

    def go_back(self) -> None:
        """End it, and start it on what was remembered."""
        self.server.kill()
        shutil.rmtree(self._folder)
        self._kept.rename(self._folder)
        self.server.start()


@pytest.fixture(params=KINDS)
def past(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Past]:
    """Of Valkey and of the oldest Redis."""
    folder = tmp_path / "redis"
    folder.mkdir()
    with RedisServer(folder, request.param) as server:
        yield Past(server, folder)


class Replica:
    """A server of sessions: its store, and what it does with it."""

    def __init__(self, store: RedisStore, service: SessionService) -> None:
        self.store = store
        self.service = service

    async def feed(self, *inputs: int, seq: int | None = None, id: str = "a") -> None:
        """One call for each input; raises what the first failed with."""
        for number, one in enumerate(inputs):
            (outcome,) = await self.service.steps(
                [StepCall(id, [one], None if seq is None else seq + number)]
            )
            if not isinstance(outcome, bytes):
                raise outcome

    async def feed_when_known(self, one: int, id: str = "a") -> None:
        """A call without seq, again while it is told to wait."""
        async with asyncio.timeout(30):
            while True:
                try:
                    return await self.feed(one, id=id)
                except StoreUnavailable:
                    await asyncio.sleep(0.05)

    async def step(self) -> int:
        """Where the session is."""
        return (await self.service.view("a")).step


@pytest.fixture
async def rig(tiny_models: Path) -> AsyncIterator[Rig]:
    """Engines that all of them share."""
    async with inference(tiny_models) as found:
        yield found


@pytest.fixture
async def replicas(rig: Rig, past: Past) -> AsyncIterator[list[Replica]]:
    """Three, which have met; the first has opened session ``a``."""
    async with AsyncExitStack() as stack:
        found = []
        for _ in range(3):
            store = RedisStore(past.server.url, 10, settle_s=0.5)
            service = await stack.enter_async_context(sessions(rig, store, LIMITS, None))
            found.append(Replica(store, service))
        await found[0].service.create(opened(MODEL, id="a"))
        for each in found[1:]:
            assert await each.step() == 0
        yield found


async def test_a_server_that_never_saw_the_lost_steps_tells_of_them(
    replicas: list[Replica], past: Past, rig: Rig, caplog: pytest.LogCaptureFixture
) -> None:
    """It waits until the others have said what they remember; whoever feeds the session is told once."""
    one, two, three = replicas
    await one.feed(1, 2)
    past.keep()
    await one.feed(3, 1, 2)
    past.go_back()
    with pytest.raises(StoreUnavailable, match="not known yet"):
        await two.feed(3)
    assert await one.step() == 2
    with pytest.raises(
        SequenceConflict, match="may have lost steps of session 'a', which is at step 2"
    ) as told:
        await two.feed_when_known(3)
    assert (told.value.step, told.value.expected) == (2, 3)
    assert rig.counts.sessions.count("lost") == 1
    assert "gone back in time" in caplog.text
    await three.feed_when_known(3)
    await two.feed(1)
    assert await one.step() == 4
    assert rig.counts.sessions.count("lost") == 1


async def test_a_server_that_saw_the_lost_steps_tells_for_all(
    replicas: list[Replica], past: Past, rig: Rig
) -> None:
    """Whoever feeds the session through another one is not told again."""
    one, two, _ = replicas
    await one.feed(1, 2)
    past.keep()
    await one.feed(3, 1)
    past.go_back()
    with pytest.raises(SequenceConflict, match="was at step 4 and is at 2 now"):
        await one.feed_when_known(3)
    await two.feed_when_known(3)
    await one.feed(1)
    assert await two.step() == 4
    assert rig.counts.sessions.count("lost") == 1


async def test_numbered_calls_are_not_held_up(replicas: list[Replica], past: Past) -> None:
    """They say which step they are, so the number that is due is all that they need."""
    one, two, _ = replicas
    await one.feed(1, 2, seq=1)
    past.keep()
    await one.feed(3, seq=3)
    past.go_back()
    with pytest.raises(SequenceConflict, match="next seq is 3, not 4"):
        await two.feed(1, seq=4)
    await two.feed(3, 1, seq=3)
    assert await one.step() == 4
    await two.feed(2)  # written since, by one who knew
    assert await one.step() == 5


async def test_each_session_is_told_for_itself(replicas: list[Replica], past: Past) -> None:
    """One that was opened or written since is not in doubt."""
    one, two, _ = replicas
    await one.service.create(opened(MODEL, id="b"))
    past.keep()
    await one.feed(1)
    past.go_back()
    assert await one.step() == 0
    await two.service.create(opened(MODEL, id="c"))
    for id, in_doubt in (("a", True), ("b", True), ("c", False), ("a", False), ("b", False)):
        told: SequenceConflict | None = None
        try:
            await two.feed_when_known(1, id)
        except SequenceConflict as error:
            told = error
        assert (told is not None) == in_doubt, (id, told)


async def test_a_redis_that_lost_nothing_is_not_suspected(
    replicas: list[Replica], past: Past, rig: Rig, caplog: pytest.LogCaptureFixture
) -> None:
    """Killed and started anew, with its file."""
    one, two, three = replicas
    await one.feed(1, 2)
    past.server.kill()
    past.server.start()
    await two.feed_when_known(3)
    await one.feed_when_known(1)
    await three.feed(2)
    assert await one.step() == 5
    assert "lost" not in rig.counts.sessions
    assert "gone back in time" not in caplog.text


async def test_it_is_known_also_when_the_one_who_saw_it_comes_last(
    replicas: list[Replica], past: Past
) -> None:
    """Others have written more than was lost by then: numbers that count up would have met again."""
    one, two, _ = replicas
    await two.service.create(opened(MODEL, id="b"))
    past.keep()
    await one.feed(1)
    past.go_back()
    for seq in range(1, 21):
        (outcome,) = await two.service.steps([StepCall("b", [1], seq)])
        assert isinstance(outcome, bytes)
    assert await one.step() == 0
    with pytest.raises(SequenceConflict, match="may have lost steps"):
        await two.feed_when_known(1)


def test_a_redis_that_may_not_be_asked_is_served(past: Past) -> None:
    """As some who host it forbid INFO."""
    with redis.Redis.from_url(past.server.url) as client:
        client.execute_command("ACL", "SETUSER", "default", "-info")
    store = RedisStore(past.server.url, 10)
    stored = Stored(1, 1e10, b"x")
    assert store.write([Write("a", 0, stored)]) == [Written(ok=True)]
    assert store.write([Write("a", 1, Stored(2, 1e10, b"y"), numbered=False)]) == [Written(ok=True)]
    store.close()
