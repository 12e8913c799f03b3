"""The task ``caption``: a picture in, a sentence about it out."""

from __future__ import annotations

import base64
import random
import struct
import zlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from app.tasks.caption.image_to_text import OPERATIONS
from app.tasks.caption.model import CaptionModel
from app.tasks.caption.pictures import BEGINNINGS, MEDIA_TYPES
from app.tasks.caption.schema import (
    CaptionAnswer,
    CaptionLimits,
    CaptionOptions,
    CaptionRequest,
    CaptionsFrame,
    PictureFile,
)
from app.tasks.caption.spec import CaptionSpec
from app.tasks.decoded.draft import PartFrame
from app.tasks.task import BodyReader, Load, LoadOption, Task


def _file(body: bytes, query: CaptionOptions, limits: CaptionLimits) -> PictureFile:
    return PictureFile(data=body, **query.model_dump())


def _noise(side: int, chance: random.Random) -> str:
    """A PNG of so many pixels a side, in base64."""
    lines = b"".join(b"\0" + chance.randbytes(3 * side) for _ in range(side))
    header = struct.pack(">IIBBBBB", side, side, 8, 2, 0, 0, 0)
    chunks = ((b"IHDR", header), (b"IDAT", zlib.compress(lines, 1)), (b"IEND", b""))
    file = b"\x89PNG\r\n\x1a\n" + b"".join(
        struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
        for kind, data in chunks
    )
    return base64.b64encode(file).decode()


def _body(chance: random.Random, options: Mapping[str, int]) -> dict[str, Any]:
    return {"images": [_noise(options["pixels"], chance)], "beams": options["beams"]}


_SMALL = _noise(4, random.Random(0))


TASK = Task(
    name="caption",
    doc="""Caption a picture or several, a sentence each.

The body is a picture file (JPEG, PNG, WebP or GIF, of which the first frame counts), with options in the
query; or JSON with one or several in base64. Beams look for the likeliest sentence, and `n` gives the best
of them; with `attention`, also where in the picture each word looked. A caption never depends on which other
pictures are captioned beside it.""",
    spec=CaptionSpec,
    limits=CaptionLimits,
    open=CaptionModel,
    request=CaptionRequest,
    answer=CaptionAnswer,
    frames=(PartFrame, CaptionsFrame),
    whole=True,
    default_model="captioner",
    reads=(
        BodyReader(
            name="picture",
            media_types=MEDIA_TYPES,
            read=_file,
            query=CaptionOptions,
            begins=BEGINNINGS,
        ),
    ),
    operations=OPERATIONS,
    load=Load(
        options=(
            LoadOption(name="beams", help="of a sentence", default=4, least=1, most=16),
            LoadOption(name="pixels", help="of a side of a picture", default=128, least=1, most=2048),
        ),
        body=_body,
        answered=b'"captions"',
        # Token ids that any vocabulary has.
        inputs=lambda number: b"[1]",
    ),
    page=Path(__file__).with_name("page"),
    examples={
        "picture": {"summary": "A picture of four by four pixels", "value": {"images": [_SMALL]}},
        "attention": {
            "summary": "Three captions, and where each word looked",
            "value": {"images": [_SMALL], "n": 3, "attention": True},
        },
    },
    step_examples={"text": {"summary": "A caption so far", "value": {"inputs": "a dog"}}},
)
