"""The engines of a bundle with an encoder, which look like one."""

from __future__ import annotations

import asyncio
import time

from app.engine.engine import Engine
from app.engine.load import EngineLoad


class EnginePair:
    """``encoder`` reads whole inputs on a thread of its own, so no stream of ``decoder`` waits for one."""

    def __init__(self, encoder: Engine, decoder: Engine) -> None:
        self.encoder = encoder
        self.decoder = decoder
        self.submit = decoder.submit
        self.submit_block = decoder.submit_block
        self.submit_beam = decoder.submit_beam
        self.submit_encode = encoder.submit_block

    @property
    def alive(self) -> bool:
        return self.encoder.alive and self.decoder.alive

    @property
    def full_for_s(self) -> float | None:
        waits = [wait for each in (self.encoder, self.decoder) if (wait := each.full_for_s) is not None]
        return max(waits, default=None)

    @property
    def used_at(self) -> float:
        return max(self.encoder.used_at, self.decoder.used_at)

    def load(self) -> EngineLoad:
        """Of both together."""
        loads = self.encoder.load(), self.decoder.load()
        return EngineLoad(sum(each.steps for each in loads), sum(each.sequences for each in loads))

    def start(self, loop: asyncio.AbstractEventLoop) -> None:
        self.encoder.start(loop)
        self.decoder.start(loop)

    async def drain(self, timeout_s: float) -> bool:
        """As :meth:`Engine.drain`; the decoder takes work for as long as the encoder has any."""
        until = time.monotonic() + timeout_s
        encoded = await self.encoder.drain(timeout_s)
        return await self.decoder.drain(max(0.0, until - time.monotonic())) and encoded

    def close(self, timeout_s: float = 5.0) -> None:
        self.encoder.close(timeout_s)
        self.decoder.close(timeout_s)
