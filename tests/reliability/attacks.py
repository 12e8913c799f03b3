"""Attacks on real servers, each beside a neighbour that asks for a forecast twice a second.

    python -m tests.reliability.attacks [--only PART,...]

Prints a table: what came of each attack, the neighbour's slowest answer, and the server's memory before, at
its peak and a second afterwards. What one attack leaves behind is there before the next one.
"""

from __future__ import annotations

import argparse
import contextlib
import gzip
import os
import re
import shutil
import signal
import socket
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
from tests.reliability.attack import Attack, answers
from tests.reliability.fuzz import DEFAULTS, write_models
from tests.reliability.heavy_requests import bodies
from tests.reliability.neighbour import Beside, Noticed
from tests.security.conftest import KeyFile
from tests.security.raw import FORECAST, KEY, OFFER, connect, open_websocket, post, read_answer
from tests.security.test_floods import ENDLESS, HTTP_FLOODS, SOCKET_FLOODS
from tests.security.test_room import CROWDS

_FLOOD_S = 2.0
_ROUNDS = 12
_HALF = b"\x81\xff" + (900_000).to_bytes(8) + bytes(4) + b"x" * 600_000


def flood(first: bytes, piece: bytes, *, is_socket: bool) -> Callable[[ServerProcess], str]:
    """Send pieces until the server ends it, or for a while."""

    def act(server: ServerProcess) -> str:
        sent, began = len(first), time.monotonic()
        with open_websocket(server.port) if is_socket else connect(server.port) as raw:
            raw.settimeout(2)
            with contextlib.suppress(OSError):
                raw.sendall(first)
                while time.monotonic() - began < _FLOOD_S:
                    raw.sendall(piece)
                    sent += len(piece)
                return f"{sent / 2**20:.1f} MiB taken in {_FLOOD_S:g} s"
            took = time.monotonic() - began
            return f"cut off after {sent / 2**20:.1f} MiB" if took < _FLOOD_S else "not read"

    return act


def floods() -> Iterator[Attack]:
    """One connection that sends without end."""
    for name, (first, piece) in HTTP_FLOODS.items():
        yield Attack(name, flood(first, piece, is_socket=False))
    for name, (first, piece) in SOCKET_FLOODS.items():
        yield Attack(name, flood(first, piece, is_socket=True))
    for name, (begin, piece) in ENDLESS.items():
        yield Attack(name, flood(begin or b"", piece, is_socket=begin is None))


def leave(server: ServerProcess, begin: Callable[[int], socket.socket], wire: bytes) -> str:
    """Send a part, 150 at a time, and go away."""
    for _ in range(_ROUNDS):
        with ExitStack() as stack:
            for _ in range(150):
                raw = stack.enter_context(begin(server.port))
                raw.settimeout(2)
                with contextlib.suppress(OSError):
                    raw.sendall(wire)
    return f"{_ROUNDS * 150} came and went"


def halves() -> Iterator[Attack]:
    """Many connections that send a part and go away."""
    chunked = post(b"", b"transfer-encoding: chunked", announced=False)
    yield Attack("half a message", lambda server: leave(server, open_websocket, _HALF))
    yield Attack("half a body", lambda server: leave(server, connect, post(b"x" * 900_000)[:600_000]))
    wire = chunked + b"1\r\n[\r\n0\r\n" + b"x: y\r\n" * 2000
    yield Attack("half the trailers", lambda server: leave(server, connect, wire))
    zipped = post(gzip.compress(os.urandom(600_000)), b"content-encoding: gzip")[:-1000]
    yield Attack("half a gzip body", lambda server: leave(server, connect, zipped))


def crowd(server: ServerProcess, wire: bytes) -> str:
    """1,100 connections that send something and wait."""
    with ExitStack() as stack:
        lines = [stack.enter_context(connect(server.port)) for _ in range(1100)]
        for raw in lines:
            with contextlib.suppress(OSError):
                raw.sendall(wire)
        time.sleep(2)
        admin = server.log.split("admin port ")[1].split()[0]
        told = httpx2.get(f"http://127.0.0.1:{admin}/metrics").text
        (held,) = re.findall(r"^rnnserve_connections (\d+)", told, re.MULTILINE)
        return f"{held} connections are open after 2 s"


def crowds() -> Iterator[Attack]:
    for name in ("silent", "half-a-head", "half-a-handshake", "half-a-body", "health"):
        yield Attack(f"1,100 connections: {name}", lambda server, wire=CROWDS[name]: crowd(server, wire))  # type: ignore[misc]  # bound now


def pages(server: ServerProcess) -> str:
    """What a stranger's page can have a browser send."""
    wires = [
        post(b'{"inputs": 1}', b"origin: http://evil.example", path=b"/sessions/hourly/steps"),
        post(b'{"to": 0}', b"origin: null", path=b"/sessions/hourly/rewind"),
        post(b"{}", b"sec-fetch-site: cross-site", path=b"/v2/repository/models/spare/unload"),
        b"GET /sessions HTTP/1.1\r\nhost: evil.example\r\n\r\n",
        b"GET /sessions HTTP/1.1\r\nhost: evil.example\r\norigin: http://evil.example\r\n"
        + OFFER
        + KEY
        + b"\r\n",
    ]
    return answers(server, wires * 100, at_once=8)


def trailers(server: ServerProcess) -> str:
    """A request whose trailers call themselves headers."""
    chunk = b"%x\r\n%b\r\n0\r\n" % (len(FORECAST), FORECAST)
    chunked = post(b"", b"transfer-encoding: chunked", announced=False)
    with connect(server.port) as raw, raw.makefile("rb") as stream:
        raw.sendall((chunked + chunk + b"x-request-id: spoofed\r\nx-api-key: k\r\n\r\n") * 200)
        ids = [read_answer(stream).headers[b"x-request-id"] for _ in range(200)]
    return f"{ids.count(b'spoofed')} of 200 were believed"


def browsers() -> Iterator[Attack]:
    yield Attack("a page of another site, and one with another name", pages)
    yield Attack("trailers that call themselves headers", trailers)


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
    flags: dict[str, Any] = {"default": DEFAULTS}
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
