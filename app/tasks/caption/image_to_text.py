"""``POST /caption/hf``: request and answer of Hugging Face's image-to-text task."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from pydantic import BaseModel

from app.core.beam import BeamResult
from app.core.schema import ModelReference
from app.tasks.caption.model import CaptionModel, PreparedPictures
from app.tasks.caption.pictures import BEGINNINGS, MEDIA_TYPES
from app.tasks.caption.schema import (
    GeneratedText,
    ImageToTextAnswer,
    ImageToTextFile,
    ImageToTextRequest,
)
from app.tasks.task import BodyReader, Operation

Requests = ImageToTextRequest | ImageToTextFile


class FileQuery(BaseModel):
    model: ModelReference = None


@dataclass(frozen=True, slots=True)
class ImageToText:
    """See :class:`app.tasks.model.Answering`."""

    model: CaptionModel

    def milliseconds(self, request: Requests) -> float:
        return self.model.milliseconds(request.plain())

    def prepare(self, request: Requests) -> PreparedPictures:
        return self.model.prepare(request.plain())

    def finish(self, prepared: PreparedPictures, outputs: Sequence[BeamResult]) -> ImageToTextAnswer:
        answer = self.model.finish(prepared, outputs)
        return ImageToTextAnswer([GeneratedText(generated_text=item.text) for item in answer.captions])


def _file(body: bytes, query: FileQuery, limits: object) -> ImageToTextFile:
    return ImageToTextFile(data=body, model=query.model)


OPERATIONS = (
    Operation(
        path="/caption/hf",
        doc="""Caption as Hugging Face's image-to-text task does.

The body is a picture file, or JSON with the file in base64 as `inputs`.""",
        request=ImageToTextRequest,
        answer=ImageToTextAnswer,
        of=ImageToText,
        reads=(
            BodyReader(
                name="picture", media_types=MEDIA_TYPES, read=_file, query=FileQuery, begins=BEGINNINGS
            ),
        ),
    ),
)
