"""Speech recognition on one bundle: samples are steps, and each step's output is read."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from app.bundle.reader import Bundle
from app.core.errors import InvalidInput, over_limit
from app.core.numbers import LEAST_LOGPROB
from app.core.sequence import Read
from app.tasks.model import Prepared, blocks_of
from app.tasks.transcribe.answers import segment_answer
from app.tasks.transcribe.audio import (
    FORMATS,
    Samples,
    at_rate,
    check_rate,
    rates_of,
    raw_samples,
    read_sound,
)
from app.tasks.transcribe.ctc import WordReader, best_paths
from app.tasks.transcribe.schema import (
    AlternativeAnswer,
    Sound,
    TranscribeLimits,
    TranscribeRequest,
    Transcript,
    from_base64,
)
from app.tasks.transcribe.session import HearingSession
from app.tasks.transcribe.spec import TranscribeSpec
from app.tasks.transcribe.steps import pause_steps, whole_steps
from app.tasks.transcribe.tensors import transcribe_tensors

_BEAM = 16
_BEAM_STEPS = 3_000
"""Of a request that asks for several texts: looking for them holds the event loop."""
_MILLISECONDS_PER_KIB = 1.0


@dataclass(slots=True, eq=False, kw_only=True)
class PreparedSound(Prepared):
    duration: float
    request: TranscribeRequest


class TranscribeModel:
    """See :class:`app.tasks.model.AnsweringModel`."""

    def __init__(self, bundle: Bundle, limits: TranscribeLimits) -> None:
        manifest = bundle.manifest
        self._spec = spec = manifest.spec_as(TranscribeSpec)
        self._reference = manifest.reference
        self._limits = limits
        self._words = WordReader(spec)
        self.session = HearingSession(spec, self._words, limits)
        self.tensors = transcribe_tensors(self._reference, spec)
        self.inputs = {
            "sample_rate": spec.sample_rate,
            "stream_rates": rates_of(spec.sample_rate),
            "step_ms": round(1000 * spec.step_seconds, 3),
            "unit": spec.unit,
            "units": len(spec.units),
            "formats": [*FORMATS],
        }
        self.limits = {"max_audio_s": limits.max_audio_s}

    def milliseconds(self, request: TranscribeRequest) -> float:
        size = len(request.data) if isinstance(request, Sound) else len(request.audio or request.pcm16 or "")
        return size / 1024 * _MILLISECONDS_PER_KIB

    def prepare(self, request: TranscribeRequest) -> PreparedSound:
        samples, duration = self._samples(request)
        steps = whole_steps(samples, self._spec)
        if request.n > 1 and len(steps) > _BEAM_STEPS:
            longest = _BEAM_STEPS * self._spec.step_seconds
            text = f"several texts are given of sounds of at most {longest:g} seconds; ask for one"
            raise InvalidInput("n", text, allowed={"max": 1})
        blocks, members = blocks_of([steps], Read.ALL)
        return PreparedSound(blocks=blocks, members=members, duration=duration, request=request)

    def finish(self, prepared: PreparedSound, outputs: list[NDArray[np.float32]]) -> Transcript:
        """``outputs``: logits ``[steps, labels]`` of the sound."""
        request, step_s = prepared.request, self._spec.step_seconds
        memory, segments = self._words.push({}, outputs[0], pause_steps(request.endpoint_ms, self._spec))
        segments += self._words.close(memory)[1]
        alternatives = None
        if request.n > 1:
            found = best_paths(outputs[0], max(_BEAM, request.n), request.n)
            alternatives = [
                AlternativeAnswer(
                    text=self._words.text(labels), logprob=round(max(logprob, LEAST_LOGPROB), 6)
                )
                for labels, logprob in found
            ]
        words = request.timestamps == "word"
        told = [segment_answer(segment, step_s, words=words) for segment in segments]
        return Transcript(
            model=self._reference,
            text=" ".join(segment.text for segment in told),
            duration=round(prepared.duration, 4),
            segments=told,
            alternatives=alternatives,
        )

    def _samples(self, request: TranscribeRequest) -> tuple[Samples, float]:
        rate, most = self._spec.sample_rate, self._limits.max_audio_s
        if isinstance(request, Sound):
            data, field, encoding = request.data, "body", request.encoding
        else:
            field = "audio" if request.pcm16 is None else "pcm16"
            data, encoding = from_base64(request.audio or request.pcm16 or "", field), "pcm16"
        if request.rate is None:
            return read_sound(data, rate, most, field)
        check_rate(request.rate, rate, "rate")
        samples = raw_samples(data, encoding, field)
        if len(samples) > most * request.rate:
            raise over_limit(field, most, f"the sound is longer than {most:g} seconds, which is the limit")
        return at_rate(samples, request.rate, rate, field), len(samples) / request.rate
