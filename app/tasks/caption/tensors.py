"""Pictures as tensors: ``image [batch, 3, size, size]`` of FP32 in; ``caption`` and ``score`` out."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from app.core.errors import InvalidInput
from app.core.schema import Request
from app.tasks.caption.schema import LENGTH_PENALTY, CaptionLimits, PictureArrays
from app.tasks.caption.spec import CaptionSpec
from app.tasks.decoded.beams import Beams, LengthPenalty
from app.tasks.tensor_table import ANY, Row, TensorInput, TensorOutput, TensorTable

_LARGEST = 16.0


class CaptionParameters(Request):
    """Of a captioner, as in ``POST /caption``."""

    beams: Beams = None
    length_penalty: LengthPenalty = LENGTH_PENALTY


def caption_tensors(reference: str, spec: CaptionSpec, limits: CaptionLimits) -> TensorTable:
    """The tensors of the captioner ``name@version``."""

    def requests(rows: Sequence[Row], parameters: CaptionParameters) -> list[PictureArrays]:
        arrays = [np.array(row, np.float32) for row in rows]
        for array in arrays:
            if array.shape != spec.input_shape:
                raise InvalidInput("image", f"a picture is {list(spec.input_shape)}, not {list(array.shape)}")
        return [PictureArrays(arrays=arrays, model=reference, **parameters.model_dump())]

    return TensorTable(
        parameters=CaptionParameters,
        inputs=(TensorInput("image", "FP32", (ANY, *spec.input_shape), largest=_LARGEST),),
        outputs=(
            TensorOutput("caption", "BYTES", (ANY,), of=lambda answer: answer.text),
            TensorOutput("score", "FP32", (ANY,)),
        ),
        meaning={
            "pixels": "(value - 127) / 128, red before green before blue",
            "vocabulary": spec.vocabulary,
        },
        requests=requests,
        answers=lambda answer: answer.captions,
        max_rows=limits.max_images,
    )
