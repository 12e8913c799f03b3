"""``WS /transcribe``: samples in binary frames in; what is heard so far, and segments that are over, out."""

from __future__ import annotations

import base64
from collections.abc import Iterator
from typing import Any

from app.core.errors import InvalidInput
from app.core.schema import Answer
from app.tasks.live import Live
from app.tasks.session import Context, Output
from app.tasks.transcribe.schema import LiveDone, LiveFinal, LivePartial, LiveReady, StartMessage


def _options(start: StartMessage) -> Context:
    return {"rate": start.sample_rate, "encoding": start.encoding, "endpoint_ms": start.endpoint_ms}


def _width(start: StartMessage) -> int:
    return 1 if start.encoding == "mulaw" else 2


def _ready(start: StartMessage, model: str, context: Context) -> LiveReady:
    for name, key in (("sample_rate", "rate"), ("encoding", "encoding")):
        if getattr(start, name) != context[key]:
            text = f"session {start.session!r} began with {context[key]}; it goes on with that"
            raise InvalidInput(name, text, allowed=[context[key]])
    if context.get("finished"):
        text = f"the sound of session {start.session!r} has been finished; take another id"
        raise InvalidInput("session", text)
    return LiveReady(model=model, session=start.session, samples=context["samples"])


def _inputs(data: bytes, last: bool) -> dict[str, Any]:
    return {"pcm16": base64.b64encode(data).decode(), "finish": last}


def _said(output: Output) -> Iterator[Answer]:
    for segment in output["segments"]:
        yield LiveFinal.model_validate(segment)
    if output["finished"]:
        yield LiveDone(samples=output["samples"], segments=output["heard"])
    else:
        yield LivePartial.model_construct(type="partial", text=output["text"], samples=output["samples"])


LIVE = Live(
    start=StartMessage,
    frames=(LiveReady, LivePartial, LiveFinal, LiveDone),
    options=_options,
    width=_width,
    ready=_ready,
    inputs=_inputs,
    said=_said,
)
