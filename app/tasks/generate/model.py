"""Generation on one language model: a prompt's tokens are supplied, then the network's own are fed back."""

from __future__ import annotations

from app.bundle.reader import Bundle
from app.core.sequence import SequenceRequest
from app.features.text import codec_of, milliseconds_to_encode
from app.tasks.decoded.prepare import (
    DecodingLimits,
    PreparedText,
    check_decoding,
    prepared_text,
    prompt_ids,
)
from app.tasks.decoded.resume import ResumePoint, first_point
from app.tasks.decoded.schema import TextRequest
from app.tasks.decoded.stream import FrameAssembler
from app.tasks.generate.session import TextSession
from app.tasks.generate.spec import GenerateSpec
from app.tasks.generate.tensors import generate_tensors
from app.tasks.model import StreamStart
from app.tasks.session import SessionView


class GenerateModel:
    """See :class:`app.tasks.model.StreamingModel`; raises BundleError for a bundle that does not fit."""

    def __init__(self, bundle: Bundle, limits: DecodingLimits) -> None:
        manifest = bundle.manifest
        self._spec = spec = manifest.spec_as(GenerateSpec)
        self._reference = manifest.reference
        self.codec = codec_of(bundle, spec.vocabulary)
        self.decoding = limits
        self.session = TextSession(spec, self.codec, limits)
        self.tensors = generate_tensors(self._reference, spec, limits, self.prepare)
        ends = spec.end_token is not None
        self.inputs = {"unit": spec.unit, "vocabulary": spec.vocabulary, "ends_by_itself": ends}
        self.limits = {
            "max_prompt_chars": limits.max_text_chars,
            "max_prompt_tokens": limits.max_prompt_tokens,
            "max_tokens": limits.max_tokens,
            "max_choices": limits.max_choices,
            "max_stop": limits.max_stop,
        }
        self._ends = frozenset() if spec.end_token is None else frozenset([spec.end_token])

    def milliseconds(self, request: TextRequest) -> float:
        return milliseconds_to_encode(len(request.prompt))

    def start(self, request: TextRequest, point: ResumePoint | None = None) -> StreamStart:
        if point is not None:
            point.check(request, self._reference)
        prepared = self.prepare(request, None if point is None else point.seed)
        return self._started(request, prepared, prepared.sequences, point, "")

    def start_from(
        self, view: SessionView, request: TextRequest, point: ResumePoint | None = None
    ) -> StreamStart:
        """As :meth:`start`, going on from a session's state.

        A state that has consumed a token knows the distribution of the next one: its last output. So with an
        empty prompt the first token is drawn from that.
        """
        if point is not None:
            point.check(request, self._reference)
        ids = self._prompt(request)
        supplied = ids
        if view.last is None:
            if self._spec.start_always:
                supplied = [self._spec.start_token, *ids]
            else:
                # The start token is a step of the session like any other: no later text begins with it.
                ids = supplied = ids or [self._spec.start_token]
        prepared = self._prepared(request, ids, supplied, None if point is None else point.seed)
        logits = None if supplied else view.last
        sequences = [
            SequenceRequest(sequence.steps, feedback=sequence.feedback, start=view.row, first_logits=logits)
            for sequence in prepared.sequences
        ]
        return self._started(request, prepared, sequences, point, view.mark)

    def prepare(self, request: TextRequest, seed: int | None = None) -> PreparedText:
        ids = self._prompt(request)
        supplied = [self._spec.start_token, *ids] if self._spec.start_always or not ids else ids
        return self._prepared(request, ids, supplied, seed)

    def _prompt(self, request: TextRequest) -> list[int]:
        check_decoding(request, self.decoding)
        return prompt_ids(request.prompt, self.codec, self._spec.vocabulary, self.decoding)

    def _prepared(
        self, request: TextRequest, prompt: list[int], supplied: list[int], seed: int | None
    ) -> PreparedText:
        return prepared_text(request, prompt, supplied, codec=self.codec, ends=self._ends, seed=seed)

    def _started(
        self,
        request: TextRequest,
        prepared: PreparedText,
        sequences: list[SequenceRequest],
        point: ResumePoint | None,
        origin: str,
    ) -> StreamStart:
        point = point or first_point(request, self._reference, prepared.seed, origin)
        return StreamStart(sequences, FrameAssembler(self._reference, self.codec, prepared, point))
