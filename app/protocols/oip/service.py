"""Inference on tensors: find the model, read its inputs, run its task, give the outputs asked for.

InferRequest --codec--> tensors --the task's run--> tensors --those asked for--> TensorAnswer
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass

from app.core.errors import DeadlineExceeded, InvalidInput
from app.core.limits import Limits
from app.core.tensor import Tensor, TensorSpec
from app.protocols.oip.call import OFF, Rows, TensorCall
from app.protocols.oip.codec import decode, raw_input
from app.protocols.oip.counts import ModelCounts
from app.protocols.oip.parameters import parted
from app.protocols.oip.runs import TensorRun, parameters_of, run_of
from app.protocols.oip.schema import InferRequest, OutputChoice
from app.protocols.oip.sequences import Sequences, sequence_of
from app.service.call import Timing
from app.service.deployment import Deployment
from app.service.inference import InferenceService
from app.sessions.service import SessionService

_UNSERVED = {
    "classification": "the classification extension",
    "shared_memory_region": "shared memory",
}


@dataclass(frozen=True, slots=True, eq=False)
class TensorAnswer:
    """The outputs of a request.

    Attributes:
        model: name of who answered.
        version: of it.
        tensors: in the order in which they were asked for.
        binary: for each, whether its data is to follow the JSON.
        timing: where the time went; ``None`` in a sequence.
    """

    model: str
    version: str
    tensors: list[Tensor]
    binary: list[bool]
    timing: Timing | None


@dataclass(frozen=True, slots=True)
class Signature:
    """The tensors that a model reads and gives.

    Attributes:
        inputs: an optional one can stand for the first.
        outputs: all that can be asked for.
        meaning: what the answers mean, for people.
    """

    inputs: tuple[TensorSpec, ...]
    outputs: tuple[TensorSpec, ...]
    meaning: Mapping[str, str | int]


class TensorService:
    """The served models by their tensors.

    Args:
        inference: the served models.
        sessions: keeps sequences; ``None`` where sessions are turned off.
        limits: of a request.
    """

    def __init__(self, inference: InferenceService, sessions: SessionService | None, limits: Limits) -> None:
        self._inference = inference
        self._limits = limits
        self._counts: dict[str, ModelCounts] = {}
        self._rows = Rows(sessions, limits)
        self._sequences = (
            None if sessions is None else Sequences(inference, sessions, limits.request_timeout_s)
        )

    def counts(self, reference: str) -> ModelCounts:
        """What the requests to a model version came to so far."""
        return self._counts.setdefault(reference, ModelCounts())

    @property
    def has_sequences(self) -> bool:
        """Whether sequences can be kept."""
        return self._sequences is not None

    def find(self, model: str, version: str | None) -> Deployment:
        """Who answers; without a version as the server's own rules choose.

        Raises:
            UnknownModel: nobody.
        """
        return self._inference.find_any(model if version is None else f"{model}@{version}")

    def run_of(self, deployment: Deployment) -> TensorRun:
        """What a model does with tensors."""
        return run_of(deployment.manifest, self._inference, self._rows, self._limits)

    def signature(self, deployment: Deployment) -> Signature:
        """What a model is announced with; what needs sessions just where there are some."""
        tensors = self.run_of(deployment).tensors
        if self.has_sequences:
            return Signature(tensors.inputs, tensors.outputs, tensors.meaning)
        return Signature(
            tuple(one for one in tensors.inputs if not one.optional),
            tuple(one for one in tensors.outputs if not one.each_step),
            tensors.meaning,
        )

    def raw(self, model: str, version: str | None, body: memoryview) -> InferRequest:
        """The request whose body is nothing but the data of the model's first input.

        Raises:
            UnknownModel: no such model.
            InvalidInput: the body cannot be that.
        """
        spec = self.run_of(self.find(model, version)).tensors.inputs[0]
        request = InferRequest(inputs=[raw_input(spec, body)])
        return request if spec.datatype == "BYTES" else request.carrying(body)

    async def infer(self, model: str, version: str | None, request: InferRequest, owner: str) -> TensorAnswer:
        """Answer a request.

        Args:
            model: its name.
            version: or a label; ``None`` leaves it to the server.
            request: with its binary data.
            owner: whose sequences it may touch.

        Raises:
            UnknownModel: no such model.
            InvalidInput, ValidationError: the request is wrong.
            DeadlineExceeded: the request's own timeout passed.
        """
        deployment = self.find(model, version)
        with self.counts(deployment.manifest.reference).request() as count:
            answer = await self._infer(deployment, version, request, owner)
            count.timing = answer.timing
            count.rows = len(answer.tensors[0].array)
        return answer

    async def _infer(
        self, deployment: Deployment, version: str | None, request: InferRequest, owner: str
    ) -> TensorAnswer:
        run = self.run_of(deployment)
        reserved, own = parted(request.parameters, parameters_of(run))
        sequence = sequence_of(reserved, deployment.manifest.name)
        async with _within(reserved.timeout):
            if sequence is not None:
                sequences = self._kept()
                deployment = await sequences.deployment(
                    sequence, deployment, owner, pinned=version is not None
                )
                run = self.run_of(deployment)
            call = TensorCall(
                deployment,
                decode(request.inputs, request.binary, run.tensors.inputs),
                own,
                _wanted(self.signature(deployment), deployment, request.outputs),
                owner,
            )
            timing = None
            if sequence is None:
                tensors, timing = await run.once(call)
            else:
                tensors = await self._kept().apply(sequence, call, run)
        chosen = _chosen(tensors, call.outputs)
        binary = _binary(chosen, request.outputs, usual=reserved.binary_data_output)
        manifest = deployment.manifest
        return TensorAnswer(manifest.name, manifest.version, chosen, binary, timing)

    def _kept(self) -> Sequences:
        if self._sequences is None:
            raise InvalidInput("sequence_id", f"{OFF} sequences")
        return self._sequences


def _wanted(
    signature: Signature, deployment: Deployment, outputs: Sequence[OutputChoice] | None
) -> tuple[str, ...] | None:
    if not outputs:
        return None
    known = [spec.name for spec in signature.outputs]
    for one in outputs:
        if one.name not in known:
            raise InvalidInput(
                "outputs",
                f"unexpected inference output {one.name!r} for model {deployment.manifest.name!r}; "
                f"it has {', '.join(known)}",
                allowed=known,
            )
        for parameter, what in _UNSERVED.items():
            if parameter in one.parameters:
                raise InvalidInput("outputs", f"output {one.name!r}: {what} is not served here")
        if not isinstance(one.parameters.get("binary_data", False), bool):
            raise InvalidInput("outputs", f"output {one.name!r}: binary_data is true or false")
    return tuple(dict.fromkeys(one.name for one in outputs))


def _chosen(tensors: list[Tensor], names: tuple[str, ...] | None) -> list[Tensor]:
    if names is None:
        return tensors
    found = {one.name: one for one in tensors}
    for name in names:
        if name not in found:
            raise InvalidInput("outputs", f"output {name!r} cannot be made of the inputs of this request")
    return [found[name] for name in names]


def _binary(tensors: list[Tensor], outputs: Sequence[OutputChoice] | None, *, usual: bool) -> list[bool]:
    said = {one.name: one.parameters.get("binary_data", usual) for one in outputs or ()}
    return [said.get(one.name, usual) for one in tensors]


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
