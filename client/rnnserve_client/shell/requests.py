"""A request typed in a shell: its flags are the fields that the server names."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from rnnserve_client.shell.fields import Field, Operation, Parser, UsageError, operation
from rnnserve_client.shell.lines import lines
from rnnserve_client.sync import SyncClient
from rnnserve_client.tables import CSV_TYPE

STREAM = "stream"


def described(client: SyncClient, path: str) -> Operation | None:
    """What the server says of ``POST path``."""
    return operation(client.document(), path)


def read_fields(about: Operation, prog: str, words: Sequence[str]) -> tuple[dict[str, Any], Path | None]:
    """The fields of a request, and the file that is its body instead; raises UsageError."""
    parser = Parser(prog=prog, description=about.doc, allow_abbrev=False)
    first = about.fields[0] if about.fields else None
    if first is not None:
        text = f"{_help(first)}; - is standard input".removeprefix("; ")
        parser.add_argument("words", nargs="*", metavar=first.name, help=text)
    for field in (*about.fields, *about.beside):
        flag, text = f"--{field.name.replace('_', '-')}", _help(field)
        if field.is_switch:
            parser.add_argument(flag, dest=field.name, action=argparse.BooleanOptionalAction, help=text)
        else:
            parser.add_argument(flag, dest=field.name, action="append", metavar="X", help=text)
    if CSV_TYPE in about.files:
        parser.add_argument("--file", type=Path, metavar="FILE", help="a CSV file, instead of words")
    given = vars(parser.parse_intermixed_args(list(words)))
    file = given.pop("file", None)
    said = given.pop("words", [])
    if first is not None and said:
        if given[first.name] is not None:
            raise UsageError(f"{first.name} is given twice: as {said[0]!r} and by its flag")
        given[first.name] = _piped(said)
    body = {
        field.name: given[field.name] if field.is_switch else field.value(given[field.name])
        for field in (*about.fields, *about.beside)
        if given[field.name] is not None
    }
    return body, file


def tell(answer: Any, as_json: bool) -> None:
    """Print an answer."""
    text = json.dumps(answer, ensure_ascii=False) if as_json else "\n".join(lines(answer))
    print(text)


def tell_frames(frames: Iterator[Mapping[str, Any]], as_json: bool) -> None:
    """Print frames as they come: their texts alone, or each as a line of JSON."""
    shown = ""
    for frame in frames:
        if as_json:
            print(json.dumps(frame, ensure_ascii=False), flush=True)
        elif "text" in frame:
            shown = frame["text"] or shown
            print(frame["text"], end="", flush=True)
    if not as_json and not shown.endswith("\n"):
        print()


def _piped(words: list[str]) -> list[str]:
    return [sys.stdin.read().rstrip("\n")] if words == ["-"] else words


def _help(field: Field) -> str:
    # argparse formats its help with %.
    return field.help.replace("%", "%%").replace("`", "")
