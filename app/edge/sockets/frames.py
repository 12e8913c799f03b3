"""A WebSocket frame from a client, within its bounds."""

from __future__ import annotations

from app.core.errors import PayloadTooLarge, UnsupportedMedia


def checked_text(text: str | None, max_bytes: int) -> str:
    if text is None:
        raise UnsupportedMedia("binary frame", ("text frame",))
    if len(text) > max_bytes or len(text.encode("utf-8", "surrogatepass")) > max_bytes:
        raise PayloadTooLarge(max_bytes)
    return text
