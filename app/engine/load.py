"""How much an engine may hold, holds, and has just done: plain numbers for whoever bounds or counts."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class QueueLimits:
    """What may be queued, running included.

    Attributes:
        max_steps: steps of all sequences together.
        max_sequences: sequences.
    """

    max_steps: int = 1_000_000
    max_sequences: int = 8192


@dataclass(slots=True)
class TickStats:
    """One tick, for whoever counts.

    Attributes:
        batch: rows of each run.
        steps: rows times steps, all runs together.
        seconds: of all runs together.
        waiting_steps: steps still queued after the tick.
        slots_used: rows held after the tick.
    """

    batch: tuple[int, ...]
    steps: int
    seconds: float
    waiting_steps: int
    slots_used: int


@dataclass(frozen=True, slots=True)
class EngineLoad:
    """How much is queued."""

    steps: int
    sequences: int
