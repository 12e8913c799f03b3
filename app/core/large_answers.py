"""Large answers are written in parts on a thread: neither serializing nor freeing them gives way."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Iterator
from typing import Any

from pydantic import BaseModel
from pydantic_core import to_json

from app.core.memory import trimmer

_PART = 2_000
"""Values that are written at once: a millisecond."""
_LARGE = 20_000
_PLAIN = frozenset({float, int, str, bool, type(None)})


async def json_of(answer: BaseModel, *, exclude_unset: bool = False) -> bytes:
    """As its serializer writes it. A large answer is taken apart on the way, and its lists are empty then."""
    if size_of(answer) < _LARGE:
        return answer.__pydantic_serializer__.to_json(answer, exclude_unset=exclude_unset)
    trimmer.soon()
    return await asyncio.to_thread(lambda: b"".join(_parts(answer, exclude_unset)))


def size_of(value: Any) -> int:
    """About how many values there are in it: lists and dictionaries are taken to hold things alike."""
    kind = type(value)
    if kind in _PLAIN or not value:
        return 1
    if kind is list:
        return len(value) * size_of(value[0])
    if kind is dict:
        return len(value) * size_of(next(iter(value.values())))
    return sum(map(size_of, value.__dict__.values())) if isinstance(value, BaseModel) else 1


def _parts(value: Any, exclude_unset: bool) -> Iterator[bytes]:
    size = size_of(value)
    if size < _PART:
        yield _written(value, exclude_unset)
    elif isinstance(value, list):
        yield b"["
        yield from _joined(_parts_of_list(value, max(1, _PART * len(value) // size), exclude_unset))
        yield b"]"
    else:
        items = value.__dict__ if isinstance(value, BaseModel) else value
        if exclude_unset and isinstance(value, BaseModel):
            items = {name: one for name, one in items.items() if name in value.__pydantic_fields_set__}
        yield b"{"
        yield from _joined(
            to_json(name) + b":" + b"".join(_parts(one, exclude_unset)) for name, one in items.items()
        )
        yield b"}"


def _parts_of_list(values: list[Any], together: int, exclude_unset: bool) -> Iterator[bytes]:
    for first in range(0, len(values), together):
        part = values[first : first + together]
        if together == 1:
            yield from (b"".join(_parts(one, exclude_unset)) for one in part)
        elif isinstance(part[0], BaseModel):
            yield b",".join(_written(one, exclude_unset) for one in part)
        else:
            yield _written(part, exclude_unset)[1:-1]
    while values:
        del values[-together:]


def _written(value: Any, exclude_unset: bool) -> bytes:
    if isinstance(value, BaseModel):
        return value.__pydantic_serializer__.to_json(value, exclude_unset=exclude_unset)
    return to_json(value, inf_nan_mode="null")


def _joined(parts: Iterable[bytes]) -> Iterator[bytes]:
    for number, part in enumerate(parts):
        yield b"," + part if number else part
