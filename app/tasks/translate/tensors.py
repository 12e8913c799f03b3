"""Translation as tensors: ``text [batch]`` of BYTES in; ``translation``, ``score`` and ``source`` out."""

from __future__ import annotations

from collections.abc import Sequence

from app.core.schema import Request
from app.tasks.decoded.beams import Beams, LengthPenalty
from app.tasks.session import Examples
from app.tasks.tensor_table import ANY, Row, TensorInput, TensorOutput, TensorTable
from app.tasks.translate.schema import LENGTH_PENALTY, TranslateLimits, TranslateRequest
from app.tasks.translate.spec import TranslateSpec

EXAMPLES: Examples = {
    "translate": {
        "summary": "a sentence (translate)",
        "value": {
            "inputs": [
                {"name": "text", "shape": [1], "datatype": "BYTES", "data": ["A man rides a bicycle."]}
            ],
            "outputs": [{"name": "translation"}],
        },
    }
}


class TranslateParameters(Request):
    """Of a translator, as in ``POST /translate``."""

    source: str | None = None
    target: str | None = None
    beams: Beams = None
    length_penalty: LengthPenalty = LENGTH_PENALTY


def translate_tensors(reference: str, spec: TranslateSpec, limits: TranslateLimits) -> TensorTable:
    """The tensors of the translator ``name@version``."""

    def requests(rows: Sequence[Row], parameters: TranslateParameters) -> list[TranslateRequest]:
        return [TranslateRequest(text=[*rows], model=reference, **parameters.model_dump())]

    return TensorTable(
        parameters=TranslateParameters,
        inputs=(TensorInput("text", "BYTES", (ANY,)),),
        outputs=(
            TensorOutput("translation", "BYTES", (ANY,), of=lambda answer: answer.text),
            TensorOutput("score", "FP32", (ANY,)),
            TensorOutput("source", "BYTES", (ANY,)),
        ),
        meaning={"directions": " ".join(spec.pairs), "vocabulary": spec.vocabulary},
        requests=requests,
        answers=lambda answer: answer.translations,
        max_rows=limits.max_texts,
    )
