"""Captions by one bundle: each picture is looked at once, then the likeliest captions are looked for."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np
from numpy.typing import NDArray

from app.bundle.reader import Bundle
from app.core.beam import BeamRequest, BeamResult
from app.core.errors import InvalidInput, InvalidManifest, over_limit
from app.core.sequence import Encoded, SequenceRequest
from app.features.text import codec_of
from app.tasks.caption.answers import Answers
from app.tasks.caption.assembler import CaptionAssembler
from app.tasks.caption.pictures import FORMATS, Sight, from_base64
from app.tasks.caption.schema import (
    CaptionAnswer,
    CaptionLimits,
    CaptionOptions,
    CaptionRequest,
    PictureArrays,
    PictureFile,
)
from app.tasks.caption.session import PictureSession
from app.tasks.caption.spec import CaptionSpec
from app.tasks.caption.tensors import caption_tensors
from app.tasks.decoded.beams import Decoder, check_beams, check_stream, streamed
from app.tasks.model import Prepared, StreamStart

_DECODING_MS = 20.0
"""Of one picture, about; how many pixels it has is not known before."""


@dataclass(slots=True, eq=False, kw_only=True)
class PreparedPictures(Prepared):
    request: CaptionOptions


class CaptionModel:
    """See :class:`app.tasks.model.StreamingModel` and :class:`~app.tasks.model.AnsweringModel`."""

    def __init__(self, bundle: Bundle, limits: CaptionLimits) -> None:
        manifest = bundle.manifest
        self._spec = spec = manifest.spec_as(CaptionSpec)
        encoder, attended = manifest.encoder, manifest.attended
        if encoder is None or encoder.input.shape != spec.input_shape:
            raise InvalidManifest(f"a captioner needs an encoder of pictures of {list(spec.input_shape)}")
        if attended is None or attended.length != spec.places:
            raise InvalidManifest(f"the grid has {spec.places} places, and the encoder gives another number")
        self._limits, self._sight = limits, Sight(spec.size, spec.detail, limits.max_pixels)
        codec = codec_of(bundle, spec.vocabulary)
        self._decoder = Decoder(codec, (spec.start_token,), spec.end_token)
        self._answers = Answers(manifest.reference, self._decoder, spec)
        self.session = PictureSession(spec, codec, self._sight, limits)
        self.tensors = caption_tensors(manifest.reference, spec, limits)
        self.inputs = {
            "formats": list(FORMATS),
            "size": spec.size,
            "grid": list(spec.grid),
            "vocabulary": spec.vocabulary,
        }
        self.limits = {
            "max_images": limits.max_images,
            "max_pixels": limits.max_pixels,
            "max_beams": limits.max_beams,
            "max_tokens": spec.max_tokens,
        }
        self._steps = np.array([spec.start_token], np.int64)

    def milliseconds(self, request: CaptionOptions) -> float:
        return _DECODING_MS

    def prepare(self, request: CaptionOptions) -> PreparedPictures:
        pictures = self._pictures(request)
        return PreparedPictures(
            blocks=[],
            members=[[index] for index in range(len(pictures))],
            num_tokens=len(pictures) * self._spec.places,
            sources=pictures,
            begin=partial(self._searches, request),
            request=request,
        )

    def finish(self, prepared: PreparedPictures, outputs: Sequence[BeamResult]) -> CaptionAnswer:
        """``outputs``: of each picture the best hypotheses."""
        return self._answers.whole(outputs, several=prepared.request.n > 1)

    def start(self, request: CaptionOptions, point: None = None) -> StreamStart:
        """The likeliest word at each step, given out as it comes."""
        check_stream(request)
        if request.attention:
            raise InvalidInput("attention", "a stream has none; ask for the whole answer")
        pictures = self._pictures(request)
        return StreamStart(
            sequences=[],
            assembler=CaptionAssembler(self._decoder.codec, self._answers, len(pictures)),
            sources=pictures,
            begin=partial(self._sequences, request),
        )

    def _pictures(self, request: CaptionOptions) -> list[NDArray[np.float32]]:
        """Raises InvalidInput, which names the picture."""
        check_beams(request, self._limits)
        most = self._spec.max_tokens
        for field in ("min_tokens", "max_tokens"):
            if (getattr(request, field) or 0) > most:
                raise over_limit(field, most, f"a caption has at most {most} tokens here")
        if isinstance(request, PictureFile):
            return [self._picture(request.data, "body")]
        if isinstance(request, PictureArrays):
            self._check_count(len(request.arrays), "image")
            return request.arrays
        assert isinstance(request, CaptionRequest)
        self._check_count(len(request.images), "images")
        return [
            self._picture(from_base64(image, field), field)
            for image, field in ((image, f"images.{index}") for index, image in enumerate(request.images))
        ]

    def _check_count(self, count: int, field: str) -> None:
        most = self._limits.max_images
        if count > most:
            raise over_limit(field, most, f"a request may hold at most {most} pictures, got {count}")

    def _picture(self, data: bytes, field: str) -> NDArray[np.float32]:
        return self._sight.seen(self._sight.small(data, field))

    def _searches(self, request: CaptionOptions, encoded: Sequence[Encoded]) -> list[BeamRequest]:
        most, attention = self._spec.max_tokens, request.attention
        return [
            self._decoder.search(request, self._steps, seen, max_tokens=most, attention=attention)
            for seen in encoded
        ]

    def _sequences(self, request: CaptionOptions, encoded: Sequence[Encoded]) -> list[SequenceRequest]:
        return list(map(streamed, self._searches(request, encoded)))
