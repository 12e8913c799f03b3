"""``/v1/audio/transcriptions``: a form with a sound file, and what is said in it."""

from __future__ import annotations

import math
import zlib
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Body
from pydantic import BaseModel, ConfigDict, Field, WithJsonSchema
from starlette.requests import Request
from starlette.responses import Response

from app.core.errors import InvalidInput, UnknownModel, UnsupportedMedia
from app.core.offload import offloaded
from app.core.schema import Answer
from app.edge.edge import Edge, edge_of
from app.edge.http.form import BYTES_PER_MS, FORM_TYPE, Form, read_form
from app.edge.http.routing import BytesRoute, bytes_response
from app.protocols.openai.router import ERRORS
from app.tasks.task import BodyReader, Task

SOUND = "audio/wav"
_MEDIA = {"text": "text/plain", "srt": "application/x-subrip", "vtt": "text/vtt"}
_LIST = "timestamp_granularities"
_IGNORED = ("language", "chunking_strategy")
"""A model has its own language, and hears a sound as one."""
# In a form a field that is there once is a list of one.
_GRANULARITY = {"enum": ["word", "segment"]}
_NEUTRAL = {"temperature": ("0", "0.0")}
_LEAST_CONFIDENCE = 1e-4
"""Confidences are rounded to this."""


class TranscriptionRequest(BaseModel):
    """The fields of the form besides the file, which the OpenAI API calls ``file``.

    What is sent besides is refused, unless it changes nothing.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    file: bytes = Field(json_schema_extra={"format": "binary"})
    model: str
    response_format: Literal["json", "text", "srt", "vtt", "verbose_json"] = "json"
    timestamp_granularities: Annotated[
        tuple[Literal["word", "segment"], ...],
        WithJsonSchema({"anyOf": [_GRANULARITY, {"type": "array", "items": _GRANULARITY}]}),
    ] = ("segment",)
    stream: bool = False


class Transcription(Answer):
    """With ``verbose_json`` also the length of the sound, its segments, and its words if asked for."""

    text: str
    language: str | None = None
    duration: float | None = None
    segments: list[dict[str, Any]] | None = None
    words: list[dict[str, Any]] | None = None


class TranscriptDelta(Answer):
    """An event with the next segment, a space before all but the first."""

    type: Literal["transcript.text.delta"] = "transcript.text.delta"
    delta: str


class TranscriptDone(Answer):
    """The last event: the whole text."""

    type: Literal["transcript.text.done"] = "transcript.text.done"
    text: str


class SoundRoute(BytesRoute):
    async def parse(
        self, model: type[BaseModel], content_type: str, body: bytes, request: Request
    ) -> BaseModel:
        if content_type != FORM_TYPE:
            raise UnsupportedMedia(content_type, (FORM_TYPE,))
        form = await offloaded(len(body) / BYTES_PER_MS, read_form, body, request.headers["content-type"])
        return model.model_validate(_fields(form))


router = APIRouter(route_class=SoundRoute, prefix="/v1/audio", tags=["OpenAI"])

_TEXT = {"schema": {"type": "string"}}
_FRAMES = {"anyOf": [frame.model_json_schema() for frame in (TranscriptDelta, TranscriptDone)]}
_DATA = {"type": "string", "contentMediaType": "application/json", "contentSchema": _FRAMES}
_EVENT = {"type": "object", "required": ["data"], "properties": {"data": _DATA}}
_ANSWERS: dict[int | str, dict[str, Any]] = {
    200: {
        "description": "as `response_format` says; with `stream`, events with the segments, then the text",
        "content": dict.fromkeys(_MEDIA.values(), _TEXT) | {"text/event-stream": {"itemSchema": _EVENT}},
    }
}


@router.post("/transcriptions", response_model=Transcription, responses=ERRORS | _ANSWERS)
async def write_down(
    body: Annotated[TranscriptionRequest, Body(media_type=FORM_TYPE)], request: Request
) -> Response:
    """What is said in a sound file."""
    edge = edge_of(request)
    task, reader = _hearing(edge, body.model)
    query = None if reader.query is None else reader.query.model_validate({"model": body.model})
    asked = reader.read(body.file, query, edge.tasks.limits[task.name])
    answer: Any
    answer, timing = await edge.service.answer(task, asked)
    if body.stream:
        return bytes_response(_events(answer), timing, media_type=b"text/event-stream")
    writer = next((one for one in task.writes if one.media_type == _MEDIA.get(body.response_format)), None)
    if writer is not None:
        text = await offloaded(writer.milliseconds(answer), writer.write, answer)
        return bytes_response(text, timing, media_type=f"{writer.media_type}; charset=utf-8".encode())
    said = Transcription(text=answer.text)
    if body.response_format == "verbose_json":
        said = _verbose(answer, body.timestamp_granularities)
    return bytes_response(said.model_dump_json(exclude_none=True).encode(), timing)


def _reader(task: Task) -> BodyReader | None:
    return next((reader for reader in task.reads if SOUND in reader.media_types), None)


def _hearing(edge: Edge, model: str) -> tuple[Task, BodyReader]:
    found = edge.service.catalog.find(model)
    reader = None if found is None else _reader(found.task)
    if found is None or reader is None:
        served = edge.service.catalog.deployments.items()
        raise UnknownModel(model, tuple(key for key, each in served if _reader(each.task)))
    return found.task, reader


def _fields(form: Form) -> dict[str, Any]:
    """Of the form; raises InvalidInput for one that is not supported."""
    known = {*TranscriptionRequest.model_fields, *_IGNORED, *_NEUTRAL}
    values: dict[str, Any] = {"file": form.files[0][0]}
    listed: list[str] = []
    for name, value in form.fields:
        plain = name.removesuffix("[]")
        if plain not in known:
            raise InvalidInput(plain, f"{plain} is not supported here: leave it out", allowed=sorted(known))
        if plain == _LIST:
            listed.append(value)
        elif plain in _NEUTRAL and value not in _NEUTRAL[plain]:
            text = f"{plain} is not supported here: leave it out, or send {_NEUTRAL[plain][0]}"
            raise InvalidInput(plain, text)
        elif plain in TranscriptionRequest.model_fields:
            values[plain] = value
    return values | ({_LIST: tuple(listed)} if listed else {})


def _events(answer: Any) -> bytes:
    """The segments as they would be streamed, then all of the text."""
    texts = (f" {one.text}" if index else one.text for index, one in enumerate(answer.segments))
    frames = [*(TranscriptDelta(delta=text) for text in texts), TranscriptDone(text=answer.text)]
    return b"".join(b"data: " + frame.model_dump_json().encode() + b"\n\n" for frame in frames)


def _verbose(answer: Any, wanted: tuple[str, ...]) -> Transcription:
    segments = [
        {
            "id": index,
            "seek": 0,
            "start": segment.start,
            "end": segment.end,
            "text": segment.text,
            "tokens": [],
            "temperature": 0.0,
            "avg_logprob": round(math.log(max(segment.confidence, _LEAST_CONFIDENCE)), 4),
            "compression_ratio": round(len(data := segment.text.encode()) / len(zlib.compress(data)), 4),
            "no_speech_prob": round(1 - segment.confidence, 4),
        }
        for index, segment in enumerate(answer.segments)
    ]
    words = [
        {"word": word.word, "start": word.start, "end": word.end}
        for segment in answer.segments
        for word in segment.words
    ]
    return Transcription(
        text=answer.text,
        language="unknown",
        duration=answer.duration,
        segments=segments if "segment" in wanted else None,
        words=words if "word" in wanted else None,
    )
