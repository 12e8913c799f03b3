"""Sessions on a real server process, through the client that ships with them."""

from __future__ import annotations

import asyncio

import pytest

from rnnserve_client import Client, Conflict, Gone, Problem, StepResult
from tests.e2e.server import ServerProcess


async def test_the_client_does_every_operation(server: ServerProcess) -> None:
    """The page on sessions, from the first step to the last, on a real server."""
    async with Client(server.url) as client:
        session = await client.create(task="forecast", options={"freq": "h"}, metadata={"room": 7})
        first = await session.feed([112.0, 118.0, None])
        assert (first.seq, first.step, len(first.outputs)) == (1, 3, 3)
        assert (await session.feed({"value": 129.0, "time": "2024-01-01T03:00"})).step == 4
        assert (await session.info())["metadata"] == {"room": 7}
        ahead = (await session.forecast(3, levels=[80]))["forecast"]["timestamps"]
        assert ahead is not None
        assert ahead[0] == "2024-01-01T04:00:00"
        await session.snapshot("calm")
        fork = await session.fork()
        same = [await one.feed(130.0) for one in (session, fork)]
        assert same[0] == same[1]
        assert await session.rewind("calm") == 4
        assert await session.feed(130.0) == same[0]
        assert [one["name"] for one in await session.snapshots()] == ["calm"]
        state = await session.state()
        carried = await client.steps(state=state, inputs=131.0)
        other = await client.create(state=state)
        assert carried["outputs"] == (await other.feed(131.0)).outputs == (await session.feed(131.0)).outputs
        await session.migrate("tiny-series-lstm@1")
        results = await client.feed_many([(session, 1.0), (fork, "x"), (other, 2.0)])
        assert [getattr(one, "step", None) for one in results] == [7, None, 7]
        assert isinstance(results[1], Problem)
        assert results[1].status == 422
        listed = [one["id"] async for one in client.sessions()]
        assert {session.id, fork.id, other.id} <= set(listed)
        assert (await client.session(session.id)).step == 7
        await session.close()
        with pytest.raises(Gone) as gone:
            await session.feed(1.0)
        assert (gone.value.step, gone.value.document["reason"]) == (7, "closed")


async def test_two_clients_on_one_session_one_wins(server: ServerProcess) -> None:
    """The other is told what the session holds; the steps are never a mixture."""
    async with Client(server.url) as client, Client(server.url) as rival:
        ours = await client.create(task="forecast")
        theirs = await rival.session(ours.id)
        outcomes = await asyncio.gather(ours.feed([1.0, 2.0]), theirs.feed([3.0]), return_exceptions=True)
        won = [one for one in outcomes if isinstance(one, StepResult)]
        lost = [one for one in outcomes if isinstance(one, Conflict)]
        assert (len(won), len(lost)) == (1, 1)
        assert lost[0].step == won[0].step == await ours.refresh()
        assert lost[0].expected == won[0].step + 1
