"""The configurable limits, as a plain value. ``app.settings`` fills it; services and routes read it."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Limits:
    """How much one caller, and all of them together, may ask for.

    Attributes:
        max_body_bytes: largest HTTP request body.
        max_series: series in one forecast request.
        max_points: observations of one request, over all its series.
        max_text_chars: characters of one text or prompt.
        max_texts: texts in one sentiment request.
        max_prompt_tokens: tokens of one text or prompt, after tokenization.
        max_tokens: tokens one generation may produce.
        max_choices: ``n`` of a generation.
        max_stop: stop strings of a generation.
        request_timeout_s: deadline of a request, from its arrival.
        max_queued_steps: steps waiting in one model's queue, before 503.
        max_queued_sequences: series, texts and choices waiting in one model's queue, before 503.
        max_slots: sequences of one model that advance at the same time.
        max_batch: rows in one run of the graph.
        max_chunk: supplied steps a sequence advances in one run.
        max_connections: open WebSockets.
        max_frame_bytes: largest WebSocket frame from a client.
        socket_idle_s: a WebSocket that starts nothing for this long is closed.
        socket_ping_s: seconds between pings; an unanswered one closes the socket.
        socket_send_s: a client that does not read for this long is closed.
    """

    max_body_bytes: int = 16 * 1024 * 1024
    max_series: int = 10_000
    max_points: int = 1_000_000
    max_text_chars: int = 100_000
    max_texts: int = 1_000
    max_prompt_tokens: int = 100_000
    max_tokens: int = 10_000
    max_choices: int = 16
    max_stop: int = 8
    request_timeout_s: float = 60.0
    max_queued_steps: int = 2_000_000
    max_queued_sequences: int = 16_384
    max_slots: int = 1024
    max_batch: int = 256
    max_chunk: int = 256
    max_connections: int = 1_000
    max_frame_bytes: int = 1024 * 1024
    socket_idle_s: float = 300.0
    socket_ping_s: float = 20.0
    socket_send_s: float = 10.0
