"""Sounds as tensors: ``samples [batch, samples]`` at the model's rate in, ``text [batch]`` out."""

from __future__ import annotations

from collections.abc import Sequence
from types import SimpleNamespace

from app.tasks.tensor_table import ANY, STEP, Row, TensorInput, TensorOutput, TensorTable
from app.tasks.transcribe.schema import Sound
from app.tasks.transcribe.session import samples_of
from app.tasks.transcribe.spec import TranscribeSpec


def transcribe_tensors(reference: str, spec: TranscribeSpec) -> TensorTable:
    def requests(rows: Sequence[Row], parameters: object) -> list[Sound]:
        return [
            Sound(
                data=samples_of(row, f"samples.{index}").astype("<i2").tobytes(),
                rate=spec.sample_rate,
                model=reference,
            )
            for index, row in enumerate(rows)
        ]

    return TensorTable(
        inputs=(TensorInput("samples", "FP32", (ANY, ANY), also=("FP64",), largest=1.0),),
        outputs=(
            TensorOutput("text", "BYTES", (ANY,)),
            TensorOutput(f"{STEP}text", "BYTES", (ANY, ANY)),
        ),
        meaning={"sample_rate": spec.sample_rate},
        requests=requests,
        last=lambda step: SimpleNamespace(text=step["text"]),
    )
