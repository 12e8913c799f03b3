"""A session's state as a value: handed out, and carried by the client."""

from __future__ import annotations

import math
from typing import Any

from app.core.errors import InvalidInput, ModelMismatch
from app.service.catalog import Deployment
from app.sessions.access import SessionAccess
from app.sessions.portable import PortableState, StateSigner
from app.sessions.record import NO_ROW
from app.sessions.schema import RowField, SessionRow, StateAnswer, StatelessAnswer, StatelessRequest
from app.sessions.steps.stepping import Stepper
from app.tasks.session import Output


class SessionStates:
    def __init__(self, access: SessionAccess, stepper: Stepper, signer: StateSigner) -> None:
        self._access = access
        self._stepper = stepper
        self._signer = signer

    async def opened(
        self, model: str | None, task: str | None, options: dict[str, Any], state: str | None
    ) -> PortableState:
        """A fresh state of a model, or what a portable one says."""
        if state is None:
            deployment = self._find(model, task)
            manifest = deployment.manifest
            context = (await deployment.loaded()).session.open(options)
            return PortableState(manifest.reference, manifest.networks, 0, context, NO_ROW, None)
        opened = self._signer.open(state)
        if options:
            raise InvalidInput("options", "a state has its own options; leave them out")
        self._access.deployment(opened)
        self.check_model(model, opened.model)
        return opened

    def check_model(self, model: str | None, reference: str) -> None:
        """Raises ModelMismatch where the model that was asked for is not that of a state."""
        if model is None or model in (reference, reference.partition("@")[0]):
            return
        labelled = self._access.inference.catalog.base(model)
        if labelled is None or labelled.manifest.reference != reference:
            raise ModelMismatch(f"the state belongs to {reference}, not to {model}")

    def _find(self, model: str | None, task: str | None) -> Deployment:
        if model is None and task is None:
            raise InvalidInput("model", "name a model, or a task to take its default model")
        if task is not None:
            return self._access.inference.find(task, model)
        return self._access.inference.find_any(model or "")

    async def held(self, id: str, owner: str = "") -> PortableState:
        """The state of a session that is open."""
        record = await self._access.open(id, owner)
        return PortableState(
            record.model, record.graph, record.step, record.context, record.row, record.last, record.memory
        )

    async def export(self, id: str, owner: str = "") -> StateAnswer:
        state = await self.held(id, owner)
        self._access.observe.session("exported")
        return StateAnswer.model_construct(model=state.model, step=state.step, state=self._signer.seal(state))

    async def row(self, id: str, names: tuple[str, ...] = (), owner: str = "") -> SessionRow:
        """The numbers of the state, by the fields of the model's row; of all fields without ``names``."""
        record = await self._access.open(id, owner)
        layout = self._access.deployment(record).manifest.row.fields
        known = [field.name for field in layout]
        for name in names:
            if name not in known:
                raise InvalidInput("fields", f"{record.model} has no field {name!r}", allowed=known)
        fields = [
            RowField.model_construct(
                name=field.name,
                shape=list(field.shape),
                # Seven significant digits; float32 has no more to say.
                values=[
                    float(f"{value:.7g}") for value in record.row[field.offset :][: math.prod(field.shape)]
                ],
            )
            for field in layout
            if record.row.size and (not names or field.name in names)
        ]
        return SessionRow.model_construct(model=record.model, step=record.step, fields=fields)

    async def stateless(self, request: StatelessRequest) -> StatelessAnswer:
        self._access.check_size("options", request.options)
        opened = await self.opened(request.model, request.task, request.options, request.state)
        after, outputs = await self.fed(opened, request.inputs)
        return StatelessAnswer.model_construct(
            model=after.model, step=after.step, outputs=outputs, state=self._signer.seal(after)
        )

    async def fed(self, state: PortableState, inputs: Any) -> tuple[PortableState, list[Output]]:
        """The state after inputs, and what is said of them."""
        return await self._stepper.feed(self._access.deployment(state), state, inputs)
