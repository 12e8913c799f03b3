"""A ``multipart/form-data`` body, as browsers and upload helpers send a file: it and fields."""

from __future__ import annotations

import logging
from dataclasses import dataclass, field

from python_multipart.exceptions import FormParserError
from python_multipart.multipart import Field, File, FormParser, parse_options_header

from app.core.errors import InvalidInput

# A form that is wrong is answered; it is nothing for the log.
logging.getLogger("python_multipart.multipart").setLevel(logging.CRITICAL)

FORM_TYPE = "multipart/form-data"
MAX_PARTS = 64
BYTES_PER_MS = 50_000


@dataclass(slots=True)
class Form:
    """Files with what the form says of each, in lower case, and names and values of fields."""

    files: list[tuple[bytes, str]] = field(default_factory=list)
    fields: list[tuple[str, str]] = field(default_factory=list)
    ended: bool = False

    def take_field(self, part: Field) -> None:
        self._count()
        name, value = (text or b"" for text in (part.field_name, part.value))
        self.fields.append((name.decode("utf-8", "replace"), value.decode("utf-8", "replace")))

    def take_file(self, part: File) -> None:
        self._count()
        part.file_object.seek(0)
        kind = (part.content_type or "").partition(";")[0].strip().lower()
        self.files.append((part.file_object.read(), kind))

    def end(self) -> None:
        self.ended = True

    def _count(self) -> None:
        if len(self.files) + len(self.fields) == MAX_PARTS:
            raise InvalidInput("body", f"the form has more than {MAX_PARTS} parts")


def read_form(body: bytes, content_type: str) -> Form:
    """A form with one file; raises InvalidInput."""
    boundary = parse_options_header(content_type)[1].get(b"boundary")
    if not boundary:
        raise InvalidInput("content-type", f"{FORM_TYPE} names a boundary")
    form = Form()
    kept = {"MAX_MEMORY_FILE_SIZE": len(body)}
    try:
        parser = FormParser(FORM_TYPE, form.take_field, form.take_file, form.end, boundary, config=kept)
        parser.write(body)
        parser.finalize()
    except FormParserError as error:
        raise InvalidInput("body", f"the body is no {FORM_TYPE}: {error}") from error
    if not form.ended:
        raise InvalidInput("body", f"the {FORM_TYPE} has no end: its last boundary is missing")
    if len(form.files) != 1:
        raise InvalidInput(
            "body", f"the form has {len(form.files)} files; send one, as curl -F file=@FILE does"
        )
    return form
