"""Captions a second, greedy and by four beams, beside the same search in raw ONNX Runtime.

    python -m benchmarks.caption [--seconds 1.5] [--rounds 9] [--models models]

Cuts of one photograph, no two alike, as JPEG of 128 x 128 in JSON; the raw loop has them decoded already.
Beside it: what pictures that arrive cost streams of translations.
"""

from __future__ import annotations

import base64
import io
from pathlib import Path

import numpy as np
from PIL import Image

from app.tasks.caption.pictures import Sight
from app.tasks.caption.spec import CaptionSpec
from benchmarks import attending
from benchmarks.translate import STREAM

_PHOTOGRAPH = Path(__file__).parent.parent / "examples" / "photographer.jpg"
_SIDE = 128


def found(models: Path) -> attending.Measured:
    """The newest captioner."""
    bundle = attending.bundle_of(models, "caption")
    spec = bundle.manifest.spec_as(CaptionSpec)
    sight = Sight(spec.size, spec.detail, _SIDE * _SIDE)
    photograph = Image.open(_PHOTOGRAPH).convert("RGB")

    def inputs(first: int, count: int) -> attending.Inputs:
        files = [cut(photograph, at) for at in range(first, first + count)]
        return np.stack([sight.seen(sight.small(file, "images")) for file in files]), None

    def body(index: int, width: int, **more: int) -> dict[str, object]:
        return {"images": base64.b64encode(cut(photograph, index)).decode(), "beams": width, **more}

    return attending.Measured(
        task="caption",
        things="captions",
        bundle=bundle,
        start=spec.start_token,
        end=spec.end_token,
        most=spec.max_tokens,
        inputs=inputs,
        body=body,
        stream=STREAM,
        reading=lambda index: body(index, 1, max_tokens=1),
        arriving="pictures",
    )


def cut(picture: Image.Image, index: int) -> bytes:
    """A JPEG file of a part of the picture, another for each index."""
    rng = np.random.default_rng(index)
    width, height = (int(rng.integers(side // 2, side)) for side in picture.size)
    left, top = (
        int(rng.integers(0, side - part)) for side, part in zip(picture.size, (width, height), strict=True)
    )
    file = io.BytesIO()
    part = picture.crop((left, top, left + width, top + height))
    part.resize((_SIDE, _SIDE), Image.Resampling.NEAREST).save(file, "JPEG", quality=80)
    return file.getvalue()


if __name__ == "__main__":
    attending.main(__doc__, found)
