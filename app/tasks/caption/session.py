"""Sessions on a captioner: a picture; the words of a caption so far in, what may follow out.

The picture is an option of the session and kept with it as it was sent, so it must be small: the server's
limit on options holds. What the encoder makes of it is made again wherever the session goes on.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict

from app.core.schema import read
from app.features.text import TextCodec, TextInputs, TextLimits
from app.tasks.caption.pictures import Sight, from_base64
from app.tasks.caption.spec import CaptionSpec
from app.tasks.decoded.draft import chosen
from app.tasks.decoded.next_tokens import next_tokens
from app.tasks.session import AppliedInputs, Context, EncodedInputs, Output

_MAX_PIXELS = 1_000_000
"""Few bytes can hold many pixels, and a session's picture is decoded in each call."""


class SessionOptions(BaseModel):
    """``image``: a picture file in base64."""

    model_config = ConfigDict(extra="forbid", strict=True)

    image: str


class PictureSession(TextInputs):
    """See :class:`app.tasks.session.SessionTask`."""

    def __init__(self, spec: CaptionSpec, codec: TextCodec, sight: Sight, limits: TextLimits) -> None:
        super().__init__(codec, spec.vocabulary, limits)
        self._spec, self._sight = spec, replace(sight, max_pixels=min(sight.max_pixels, _MAX_PIXELS))

    def open(self, options: Context) -> Context:
        asked = read(SessionOptions, options, "options")
        self._seen(asked.image)
        return {"image": asked.image}

    def encode(self, context: Context, step: int, inputs: Any) -> EncodedInputs:
        """A step for each word; the start is a step by itself, told where nothing else comes."""
        seen = self._seen(context["image"])
        start = self._spec.start_token
        return chosen(self, inputs, start=start, step=step, context=context, source=seen)

    def _seen(self, image: str) -> NDArray[np.float32]:
        field = "options.image"
        return self._sight.seen(self._sight.small(from_base64(image, field), field))

    def describe(self, calls: Sequence[AppliedInputs]) -> list[list[Output]]:
        """Word, id, how likely it was, and the likeliest that follow."""
        return [next_tokens(call, self._codec) for call in calls]
