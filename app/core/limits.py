"""The configurable limits, each stated once: its default, its bounds and what it means.

``app.settings`` makes a setting of each; services and routes read them.
"""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict, Field


class Limits(BaseModel):
    """How much one caller, and all of them together, may ask for, whatever the task."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    max_body_bytes: int = Field(
        16 * 1024 * 1024, ge=1, le=2**31, description="largest request body, in bytes"
    )
    request_timeout_s: float = Field(
        60.0, gt=0, le=86_400, description="seconds a request may take from its arrival"
    )
    max_queued_steps: int = Field(
        2_000_000, ge=1, le=2**40, description="steps waiting in one model's queue, before 503"
    )
    max_queued_sequences: int = Field(
        16_384,
        ge=1,
        le=2**31,
        description="series, texts and choices waiting in one model's queue, before 503",
    )
    max_slots: int = Field(
        1024, ge=1, le=65_536, description="sequences of one model that advance at the same time"
    )
    max_batch: int = Field(256, ge=1, le=65_536, description="rows in one run of a graph")
    max_chunk: int = Field(256, ge=1, le=65_536, description="supplied steps a sequence advances in one run")
    max_attended_bytes: int = Field(
        256 * 1024 * 1024,
        ge=1,
        le=2**44,
        description="memory of what encoders made of inputs, in use or kept for the next use, in bytes",
    )
    max_connections: int = Field(1_000, ge=1, le=1_000_000, description="open WebSockets")
    max_frame_bytes: int = Field(
        1024 * 1024, ge=1, le=2**30, description="largest WebSocket frame from a client, in bytes"
    )
    socket_idle_s: float = Field(
        300.0, gt=0, le=86_400, description="seconds without work until a WebSocket closes"
    )
    socket_ping_s: float = Field(
        20.0, gt=0, le=3600, description="seconds between WebSocket pings, and the wait for an answer"
    )
    socket_send_s: float = Field(
        10.0, gt=0, le=3600, description="seconds a WebSocket client may leave frames unread"
    )


class TaskLimits(BaseModel):
    """Base of a task's own limits. Each field becomes a setting of the same name.

    Two tasks may have the same field, with the same bounds; it is one setting then.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")
