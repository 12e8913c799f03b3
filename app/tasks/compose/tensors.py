"""Chords as tensors: ``chords [batch, time, voices]`` in, -1 for a rest; ``step_nats [batch, time]`` out."""

from __future__ import annotations

from app.tasks.compose.music import REST
from app.tasks.compose.schema import ComposeLimits
from app.tasks.compose.spec import ComposeSpec
from app.tasks.tensor_table import ANY, TensorInput, TensorOutput, TensorTable


def compose_tensors(spec: ComposeSpec, limits: ComposeLimits) -> TensorTable:
    return TensorTable(
        inputs=(
            TensorInput("chords", "INT64", (ANY, ANY, len(spec.voices)), also=("INT32",), by_steps=True),
        ),
        outputs=(TensorOutput("step_nats", "FP32", (ANY, ANY)),),
        meaning={"voices": ", ".join(voice.name for voice in spec.voices), "rest": REST},
        max_rows=limits.max_pieces,
    )
