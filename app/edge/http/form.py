"""A ``multipart/form-data`` body, as browsers and upload helpers send a file: it and fields."""

from __future__ import annotations

import logging
from dataclasses import dataclass, field

from python_multipart.exceptions import FormParserError
from python_multipart.multipart import MultipartParser, parse_options_header

from app.core.errors import InvalidInput

# A form that is wrong is answered; it is nothing for the log.
logging.getLogger("python_multipart.multipart").setLevel(logging.CRITICAL)

FORM_TYPE = "multipart/form-data"
MAX_PARTS = 64
BYTES_PER_MS = 50_000


@dataclass(slots=True)
class Form:
    """``media_type`` is what the form says of the file, in lower case; empty where it says nothing."""

    file: bytes
    media_type: str
    fields: list[tuple[str, str]]


@dataclass(slots=True)
class _Part:
    name: bytearray = field(default_factory=bytearray)
    value: bytearray = field(default_factory=bytearray)
    headers: dict[str, str] = field(default_factory=dict)
    data: list[bytes] = field(default_factory=list)


def read_form(body: bytes, content_type: str) -> Form:
    """The one file of a form, and its other parts as text; raises InvalidInput."""
    boundary = parse_options_header(content_type)[1].get(b"boundary")
    if not boundary:
        raise InvalidInput("content-type", f"{FORM_TYPE} names a boundary")
    parts: list[_Part] = []
    ended = False

    def begin() -> None:
        if len(parts) == MAX_PARTS:
            raise InvalidInput("body", f"the form has more than {MAX_PARTS} parts")
        parts.append(_Part())

    def header_end() -> None:
        part = parts[-1]
        part.headers[part.name.decode("latin-1").lower()] = part.value.decode("utf-8", "replace")
        part.name, part.value = bytearray(), bytearray()

    def end() -> None:
        nonlocal ended
        ended = True

    parser = MultipartParser(
        boundary,
        {
            "on_part_begin": begin,
            "on_header_field": lambda data, start, stop: parts[-1].name.extend(data[start:stop]),
            "on_header_value": lambda data, start, stop: parts[-1].value.extend(data[start:stop]),
            "on_header_end": header_end,
            "on_part_data": lambda data, start, stop: parts[-1].data.append(data[start:stop]),
            "on_end": end,
        },
    )
    try:
        parser.write(body)
        parser.finalize()
    except FormParserError as error:
        raise InvalidInput("body", f"the body is no {FORM_TYPE}: {error}") from error
    if not ended:
        raise InvalidInput("body", f"the {FORM_TYPE} has no end: its last boundary is missing")
    return _form(parts)


def _form(parts: list[_Part]) -> Form:
    files: list[tuple[bytes, str]] = []
    fields: list[tuple[str, str]] = []
    for part in parts:
        options = parse_options_header(part.headers.get("content-disposition", ""))[1]
        data = b"".join(part.data)
        if b"filename" in options:
            kind = part.headers.get("content-type", "").partition(";")[0].strip().lower()
            files.append((data, kind))
        else:
            name = options.get(b"name", b"").decode("utf-8", "replace")
            fields.append((name, data.decode("utf-8", "replace")))
    if len(files) != 1:
        raise InvalidInput("body", f"the form has {len(files)} files; send one, as curl -F file=@FILE does")
    file, media_type = files[0]
    return Form(file, media_type, fields)
