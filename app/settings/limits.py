"""Settings that bound requests, queues and sockets."""

from __future__ import annotations

from pydantic import Field
from pydantic_settings import BaseSettings

from app.core.limits import Limits

_LIMITS = Limits()


class LimitSettings(BaseSettings):
    """One setting for each field of :class:`app.core.limits.Limits`, with its default."""

    max_body_bytes: int = Field(
        _LIMITS.max_body_bytes, ge=1, le=2**31, description="largest request body, in bytes"
    )
    max_series: int = Field(
        _LIMITS.max_series, ge=1, le=10_000_000, description="series in one forecast request"
    )
    max_points: int = Field(
        _LIMITS.max_points, ge=1, le=2**31, description="observations in one request, over all its series"
    )
    max_text_chars: int = Field(
        _LIMITS.max_text_chars, ge=1, le=10_000_000, description="characters of one text or prompt"
    )
    max_texts: int = Field(_LIMITS.max_texts, ge=1, le=100_000, description="texts in one sentiment request")
    max_prompt_tokens: int = Field(
        _LIMITS.max_prompt_tokens, ge=1, le=10_000_000, description="tokens of one text or prompt"
    )
    max_tokens: int = Field(
        _LIMITS.max_tokens, ge=1, le=2**31 - 1, description="tokens one generation may produce"
    )
    max_choices: int = Field(_LIMITS.max_choices, ge=1, le=10_000, description="texts of one generation, n")
    max_stop: int = Field(_LIMITS.max_stop, ge=0, le=64, description="stop strings of one generation")
    request_timeout_s: float = Field(
        _LIMITS.request_timeout_s, gt=0, le=86_400, description="seconds a request may take from its arrival"
    )
    max_queued_steps: int = Field(
        _LIMITS.max_queued_steps, ge=1, le=2**40, description="steps waiting in one model's queue, before 503"
    )
    max_queued_sequences: int = Field(
        _LIMITS.max_queued_sequences,
        ge=1,
        le=2**31,
        description="series, texts and choices waiting in one model's queue, before 503",
    )
    max_slots: int = Field(
        _LIMITS.max_slots, ge=1, le=65_536, description="sequences of one model that advance at the same time"
    )
    max_batch: int = Field(_LIMITS.max_batch, ge=1, le=65_536, description="rows in one run of a graph")
    max_chunk: int = Field(
        _LIMITS.max_chunk, ge=1, le=65_536, description="supplied steps a sequence advances in one run"
    )
    max_connections: int = Field(_LIMITS.max_connections, ge=1, le=1_000_000, description="open WebSockets")
    max_frame_bytes: int = Field(
        _LIMITS.max_frame_bytes, ge=1, le=2**30, description="largest WebSocket frame from a client, in bytes"
    )
    socket_idle_s: float = Field(
        _LIMITS.socket_idle_s,
        gt=0,
        le=86_400,
        description="seconds without a generation until a WebSocket closes",
    )
    socket_ping_s: float = Field(
        _LIMITS.socket_ping_s,
        gt=0,
        le=3600,
        description="seconds between WebSocket pings, and the wait for an answer",
    )
    socket_send_s: float = Field(
        _LIMITS.socket_send_s, gt=0, le=3600, description="seconds a WebSocket client may leave frames unread"
    )
