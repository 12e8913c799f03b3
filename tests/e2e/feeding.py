"""What sessions on real servers are fed, and what one says that nothing interrupts."""

from __future__ import annotations

import random
from typing import Any

from rnnserve_client import Client, Retry

PATIENT = Retry(attempts=40, first_s=0.05, longest_s=0.5)


def series(seed: int, length: int) -> list[float]:
    """A session's events."""
    source = random.Random(seed)
    return [round(source.gauss(100, 10), 3) for _ in range(length)]


async def uninterrupted(client: Client, values: list[float]) -> list[dict[str, Any]]:
    """The outputs of a session that is fed everything in one call."""
    session = await client.create(task="forecast")
    outputs = (await session.feed(values)).outputs
    await session.close()
    return outputs
