"""Sessions: one reading in, or several; what the network says after each of them out."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from app.core.errors import InvalidInput
from app.tasks.sequence.outputs import OutputReader
from app.tasks.sequence.steps import Steps
from app.tasks.session import AppliedInputs, Context, EncodedInputs, Output


class ReadingSession:
    """See :class:`app.tasks.session.SessionTask`."""

    def __init__(self, steps: Steps, outputs: OutputReader) -> None:
        self._steps = steps
        self._outputs = outputs

    def open(self, options: Context) -> Context:
        if options:
            raise InvalidInput(f"options.{next(iter(options))}", "this model's sessions have no options")
        return {}

    def encode(self, context: Context, step: int, inputs: Any) -> EncodedInputs:
        steps = self._steps.of_inputs(inputs)
        return EncodedInputs(steps, tuple(range(len(steps))), context, ())

    def describe(self, calls: Sequence[AppliedInputs]) -> list[list[Output]]:
        if not calls:
            return []
        described = iter(self._outputs.read(np.concatenate([call.outputs for call in calls])))
        return [[next(described) for _ in range(len(call.outputs))] for call in calls]
