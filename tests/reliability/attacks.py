"""Attacks on real servers, each beside a neighbour that asks for a forecast twice a second.

    python -m tests.reliability.attacks [--only PART,...]

Prints a table: what came of each attack, the neighbour's slowest answer, and the server's memory before, at
its peak and a second afterwards. What one attack leaves behind is there before the next one.
"""

from __future__ import annotations

import argparse
import os
import shutil
import signal
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import httpx2

from tests.e2e.server import ServerProcess
from tests.redis_server import RedisServer
from tests.registry.test_hostile_bundles import BROKEN, never_ends, pipe
from tests.reliability.attack import Attack
from tests.reliability.fuzz import DEFAULTS, write_models
from tests.reliability.heavy_requests import bodies
from tests.reliability.hostile_clients import browsers, crowds, floods, halves
from tests.reliability.neighbour import Beside, Noticed
from tests.security.conftest import KeyFile


def bundles(folder: Path) -> Callable[[ServerProcess], str]:
    """All broken bundles of the tests, a pipe and an endless graph among them, into the watched folder."""

    def act(server: ServerProcess) -> str:
        with tempfile.TemporaryDirectory() as place:
            write_models(Path(place))
            for number, (spoil, _) in enumerate(
                [*BROKEN.values(), (pipe("vectors.npz"), ""), (never_ends, "")]
            ):
                bundle = folder / "text" / str(100 + number)
                shutil.copytree(Path(place) / "text" / "1", bundle.with_suffix(".new"))
                spoil(bundle.with_suffix(".new"))
                bundle.with_suffix(".new").rename(bundle)
        time.sleep(8)
        with server.client() as client:
            served = [
                one["version"]
                for one in client.get("/models").json()["models"]
                if one["name"] == "text" and one["status"] == "ready"
            ]
        return f"{len(BROKEN) + 2} bundles, served of text: {', '.join(served)}"

    return act


def stopped(server: ServerProcess, number: signal.Signals) -> str:
    """One of two workers."""
    before = server.workers()
    os.kill(before[0], number)
    began = time.monotonic()
    while set(before) <= set(server.workers()) and time.monotonic() - began < 40:
        time.sleep(0.2)
    took = time.monotonic() - began
    while len(server.workers()) < 2 and time.monotonic() - began < 60:
        time.sleep(0.2)
    return f"replaced after {took:.0f} s"


def deleted(state: Path) -> Callable[[ServerProcess], str]:
    """The folder of the sessions, while steps are acknowledged."""

    def act(server: ServerProcess) -> str:
        with server.client() as client:
            seq = 0
            acknowledged: list[int] = []
            began = time.monotonic()
            while time.monotonic() - began < 2:
                if len(acknowledged) == 50:
                    shutil.rmtree(state)
                seq += 1
                acknowledged.append(client.post("/sessions/hourly/steps", json={"inputs": seq}).status_code)
            reason = client.get("/readyz").json()["reason"]
            return f"{acknowledged[50:].count(200)} steps acknowledged afterwards; not ready: {reason}"

    return act


def went_back(redis: RedisServer, folder: Path) -> Callable[[ServerProcess], str]:
    """Redis is restored from an earlier copy of its file."""

    def act(server: ServerProcess) -> str:
        with server.client() as client:
            for value in range(10):
                client.post("/sessions/hourly/steps", json={"inputs": value}).raise_for_status()
            shutil.copytree(folder, folder.with_name("earlier"))
            for value in range(10):
                client.post("/sessions/hourly/steps", json={"inputs": value}).raise_for_status()
            redis.kill()
            shutil.rmtree(folder)
            folder.with_name("earlier").rename(folder)
            redis.start()
            time.sleep(1)
            told = client.post("/sessions/hourly/steps", json={"inputs": 1})
            lost = server.metric("rnnserve_session_events_total", event="lost")
        return f"step {told.json().get('detail', told.text)[:200]}; {lost:.0f} counted"

    return act


def late(models: Path, url: str) -> Callable[[ServerProcess], str]:
    """A replica whose clock is two hours ahead sweeps."""

    def act(server: ServerProcess) -> str:
        with ServerProcess(models, default=DEFAULTS, sessions=url, clock_ahead_s=7200) as other:
            time.sleep(3)
            reason = httpx2.get(f"{other.url}/readyz").json()["reason"]
        ended = server.metric("rnnserve_session_events_total", event="expired")
        with server.client() as client:
            left = len(client.get("/sessions").json()["sessions"])
        return f"{left} sessions live on, {ended:.0f} ended; it says: {reason}"

    return act


def forgotten(redis: RedisServer) -> Callable[[ServerProcess], str]:
    """A Redis that keeps nothing on disk is killed."""

    def act(server: ServerProcess) -> str:
        redis.kill()
        redis.start()
        with server.client() as client:
            status = client.post("/sessions/hourly/steps", json={"inputs": 1}).status_code
        said = "keeps nothing on disk" in server.log
        return f"{status}; said at the start: {'yes' if said else 'no'}"

    return act


Row = tuple[str, str, str, Noticed]


def run(part: str, place: Path) -> Iterator[Row]:
    """The attacks of a part, on a server of its own, or one for each attack."""
    models = place / "models"
    write_models(models)
    flags: dict[str, Any] = {"default": DEFAULTS, "forked": False}
    if part in _SHARED:
        key = None
        if part == "crowds":
            keys = KeyFile(place / "keys.toml")
            key = keys.add("neighbour")
            flags |= {"keys": keys.path, "max_descriptors": 1024, "admin_port": 0}
        with ServerProcess(models, **flags) as server:
            if key is None:
                open_session(server)
            for attack in _SHARED[part]():
                yield part, *beside(server, attack, key)
            check(server)
        return
    with ExitStack() as stack:
        state = place / "state"
        state.mkdir()
        if part == "redis":
            redis = stack.enter_context(RedisServer(state))
            flags["sessions"] = redis.url
            attacks = [
                Attack("a replica with a wrong clock", late(models, redis.url)),
                Attack("Redis goes back in time", went_back(redis, state)),
            ]
        elif part == "memory":
            redis = stack.enter_context(RedisServer(state, append_only=False))
            flags["sessions"] = redis.url
            attacks = [Attack("Redis without a file is killed", forgotten(redis))]
        elif part == "folder":
            flags["state_dir"] = state
            attacks = [Attack("the state folder is deleted", deleted(state))]
        elif part == "bundles":
            attacks = [Attack("broken bundles in the watched folder", bundles(models))]
        else:
            flags |= {"workers": 2, "state_dir": state}
            attacks = [
                Attack("a worker is killed", lambda server: stopped(server, signal.SIGKILL)),
                Attack("a worker is stopped", lambda server: stopped(server, signal.SIGSTOP)),
            ]
        server = stack.enter_context(ServerProcess(models, **flags))
        open_session(server)
        for attack in attacks:
            yield part, *beside(server, attack)
        check(server)


_SHARED: dict[str, Callable[[], Iterator[Attack]]] = {
    "bodies": bodies,
    "floods": floods,
    "halves": halves,
    "crowds": crowds,
    "browsers": browsers,
}
PARTS = (*_SHARED, "bundles", "workers", "folder", "redis", "memory")


def open_session(server: ServerProcess) -> None:
    """The one that is attacked."""
    with server.client() as client:
        client.post("/sessions", json={"task": "forecast", "id": "hourly"}).raise_for_status()


def beside(server: ServerProcess, attack: Attack, key: str | None = None) -> tuple[str, str, Noticed]:
    """Attack while the neighbour asks."""
    with Beside(server, attack.settle_s, key) as watching:
        outcome = attack.act(server)
    assert watching.noticed is not None
    return attack.name, outcome, watching.noticed


def check(server: ServerProcess) -> None:
    """Nothing of it may have been a failure of the server's own."""
    if "Traceback" in server.log:
        raise SystemExit(server.log[-5000:])


def main() -> None:
    """Run and print a table as it stands in docs/reliability.md."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--only", default=",".join(PARTS), help=f"of {', '.join(PARTS)}")
    wanted = parser.parse_args().only.split(",")
    print("| attack | what came of it | neighbour: slowest answer | failed | memory before, at most, after |")
    print("|---|---|---|---|---|")
    for part in wanted:
        with tempfile.TemporaryDirectory() as place:
            for _, name, outcome, noticed in run(part, Path(place)):
                seen = noticed.seen
                print(
                    f"| {name} | {outcome} | {1000 * seen.worst_s:.0f} ms | {seen.failed} of {seen.asked} | "
                    f"{noticed.before:.0f}, {noticed.peak:.0f}, {noticed.after:.0f} MB |",
                    flush=True,
                )


if __name__ == "__main__":
    main()
