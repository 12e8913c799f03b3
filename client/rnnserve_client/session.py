"""One session over HTTP."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator
from typing import Any
from urllib.parse import quote

from rnnserve_client.answers import GenerateAnswer, SessionForecast, SessionInfo, SnapshotInfo
from rnnserve_client.client import Client, StepResult
from rnnserve_client.problems import Conflict, Gone, Problem


class Session:
    """A session and how far it is. Made by :class:`Client`; one task at a time feeds it.

    Args:
        client: of its server.
        id: of the session.
        step: steps applied so far.
    """

    def __init__(self, client: Client, id: str, step: int) -> None:
        self.client = client
        self.id = id
        self.step = step
        self._path = f"/sessions/{quote(id, safe='')}"
        self._order = asyncio.Lock()

    async def feed(self, inputs: Any) -> StepResult:
        """Apply events exactly once: sent again under the same ``seq`` until it is answered.

        Raises:
            Conflict: somebody else feeds this session too; :meth:`refresh` learns where it is.
            Gone: it has ended.
        """
        async with self._order:
            body = {"seq": self.step + 1, "inputs": inputs}
            answer = await self.client.ask("POST", f"{self._path}/steps", body)
            self.step = answer["step"]
            return StepResult(answer["seq"], answer["step"], answer["outputs"])

    async def info(self) -> SessionInfo:
        """Model, step, times and metadata."""
        info: SessionInfo = await self.client.ask("GET", self._path)
        return info

    async def refresh(self) -> int:
        """Learn from the server where the session is."""
        self.step = (await self.info())["step"]
        return self.step

    async def answer(self, action: str, /, **fields: Any) -> dict[str, Any]:
        """What a task answers from the present state, also one that this client does not know.

        It is sent again where no answer comes, so an action that moves the session needs its ``seq``.
        """
        answer: dict[str, Any] = await self.client.ask("POST", f"{self._path}/{action}", fields)
        self.step = answer.get("step", self.step)
        return answer

    def frames(self, action: str, /, **fields: Any) -> AsyncIterator[dict[str, Any]]:
        """The same frame by frame, where the action streams; then :meth:`refresh` learns where it is."""
        return self.client.events(f"{self._path}/{action}", fields)

    async def forecast(self, horizon: int, **fields: Any) -> SessionForecast:
        """What lies ahead of the last observation."""
        answer: SessionForecast = await self.client.ask(
            "POST", f"{self._path}/forecast", {"horizon": horizon, **fields}
        )
        return answer

    async def generate(self, prompt: str = "", *, advance: bool = False, **fields: Any) -> GenerateAnswer:
        """Text from the present state; with ``advance`` it becomes steps of the session, exactly once."""
        async with self._order:
            body = {"prompt": prompt, **fields, **self._advancing(advance)}
            answer: GenerateAnswer = await self.client.ask("POST", f"{self._path}/generate", body)
            self.step = answer["step"]
            return answer

    async def stream(
        self, prompt: str = "", *, advance: bool = False, **fields: Any
    ) -> AsyncIterator[dict[str, Any]]:
        """The same frame by frame, resumed when the connection breaks."""
        async with self._order:
            body = {"prompt": prompt, **fields, **self._advancing(advance)}
            text = ""
            try:
                async for frame in self.client.events(f"{self._path}/generate", body):
                    if frame["type"] == "done":
                        self.step = frame["step"]
                    else:
                        text += frame["text"]
                    yield frame
            except Conflict as error:
                if not advance or error.expected == body["seq"]:
                    raise
                # The session has advanced, and only the end of the stream was lost: its whole answer is kept.
                answer = await self.client.ask("POST", f"{self._path}/generate", body)
                self.step = answer["step"]
                for frame in _rest_of(answer, text):
                    yield frame

    async def fork(self, *, id: str | None = None, **fields: Any) -> Session:
        """An independent copy of the present state."""
        return await self.client.opened(f"{self._path}/fork", id, fields)

    async def snapshot(self, name: str) -> None:
        """Keep the present state under a name."""
        try:
            await self.client.ask("POST", f"{self._path}/snapshots", {"name": name})
        except Problem:
            # The answer of an earlier attempt may have been lost.
            if not any(one["name"] == name and one["step"] == self.step for one in await self.snapshots()):
                raise

    async def snapshots(self) -> list[SnapshotInfo]:
        """The kept states, oldest first."""
        listed: list[SnapshotInfo] = (await self.client.ask("GET", f"{self._path}/snapshots"))["snapshots"]
        return listed

    async def rewind(self, to: str | int) -> int:
        """Go back to a snapshot, by name or step, or to the start (0); returns the step."""
        self.step = (await self.client.ask("POST", f"{self._path}/rewind", {"to": to}))["step"]
        return self.step

    async def migrate(self, model: str) -> None:
        """Go on with another version of the model."""
        await self.client.ask("POST", f"{self._path}/migrate", {"model": model})

    async def state(self) -> str:
        """The portable state, to keep, to open a session from, or for :meth:`Client.steps`."""
        state: str = (await self.client.ask("GET", f"{self._path}/state"))["state"]
        return state

    async def close(self) -> None:
        try:
            await self.client.ask("DELETE", self._path)
        except Gone as error:
            if error.document.get("reason") != "closed":
                raise

    def _advancing(self, advance: bool) -> dict[str, Any]:
        return {"advance": True, "seq": self.step + 1} if advance else {}


def _rest_of(answer: dict[str, Any], text: str) -> Iterator[dict[str, Any]]:
    """The frames of a whole answer after those that made up ``text``."""
    (choice,) = answer["choices"]
    if len(text) < len(choice["text"]):
        yield {"type": "token", "text": choice["text"][len(text) :], "choice": 0}
    reason = choice["finish_reason"]
    about = {name: answer[name] for name in ("usage", "seed", "model", "step")}
    yield {"type": "done", "finish_reason": reason, "finish_reasons": [reason], **about}
