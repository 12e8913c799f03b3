"""An answer as lines for people."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any


def lines(value: Any, indent: str = "") -> Iterator[str]:
    """Names and values, indented where they lie within others; what is null is left out."""
    if isinstance(value, dict):
        for name, one in value.items():
            if one is None or one == {}:
                continue
            if _flat(one):
                yield f"{indent}{name}: {_text(one)}"
            else:
                yield f"{indent}{name}:"
                yield from lines(one, indent + "  ")
    elif isinstance(value, list) and not _flat(value):
        for one in value:
            first, *others = list(lines(one, indent + "  ")) or ["-"]
            yield f"{indent}- {first.strip()}"
            yield from others
    else:
        yield indent + _text(value)


def _flat(value: Any) -> bool:
    if isinstance(value, list):
        return not any(isinstance(one, dict | list) for one in value)
    return not isinstance(value, dict) or not value


def _text(value: Any) -> str:
    if isinstance(value, list):
        return ", ".join(map(_text, value))
    if isinstance(value, bool) or value is None:
        return {True: "yes", False: "no", None: "-"}[value]
    return f"{value:g}" if isinstance(value, float) else str(value)
