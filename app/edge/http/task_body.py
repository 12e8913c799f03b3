"""A body of one of the formats that a task reads, under whatever name the client gives it."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

from pydantic import BaseModel, ValidationError
from starlette.requests import Request

from app.core.errors import InvalidInput, UnsupportedMedia
from app.core.offload import offloaded
from app.edge.edge import edge_of
from app.edge.http.body import JSON_TYPES, UNTOLD_TYPES, is_json, json_text, looks_like_json
from app.edge.http.form import BYTES_PER_MS, FORM_TYPE, read_form
from app.edge.http.routing import query_of
from app.tasks.task import BodyReader

Readers = tuple[BodyReader, ...]


async def read_request(
    request: Request,
    content_type: str,
    body: bytes,
    model: type[BaseModel],
    readers: Readers,
    parse: Callable[[bytes], BaseModel] | None,
    limits: Any,
) -> BaseModel:
    """JSON, by ``parse`` if there is one, or the format of one of the ``readers``, also as a form's file.

    Raises InvalidInput, UnsupportedMedia and ValidationError.
    """
    fields: list[tuple[str, str]] = []
    if readers and content_type == FORM_TYPE:
        cost_ms = len(body) / BYTES_PER_MS
        form = await offloaded(cost_ms, read_form, body, request.headers["content-type"])
        ((body, content_type),), fields = form.files, form.fields
    json = looks_like_json(body)
    reader = _reader(readers, content_type, body, json=json)
    if reader is not None:
        query = None
        if reader.query is not None:
            said = _parameters(request.headers.get("content-type", ""), reader.query, fields)
            query = query_of(request, reader.query, [*fields, *said])
        cost_ms = len(body) / 1024 * reader.milliseconds_per_kib
        return await offloaded(cost_ms, reader.read, body, query, limits)
    if not is_json(content_type):
        raise UnsupportedMedia(content_type, (JSON_TYPES[0], *(reader.media_types[0] for reader in readers)))
    if json and (fields or request.scope["query_string"]):
        _refuse_query(readers, [*request.query_params, *(name for name, _ in fields)])
    body = await json_text(body, edge_of(request))
    try:
        return model.model_validate_json(body) if parse is None else parse(body)
    except ValidationError as error:
        if readers and not json and _is_no_json(error):
            raise _other_format(readers[0]) from error
        raise


def _reader(readers: Readers, content_type: str, body: bytes, *, json: bool) -> BodyReader | None:
    """Of the body. Untold, it is told by how it begins; lines of something else are for the first reader."""
    for reader in readers:
        if content_type in reader.media_types:
            return reader
    if content_type not in UNTOLD_TYPES or json:
        return None
    for reader in readers:
        if reader.begins and body.startswith(reader.begins):
            return reader
    return readers[0] if readers and b"\n" in body.strip() else None


def _parameters(
    content_type: str, query: type[BaseModel], fields: list[tuple[str, str]]
) -> list[tuple[str, str]]:
    """Parameters of the content type that the reader's query has, such as a rate."""
    if fields or ";" not in content_type:
        return []
    pairs = [part.partition("=") for part in content_type.split(";")[1:]]
    named = [(name.strip().lower(), value.strip().strip('"')) for name, _, value in pairs]
    return [(name, value) for name, value in named if name in query.model_fields]


def _refuse_query(readers: Readers, names: Iterable[str]) -> None:
    """Refuse what another content type has in the query, and this one in the body."""
    of_query = {name: reader for reader in readers if reader.query for name in reader.query.model_fields}
    for name in names:
        if name in of_query:
            kind = f"a {of_query[name].name} body is sent with content-type {of_query[name].media_types[0]}"
            raise InvalidInput(name, f"with a JSON body, {name} belongs into the body; {kind}")


def _is_no_json(error: ValidationError) -> bool:
    return error.error_count() == 1 and error.errors(include_url=False)[0]["type"] == "json_invalid"


def _other_format(reader: BodyReader) -> InvalidInput:
    return InvalidInput(
        "body",
        f"the body is not JSON: it begins with neither {{ nor [. {reader.name} keeps its line ends "
        f"(curl --data-binary @FILE, not -d @FILE), with content-type {reader.media_types[0]}",
    )
