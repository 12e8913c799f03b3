"""How much an engine may do at once, holds, and has just done: plain numbers for whoever bounds or counts."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class QueueLimits:
    """What may be queued, running included; steps are those of all sequences together."""

    max_steps: int = 1_000_000
    max_sequences: int = 8192


@dataclass(frozen=True, slots=True)
class SchedulerLimits:
    """How much may happen in one tick.

    Attributes:
        num_slots: sequences that hold a row at once.
        max_batch: rows of one run.
        max_chunk: steps one sequence advances in a tick while nobody waits for single steps.
        mixed_chunk: the same, at most, while others advance by single steps.
        max_tick_steps: rows times steps of the supplied steps of a tick, beyond its first batch.
        max_tick_s: who arrives meanwhile waits for the tick's end, and nobody is answered before it.
        mixed_share: what supplied steps may add to a tick in which others advance by single steps,
            as a part of the time that these take. It bounds how much a long input delays streams.
        min_mixed_s: what they may add at least, so that they go on beside the smallest networks.
        whole: supplied steps of a sequence are one input and never cut; ``max_chunk`` does not count.
    """

    num_slots: int = 1024
    max_batch: int = 256
    max_chunk: int = 256
    mixed_chunk: int = 64
    max_tick_steps: int = 8192
    max_tick_s: float = 0.005
    mixed_share: float = 0.5
    min_mixed_s: float = 0.0002
    whole: bool = False


@dataclass(slots=True)
class TickStats:
    """One tick: rows of each run; rows times steps, and seconds, of all together; what is left then."""

    batch: tuple[int, ...]
    steps: int
    seconds: float
    waiting_steps: int
    slots_used: int


@dataclass(frozen=True, slots=True)
class EngineLoad:
    steps: int
    sequences: int
