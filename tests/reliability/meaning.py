"""Random good requests, changed so that they also mean something: by path, what a schema cannot say.

A body that its schema allows is mostly refused all the same: a horizon beyond the model's, quantiles
beside levels, a character that the tokenizer does not know. Then no answer would ever be looked at.
"""

from __future__ import annotations

import base64
import io
import wave
import zlib
from collections.abc import Callable
from typing import Any

from tests.bundles import HORIZON, LETTERS

Body = dict[str, Any]

MODELS = {
    "series": "forecast",
    "mood": "sentiment",
    "text": "generate",
    "sensors": "sequence",
    "music": "compose",
    "ears": "transcribe",
    "tongues": "translate",
    "eyes": "caption",
}

DOT = "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABAQAAAAA3bvkkAAAACklEQVR42mNgAAAAAgAB5Sfe/AAAAABJRU5ErkJggg=="
"""A picture of one pixel, in base64."""


def _wave() -> str:
    """Eight bits a sample, none of them above 127: what is made up for a form is text."""
    file = io.BytesIO()
    with wave.open(file, "wb") as sound:
        sound.setnchannels(1)
        sound.setsampwidth(1)
        sound.setframerate(8000)
        sound.writeframes(bytes(range(128)) * 10)
    return file.getvalue().decode("ascii")


_SOUND = {"pcm16": base64.b64encode(bytes(range(256)) * 5).decode(), "rate": 8000}
_FILE = _wave()
INPUTS: dict[str, Any] = {
    "hourly": [112, 118, None, 129.5],
    "review": "a good film, truly",
    "play": "a play, of letters.",
    "machine": [[0.5, 20.0], [0.7, None]],
    "band": [[62, 50, 57], [64, None, 57]],
    "call": _SOUND,
    "draft": "ein hund",
    "album": "a dog",
}
SESSION_OF = {
    "forecast": "hourly",
    "sentiment": "review",
    "generate": "play",
    "sequence": "machine",
    "compose": "band",
    "transcribe": "call",
    "translate": "draft",
    "caption": "album",
}
_SENTENCE = {"text": "a dog and a cat", "source": "en", "target": "de"}
OPTIONS: dict[str, Body] = {
    "forecast": {"freq": "h"},
    "translate": _SENTENCE,
    "caption": {"image": DOT},
}
"""Of sessions, by task."""
_TENSORS: dict[str, Body] = {
    "series": {"name": "values", "shape": [1, 4], "datatype": "FP32", "data": [112, 118, None, 129]},
    "mood": {"name": "text", "shape": [2], "datatype": "BYTES", "data": ["a good film", "dull"]},
    "text": {"name": "prompt", "shape": [1], "datatype": "BYTES", "data": ["a play"]},
}
CSV = "time,a,b\n2024-01-01,1,4\n2024-01-02,2,\n2024-01-03,4,6\n"


def number_of(value: Any) -> int:
    """Some number that is a function of the value, so that a run repeats."""
    return zlib.crc32(repr(value).encode("utf-8", "surrogatepass"))


def forecast(body: Body, path: Body) -> Body:
    """Few steps ahead, levels that the model knows, one form, and enough observations."""
    body = series_of(_ahead(body), path)
    return body | ({"samples": 2} if body.get("samples") else {})


def backtest(body: Body, path: Body) -> Body:
    """A few places in series that are long enough."""
    body = series_of(body, path)
    for each in body["series"] or [body]:
        each["values"] = [*each["values"], 4, 1, 3, 2, 5, 3, 6, 4]
    return body | {"horizon": 1 + number_of(body) % 3, "origins": 2, "stride": 1, "levels": [80, 50]}


def anomalies(body: Body, path: Body) -> Body:
    """Within an interval that the model knows."""
    return series_of(body, path) | {"level": 80}


def series_of(body: Body, path: Body) -> Body:
    """One form, without bounds that contradict each other, and seasons that there are."""
    body = {**body, "min": None, "max": None}
    series = body.get("series")
    if series:
        body = {**body, "values": None, "series": [_series(one) for one in series]}
    else:
        body = {**_series(body), "series": None}
    if body.get("season"):
        body["season"] = 1 + number_of(body["season"]) % 48
    return body | ({"model": "series"} if body.get("model") else {})


def table(body: Body, path: Body) -> Body:
    """One that can be read, with nothing said of its columns."""
    return {"csv": "day,shop\n2024-03-01,120\n2024-03-02,131\n"}


def sequence(body: Body, path: Body) -> Body:
    """Readings of two columns, of which the second may be missing."""
    return {**body, "rows": INPUTS["machine"], "text": None, "sequences": None, "model": None}


def readings(body: Body, path: Body) -> Body:
    """A table of the same."""
    return {"csv": "vibration,temperature\n0.1,20.5\n0.2,\n"}


def compose(body: Body, path: Body) -> Body:
    """A few steps, with a melody or without; a session is advanced without saying where it is."""
    melody = [{"pitch": 62, "duration": 2}] if body.get("melody") else None
    body = {**body, "steps": 2 + number_of(body) % 9, "bars": None, "melody": melody, "given": {}}
    body |= {"midi": None, "n": 1 + number_of(body) % 3}
    if "id" not in path:
        return body | ({"model": "music"} if body.get("model") else {})
    path["id"] = "band"
    return body | {"seq": None} | ({"n": 1} if body.get("advance") else {})


def score(body: Body, path: Body) -> Body:
    """A piece of three voices."""
    return {"steps": INPUTS["band"]}


def transcribe(body: Body, path: Body) -> Body:
    """Some noise, raw or as a file."""
    sound = _SOUND if number_of(body) % 2 else {"audio": base64.b64encode(_FILE.encode()).decode()}
    return body | {"audio": None, "pcm16": None, "rate": None, "model": None} | sound


def transcription(body: Body, path: Body) -> Body:
    """A file, for a model that hears."""
    return body | {"file": _FILE, "model": "ears"}


def translate(body: Body, path: Body) -> Body:
    """A sentence of known words; a stream has one beam, and a prefix one sentence."""
    if "inputs" in body:
        return {"inputs": "a dog", "parameters": {"src_lang": "en", "tgt_lang": "de"}}
    body = {**body, **_SENTENCE, "max_tokens": 1 + number_of(body) % 8, "n": 1, "model": None}
    return body | (
        {"beams": 1, "alignments": False} if body.get("stream") else {"beams": 1 + number_of(body) % 4}
    )


def libre_translate(body: Body, path: Body) -> Body:
    """The same of LibreTranslate's shape."""
    return {"q": "a dog", "source": "en", "target": "de", "alternatives": number_of(body) % 3}


def libre_detect(body: Body, path: Body) -> Body:
    """Words that are known."""
    return {"q": "ein hund und eine katze"}


def caption(body: Body, path: Body) -> Body:
    """A small picture; a stream has one beam."""
    body = {**body, "images": [DOT], "max_tokens": 1 + number_of(body) % 8, "n": 1, "model": None}
    return body | (
        {"beams": 1, "attention": False} if body.get("stream") else {"beams": 1 + number_of(body) % 4}
    )


def image_to_text(body: Body, path: Body) -> Body:
    """The same picture in Hugging Face's shape."""
    return {"inputs": DOT}


def from_state(body: Body, path: Body) -> Body:
    """The same of a session that has observations."""
    path["id"] = "hourly"
    return _ahead(body)


def generate(body: Body, path: Body) -> Body:
    """Few tokens, few texts, a prompt of known letters; a session is advanced without saying where it is."""
    body = {**body, "max_tokens": 1 + number_of(body) % 32, "n": 1 + number_of(body) % 3}
    body |= {"prompt": _known(body.get("prompt") or ""), "stop": "zzz", "seq": None}
    if "id" not in path:
        del body["seq"]
        return body | ({"model": "text"} if body.get("model") else {})
    path["id"] = "play"
    return body | ({"n": 1} if body.get("advance") else {})


def complete(body: Body, path: Body) -> Body:
    """The same for completions, without what is not offered."""
    neutral = {"suffix", "frequency_penalty", "presence_penalty", "logit_bias", "repetition_penalty"}
    neutral |= {"min_p", "min_tokens", "ignore_eos", "best_of", "stream_options", "max_tokens", "n"}
    body = {name: value for name, value in body.items() if name not in neutral}
    body |= {"prompt": "a play", "stop": None, "n": 1 + number_of(body) % 3}
    return body | ({"model": "text@1"} if body.get("model") else {})


def create(body: Body, path: Body) -> Body:
    """At its start, on a model that there is, under an id that is free, for long enough."""
    options = OPTIONS.get(str(body.get("task")), {})
    free = {"id": None, "model": None, "state": None, "options": options, "ttl_seconds": None}
    return {"task": "generate"} | body | free


def fork(body: Body, path: Body) -> Body:
    """Under an id that is free."""
    return body | {"id": None, "ttl_seconds": None}


def steps(body: Body, path: Body) -> Body:
    """Inputs that the session reads, wherever it is."""
    if path.get("id") not in INPUTS:
        path["id"] = "hourly"
    return {"inputs": INPUTS[path["id"]]}


def many_steps(body: Body, path: Body) -> Body:
    """The same for several."""
    names = [list(INPUTS)[number_of(one) % len(INPUTS)] for one in body["steps"]]
    return {"steps": [{"id": name, "inputs": INPUTS[name]} for name in names]}


def stateless(body: Body, path: Body) -> Body:
    """From the start of a task."""
    task = str(body.get("task"))
    task = task if task in SESSION_OF else "generate"
    return {"task": task, "inputs": INPUTS[SESSION_OF[task]], "options": OPTIONS.get(task, {})}


def rewind(body: Body, path: Body) -> Body:
    """To the start, where every session can go back to."""
    return {"to": 0}


def migrate(body: Body, path: Body) -> Body:
    """To the model that the session has: its rows mean the same."""
    path["id"] = "hourly"
    return {"model": "series"}


def infer(body: Body, path: Body) -> Body:
    """Tensors that the model reads."""
    if path.get("model") not in _TENSORS:
        path["model"] = "series"
    model = path["model"]
    parameters = {"series": {"horizon": 3}, "text": {"max_tokens": 8}}.get(model, {})
    return body | {"inputs": [_TENSORS[model]], "parameters": parameters, "outputs": None}


MEANING: dict[str, Callable[[Body, Body], Body]] = {
    "/forecast": forecast,
    "/forecast/backtest": backtest,
    "/forecast/series": table,
    "/anomalies": anomalies,
    "/sequence": sequence,
    "/sequence/rows": readings,
    "/generate": generate,
    "/compose": compose,
    "/compose/score": score,
    "/transcribe": transcribe,
    "/translate": translate,
    "/libretranslate/translate": libre_translate,
    "/libretranslate/detect": libre_detect,
    "/caption": caption,
    "/caption/hf": image_to_text,
    "/v1/audio/transcriptions": transcription,
    "/v1/completions": complete,
    "/sessions": create,
    "/sessions/steps": many_steps,
    "/sessions/{id}/steps": steps,
    "/sessions/{id}/fork": fork,
    "/sessions/{id}/rewind": rewind,
    "/sessions/{id}/migrate": migrate,
    "/sessions/{id}/forecast": from_state,
    "/sessions/{id}/generate": generate,
    "/sessions/{id}/compose": compose,
    "/steps": stateless,
    "/v2/models/{model}/infer": infer,
    "/v2/models/{model}/versions/{version}/infer": infer,
}
"""By path: a body that the schema allows, and the parameters of the path, which may be changed as well."""


def _ahead(body: Body) -> Body:
    body = {**body, "horizon": 1 + number_of(body.get("horizon")) % HORIZON}
    if body.get("levels"):
        return body | {"levels": [80, 50], "quantiles": None}
    return body | {"levels": None, "quantiles": [0.1, 0.5] if body.get("quantiles") else None}


def _series(body: Body) -> Body:
    """Two observations at least, and a time and spacing that exist."""
    body = {**body, **({"min": None, "max": None} if "min" in body or "max" in body else {})}
    body = {**body, "values": [*(body.get("values") or []), 1, 2.5]}
    for name, value in (("start", "2024-01-01T00:00"), ("freq", "h")):
        if body.get(name):
            body[name] = value
    return body


def _known(prompt: Any) -> Any:
    if isinstance(prompt, str):
        return "".join(LETTERS[ord(letter) % len(LETTERS)] for letter in prompt)
    return [1 + one % (len(LETTERS) - 1) for one in prompt]
