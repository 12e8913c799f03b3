"""Which content type a request wants its answer in."""

from __future__ import annotations

from collections.abc import Container

from starlette.types import Scope

_LEFT_TO_US = ("application/json", "application/*", "*/*")


def wanted_type(scope: Scope, offered: Container[str]) -> str | None:
    """The one that ``Accept`` prefers among those ``offered``, the first of equals; ``None`` means JSON."""
    header = b",".join([value for name, value in scope["headers"] if name == b"accept"])
    if header in (b"", b"*/*", b"application/json"):
        return None
    ranges = [_range(part) for part in header.decode("latin-1").lower().split(",")]
    for weight, media_type in sorted(ranges, key=lambda each: -each[0]):
        if weight <= 0 or media_type in _LEFT_TO_US:
            return None
        if media_type in offered:
            return media_type
    return None


def _range(part: str) -> tuple[float, str]:
    """Weight and media type of a part of ``Accept``; a weight that is no number counts as none given."""
    media_type, *parameters = part.split(";")
    for parameter in parameters:
        name, _, value = parameter.partition("=")
        if name.strip() == "q":
            try:
                return float(value), media_type.strip()
            except ValueError:
                break
    return 1.0, media_type.strip()
