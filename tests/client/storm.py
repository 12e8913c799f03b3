"""A program for an environment that has the client alone: busy sessions, whatever the server does meanwhile.

    python storm.py URL SESSIONS STEPS

Prints a line for each round in which all sessions of a kind were fed, and at last one JSON document with
what was answered. Half of the sessions are fed by threads with requests, the others share one WebSocket.
"""

from __future__ import annotations

import asyncio
import json
import random
import sys
import threading
from typing import Any

from rnnserve_client import Client, Retry, SyncClient

Outputs = dict[str, list[dict[str, Any]]]


class Counted(Retry):
    """Patient, and counts its pauses."""

    pauses = 0

    def pause_s(self, attempt: int, asked_s: float = 0.0) -> float:
        """One more."""
        Counted.pauses += 1
        return super().pause_s(attempt, asked_s)


PATIENT = Counted(attempts=200, first_s=0.02, longest_s=0.1)


def value(id: str, step: int) -> float:
    """What a session is fed at a step."""
    return round(random.Random(f"{id}/{step}").gauss(100, 10), 3)


def by_requests(url: str, ids: list[str], steps: int, outputs: Outputs) -> None:
    """A thread for each session, over one client; half way each is forked, and the fork is fed as well."""
    with SyncClient(url, retry=PATIENT) as client:
        together = threading.Barrier(len(ids), lambda: print("round", flush=True))

        def feed(id: str) -> None:
            sessions = [client.create(task="forecast", id=id)]
            kept: Outputs = {id: []}
            for step in range(1, steps + 1):
                for session in sessions:
                    result = session.feed(value(id, step))
                    assert (result.seq, result.step) == (step, step)
                    kept[session.id] += result.outputs
                if step == steps // 2:
                    sessions.append(sessions[0].fork(id=f"{id}-fork"))
                    kept[f"{id}-fork"] = list(kept[id])
                together.wait()
            outputs.update(kept)

        threads = [threading.Thread(target=feed, args=[id]) for id in ids]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()


async def by_socket(url: str, ids: list[str], steps: int, outputs: Outputs) -> None:
    """One call of each session in flight at a time."""
    async with Client(url, retry=PATIENT) as client, client.connect() as line:
        sessions = [await client.create(task="forecast", id=id) for id in ids]
        for step in range(1, steps + 1):
            fed = (line.feed(session, value(session.id, step)) for session in sessions)
            for session, result in zip(sessions, await asyncio.gather(*fed), strict=True):
                assert (result.seq, result.step) == (step, step)
                outputs.setdefault(session.id, []).extend(result.outputs)
            print("round", flush=True)


def main(url: str, num_sessions: int, steps: int) -> None:
    """Both at once."""
    outputs: Outputs = {}
    plain = [f"plain-{number}" for number in range(num_sessions // 2)]
    shared = [f"shared-{number}" for number in range(num_sessions - len(plain))]
    thread = threading.Thread(target=by_requests, args=[url, plain, steps, outputs])
    thread.start()
    asyncio.run(by_socket(url, shared, steps, outputs))
    thread.join()
    print(json.dumps({"outputs": outputs, "pauses": Counted.pauses}), flush=True)


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]), int(sys.argv[3]))
