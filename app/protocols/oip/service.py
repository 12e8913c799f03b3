"""Inference on tensors: find the model, read its rows, run them, give the outputs asked for."""

from __future__ import annotations

import asyncio
import time
from collections import defaultdict
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

from app.bundle.manifest import Manifest
from app.core.errors import DeadlineExceeded, InvalidInput
from app.core.limits import Limits
from app.core.schema import Request
from app.protocols.oip.codec import decode, raw_input, rows_of
from app.protocols.oip.run import TensorCall, TensorRuns
from app.protocols.oip.schema import InferRequest, OutputChoice, SequenceParameters
from app.protocols.oip.sequences import Sequences, sequence_of
from app.service.call import Timing
from app.service.catalog import Deployment
from app.service.inference import InferenceService
from app.sessions.service import SessionService
from app.tasks.tensor_table import Tensor, TensorInput, TensorOutput, TensorTable

_UNSERVED = {"classification": "the classification extension", "shared_memory_region": "shared memory"}
_PASSED_OVER = frozenset({"headers", "content_type"})


@dataclass(frozen=True, slots=True, eq=False)
class TensorAnswer:
    """The outputs asked for; ``binary`` ones follow the JSON. There is no ``timing`` in a sequence."""

    manifest: Manifest
    tensors: list[Tensor]
    binary: list[bool]
    timing: Timing | None


@dataclass(slots=True)
class ModelCounts:
    """What the requests to a model version came to since it was first asked; ``rows`` were answered."""

    rows: int = 0
    last_at: float = 0.0
    seconds: dict[str, float] = field(default_factory=dict)
    counts: dict[str, int] = field(default_factory=dict)

    def add(self, name: str, seconds: float) -> None:
        self.counts[name] = self.counts.get(name, 0) + 1
        self.seconds[name] = self.seconds.get(name, 0.0) + seconds


class TensorService:
    def __init__(self, inference: InferenceService, sessions: SessionService | None, limits: Limits) -> None:
        self._inference = inference
        self.counts: defaultdict[str, ModelCounts] = defaultdict(ModelCounts)
        self._runs = TensorRuns(inference, sessions)
        self._sequences = Sequences(inference, self._runs, limits.request_timeout_s)
        self.has_sequences = sessions is not None

    def find(self, model: str, version: str | None) -> Deployment:
        """Who answers; ``None`` leaves the version to the server. Raises UnknownModel."""
        return self._inference.find_any(model if version is None else f"{model}@{version}")

    def inputs(self, table: TensorTable) -> list[TensorInput]:
        """The inputs that are announced; what needs sessions just where there are some."""
        return [spec for spec in table.inputs if self.has_sequences or not spec.optional]

    def outputs(self, table: TensorTable) -> list[TensorOutput]:
        return [spec for spec in table.outputs if self.has_sequences or not spec.each_step]

    async def raw(self, model: str, version: str | None, body: memoryview) -> InferRequest:
        spec = (await self.find(model, version).loaded()).tensors.inputs[0]
        request = InferRequest(inputs=[raw_input(spec, body)])
        return request if spec.datatype == "BYTES" else request.carrying(body)

    async def infer(self, model: str, version: str | None, request: InferRequest, owner: str) -> TensorAnswer:
        deployment = self.find(model, version)
        counts = self.counts[deployment.manifest.reference]
        started, outcome = time.perf_counter(), "fail"
        try:
            answer = await self._infer(deployment, version, request, owner)
            counts.rows += len(answer.tensors[0].array)
            outcome = "success"
            if answer.timing is not None:
                counts.add("queue", answer.timing.queue_s)
                counts.add("compute_infer", answer.timing.compute_s)
            return answer
        finally:
            counts.add(outcome, time.perf_counter() - started)
            counts.last_at = time.time()

    async def _infer(
        self, deployment: Deployment, version: str | None, request: InferRequest, owner: str
    ) -> TensorAnswer:
        table: TensorTable = (await deployment.loaded()).tensors
        reserved, parameters = _split(request.parameters, table.parameters)
        sequence = sequence_of(reserved, deployment.manifest.name)
        choices = request.outputs or ()
        async with _within(reserved.timeout):
            if sequence is not None:
                pinned = version is not None
                deployment = await self._sequences.deployment(sequence, deployment, owner, pinned=pinned)
            table = (await deployment.loaded()).tensors
            tensors = decode(request.inputs, request.binary, table.inputs)
            asked = _asked(self.outputs(table), deployment, choices)
            source, rows = rows_of(table.inputs, tensors)
            call = TensorCall(deployment, table, source, rows, parameters, asked, owner)
            if sequence is None:
                made, timing = await self._runs.once(call)
            else:
                made, timing = await self._sequences.apply(sequence, call), None
        chosen = _chosen(made, asked)
        binary = {choice.name: choice.parameters.get("binary_data") for choice in choices}
        usual = reserved.binary_data_output
        follows = [usual if (said := binary.get(tensor.name)) is None else said for tensor in chosen]
        return TensorAnswer(deployment.manifest, chosen, follows, timing)


def _split(given: Mapping[str, Any], model: type[Request]) -> tuple[SequenceParameters, Any]:
    """The reserved parameters of a request, and the model's as its own class; raises ValidationError."""
    reserved, others = {}, {}
    for name, value in given.items():
        if name in SequenceParameters.model_fields:
            reserved[name] = value
        elif name not in _PASSED_OVER and not name.startswith("triton_"):
            others[name] = value
    return SequenceParameters.model_validate(reserved), model.model_validate(others)


def _asked(
    outputs: Sequence[TensorOutput], deployment: Deployment, choices: Sequence[OutputChoice]
) -> tuple[str, ...]:
    """Names of the outputs that a request chooses; empty where it chooses none."""
    known = [spec.name for spec in outputs]
    for choice in choices:
        name = choice.name
        if name not in known:
            model = deployment.manifest.name
            message = f"unexpected inference output {name!r} for model {model!r}; it has {', '.join(known)}"
            raise InvalidInput("outputs", message, allowed=known)
        for parameter, what in _UNSERVED.items():
            if parameter in choice.parameters:
                raise InvalidInput("outputs", f"output {name!r}: {what} is not served here")
        if not isinstance(choice.parameters.get("binary_data", False), bool):
            raise InvalidInput("outputs", f"output {name!r}: binary_data is true or false")
    return tuple(dict.fromkeys(choice.name for choice in choices))


def _chosen(tensors: list[Tensor], names: Sequence[str]) -> list[Tensor]:
    found = {tensor.name: tensor for tensor in tensors}
    for name in names:
        if name not in found:
            raise InvalidInput("outputs", f"output {name!r} cannot be made of the inputs of this request")
    return [found[name] for name in names] or tensors


@asynccontextmanager
async def _within(microseconds: int) -> AsyncIterator[None]:
    """Give the request up when its own time has passed; 0 sets none."""
    limit = asyncio.timeout(microseconds / 1e6 if microseconds else None)
    try:
        async with limit:
            yield
    except TimeoutError:
        if not limit.expired():
            raise
        raise DeadlineExceeded(f"the request took longer than its timeout of {microseconds} us") from None
