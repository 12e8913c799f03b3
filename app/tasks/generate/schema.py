"""``/generate`` over HTTP, server-sent events and WebSocket: a prompt in, text out."""

from __future__ import annotations

from app.tasks.decoded.schema import TextAnswer, TextRequest


class GenerateRequest(TextRequest):
    """What to continue, and how."""


class GenerateAnswer(TextAnswer):
    """The whole answer."""
