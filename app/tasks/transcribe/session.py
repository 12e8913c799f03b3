"""Sessions: sound in, in pieces of any length; after each, what is heard so far out.

A call is one step of the session, whatever its length. What of a sound does not fill a step of the network
waits in the context.
"""

from __future__ import annotations

import base64
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from app.core.errors import InvalidInput, over_limit
from app.core.schema import Request, read
from app.tasks.session import AppliedInputs, Context, EncodedInputs, Output
from app.tasks.transcribe.answers import segment_answer, text_of
from app.tasks.transcribe.audio import NONE, Encoding, Samples, Thinner, check_rate, raw_samples
from app.tasks.transcribe.ctc import Segment, Word, WordReader
from app.tasks.transcribe.schema import PAUSE_MS, PauseMs, TranscribeLimits, from_base64
from app.tasks.transcribe.spec import TranscribeSpec
from app.tasks.transcribe.steps import as_steps, pause_steps, silence


class SessionOptions(Request):
    """``rate``: samples a second of the calls; the network's own if left out."""

    rate: int | None = None
    encoding: Encoding = "pcm16"
    endpoint_ms: PauseMs = PAUSE_MS


class SoundInputs(Request):
    """Samples in base64, and whether they are the last ones."""

    pcm16: str = ""
    rate: int | None = None
    finish: bool = False


@dataclass(frozen=True, slots=True)
class Told:
    """What is said of a call besides its words."""

    samples: int
    pause: int
    finish: bool


class HearingSession:
    """See :class:`app.tasks.session.SessionTask`."""

    def __init__(self, spec: TranscribeSpec, words: WordReader, limits: TranscribeLimits) -> None:
        self._spec = spec
        self._words = words
        self._limits = limits

    def open(self, options: Context) -> Context:
        asked = read(SessionOptions, options, "options")
        rate = self._spec.sample_rate if asked.rate is None else asked.rate
        check_rate(rate, self._spec.sample_rate, "options.rate")
        return {"rate": rate, "encoding": asked.encoding, "endpoint_ms": asked.endpoint_ms, "samples": 0}

    def encode(self, context: Context, step: int, inputs: Any) -> EncodedInputs:
        asked = self._inputs(inputs)
        if context.get("finished"):
            raise InvalidInput("inputs", "the sound of this session has been finished; open another session")
        rate = context["rate"]
        if asked.rate not in (None, rate):
            text = f"the session began with {rate} samples a second; it goes on with them"
            raise InvalidInput("inputs.rate", text, allowed=[rate])
        samples = raw_samples(from_base64(asked.pcm16, "inputs.pcm16"), context["encoding"], "inputs.pcm16")
        most = self._limits.max_audio_s
        if len(samples) > most * rate:
            raise over_limit("inputs.pcm16", most, f"a call may hold at most {most:g} seconds of sound")
        first = context["samples"]
        thinner = Thinner(rate // self._spec.sample_rate)
        kept, tail = thinner.run(_unpacked(context.get("tail")), samples, first)
        whole = np.concatenate([_unpacked(context.get("left")), kept])
        if asked.finish:
            whole = np.concatenate([whole, silence(len(whole), self._spec)])
        used = len(whole) // self._spec.step_samples * self._spec.step_samples
        after = {**context, "samples": first + len(samples)}
        after |= {"tail": _packed(tail), "left": _packed(whole[used:]), "finished": asked.finish}
        pause = pause_steps(context["endpoint_ms"], self._spec)
        steps = as_steps(whole[:used], self._spec)
        return EncodedInputs(steps, (0,), after, (Told(after["samples"], pause, asked.finish),))

    def describe(self, calls: Sequence[AppliedInputs]) -> list[list[Output]]:
        return [[self._heard(call)] for call in calls]

    def _heard(self, call: AppliedInputs) -> Output:
        (told,) = call.encoded.detail
        step_s, count, memory = self._spec.step_seconds, call.memory.get("segments", 0), call.memory
        ended: list[Segment] = []
        if len(call.outputs):
            memory, ended = self._words.push(memory, call.outputs, told.pause)
        if told.finish:
            memory, last = self._words.close(memory)
            ended += last
        heard = count + len(ended)
        call.memory.update(memory, segments=heard)
        finals = [
            {"segment": count + index, **segment_answer(segment, step_s).model_dump()}
            for index, segment in enumerate(ended)
        ]
        text = text_of([Word(*word) for word in memory.get("words", ())])
        return {
            "samples": told.samples,
            "text": text,
            "segments": finals,
            "heard": heard,
            "finished": told.finish,
        }

    def _inputs(self, inputs: Any) -> SoundInputs:
        """Also a list of samples between -1 and 1, as the Open Inference Protocol sends them."""
        if isinstance(inputs, dict):
            return read(SoundInputs, inputs, "inputs")
        return SoundInputs(pcm16=_packed(samples_of(inputs, "inputs")) or "")


def samples_of(values: Any, field: str) -> Samples:
    """Numbers between -1 and 1 as samples; raises InvalidInput."""
    try:
        numbers = np.asarray(values, np.float64)
    except (TypeError, ValueError):
        numbers = np.full(1, np.nan)
    if numbers.ndim != 1 or not np.isfinite(numbers).all() or np.abs(numbers).max(initial=0.0) > 1.0:
        raise InvalidInput(field, 'send {"pcm16": base64}, or a list of samples between -1 and 1')
    return np.clip(np.round(numbers * 32768), -32768, 32767).astype(np.int16)


def _packed(samples: Samples) -> str | None:
    return base64.b64encode(samples.astype("<i2").tobytes()).decode() if len(samples) else None


def _unpacked(text: str | None) -> Samples:
    return NONE if text is None else np.frombuffer(base64.b64decode(text), "<i2").astype(np.int16)
