"""Counts what one warm request passes: the files and functions of ``app`` that run for it.

    python -m tests.steps

The application runs in this process, without a socket. A function counts once however often it is called;
comprehensions and lambdas are functions. What runs in the background (timers, idle threads), or only when
threads meet in one order, differs from request to request: what each of several ran is given.
"""

from __future__ import annotations

import asyncio
import json
import sys
import threading
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from types import FrameType
from typing import Any

from app.main import compose
from app.settings import Settings

ROOT = Path(__file__).parent.parent
APP = f"{ROOT / 'app'}/"
MODELS = ROOT / "models"
REPEATS = 80


@dataclass(frozen=True)
class Steps:
    """What one request passed."""

    functions: frozenset[tuple[str, str]]

    @property
    def files(self) -> set[str]:
        """Of the functions, relative to the repository."""
        return {file for file, _ in self.functions}


class Recorder:
    """Notes each function of ``app`` that is called on any thread while it is on."""

    def __init__(self) -> None:
        self.on = False
        self._found: set[tuple[str, str]] = set()

    def __call__(self, frame: FrameType, event: str, argument: Any) -> None:
        """What ``sys.setprofile`` calls."""
        if self.on and event == "call" and frame.f_code.co_filename.startswith(APP):
            name = f"{frame.f_code.co_qualname}:{frame.f_code.co_firstlineno}"
            self._found.add((frame.f_code.co_filename[len(str(ROOT)) + 1 :], name))

    async def record(self, request: Callable[[], Awaitable[None]]) -> Steps:
        """What runs for a request."""
        self._found = set()
        self.on = True
        try:
            await request()
        finally:
            self.on = False
        return Steps(frozenset(self._found))


async def post(app: Any, path: str, body: object) -> Any:
    """One request to an ASGI application; its JSON answer."""
    sent: list[dict[str, Any]] = []
    scope = {
        "type": "http",
        "method": "POST",
        "path": path,
        "raw_path": path.encode(),
        "root_path": "",
        "query_string": b"",
        "headers": [(b"host", b"localhost"), (b"content-type", b"application/json")],
        "client": ("127.0.0.1", 1),
        "server": ("127.0.0.1", 80),
        "scheme": "http",
        "http_version": "1.1",
        "app": app,
        "state": {},
        "extensions": {},
    }
    messages = iter([{"type": "http.request", "body": json.dumps(body).encode(), "more_body": False}])

    async def receive() -> dict[str, Any]:
        message = next(messages, None)
        if message is None:
            await asyncio.Event().wait()
            raise AssertionError
        return message

    async def send(message: dict[str, Any]) -> None:
        sent.append(message)

    await app(scope, receive, send)
    assert sent[0]["status"] in (200, 201), sent
    return json.loads(b"".join(message.get("body", b"") for message in sent[1:]))


async def measure() -> dict[str, Steps]:
    """A forecast, and a step of a session, each warm: what each of several ran."""
    recorder = Recorder()
    threading.setprofile(recorder)
    sys.setprofile(recorder)
    try:
        app = compose(Settings(models=str(MODELS), sessions="memory:", page="off")).asgi
        async with app.router.lifespan_context(app):
            return {
                "`POST /forecast`, one series": await _each_ran(recorder, lambda number: _forecast(app)),
                "`POST /sessions/{id}/steps`, one value": await _steps(recorder, app),
            }
    finally:
        sys.setprofile(None)
        threading.setprofile(None)


async def _forecast(app: Any) -> None:
    await post(app, "/forecast", {"values": [1.0, 2.0, 3.0, 4.0], "horizon": 3})


async def _steps(recorder: Recorder, app: Any) -> Steps:
    await post(app, "/sessions", {"id": "steps", "task": "forecast"})

    async def step(number: int) -> None:
        await post(app, "/sessions/steps/steps", {"seq": number, "inputs": [float(number)]})

    return await _each_ran(recorder, step)


async def _each_ran(recorder: Recorder, request: Callable[[int], Awaitable[None]]) -> Steps:
    counts: list[Steps] = []
    for number in range(1, REPEATS + 1):
        counts.append(await recorder.record(partial(request, number)))
        await asyncio.sleep(0.01)
    return Steps(frozenset.intersection(*(steps.functions for steps in counts[REPEATS // 2 :])))


def table() -> str:
    """The counts, for docs/design.md."""
    lines = ["| request | files | functions |", "|---|---|---|"]
    for request, steps in asyncio.run(measure()).items():
        lines.append(f"| {request} | {len(steps.files)} | {len(steps.functions)} |")
    return "\n".join(lines)


if __name__ == "__main__":
    if sys.argv[1:] == ["--list"]:
        for request, steps in asyncio.run(measure()).items():
            print(request)
            for file, name in sorted(steps.functions):
                print(f"    {file}  {name}")
    print(table())
