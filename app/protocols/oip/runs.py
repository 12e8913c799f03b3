"""How each task answers a request on tensors: once, or as part of a sequence."""

from __future__ import annotations

from typing import Any, Protocol

from app.bundle.manifest import Manifest
from app.core.errors import InvalidInput
from app.core.limits import Limits
from app.core.schema import Request
from app.core.tensor import Tensor
from app.protocols.oip.call import Place, Rows, TensorCall, only, together
from app.protocols.oip.forecast_tensors import ForecastTensors
from app.protocols.oip.generate_tensors import GenerateTensors
from app.protocols.oip.parameters import ForecastParameters, GenerateParameters, SentimentParameters
from app.protocols.oip.rows import same_length
from app.protocols.oip.sentiment_tensors import SentimentTensors
from app.service.call import Timing
from app.service.inference import InferenceService
from app.tasks.forecast.actions import FORECAST, SessionForecast
from app.tasks.forecast.spec import ForecastSpec
from app.tasks.forecast.task import ForecastTask
from app.tasks.generate.actions import GENERATE, SessionText
from app.tasks.generate.spec import GenerateSpec
from app.tasks.generate.task import GenerateTask
from app.tasks.sentiment.spec import SentimentSpec

Answered = tuple[list[Tensor], Timing | None]
_WITH_STATE = ("mean", "quantiles")
_VERDICT = ("label", "score", "scores")
_TEXT = ("text", "finish_reason", "completion_tokens", "seed")


class TensorRun(Protocol):
    """What one model does with tensors.

    ``once`` answers a request by itself. ``step`` feeds its row to a session. ``options`` are those of
    the session that a sequence starts, and ``row`` what is fed to it. ``check`` refuses parameters
    that ``step`` would refuse, before anything is fed.
    """

    @property
    def tensors(self) -> ForecastTensors | SentimentTensors | GenerateTensors: ...

    async def once(self, call: TensorCall[Any]) -> Answered: ...

    async def step(self, call: TensorCall[Any], place: Place) -> list[Tensor]: ...

    def options(self, call: TensorCall[Any]) -> dict[str, Any]: ...

    def check(self, call: TensorCall[Any], place: Place) -> None: ...

    def row(self, call: TensorCall[Any]) -> Any: ...


class ForecastRun:
    """Forecasts of rows, or from where a sequence is."""

    def __init__(self, tensors: ForecastTensors, inference: InferenceService, rows: Rows) -> None:
        self.tensors = tensors
        self._inference = inference
        self._rows = rows

    async def once(self, call: TensorCall[ForecastParameters]) -> Answered:
        """Forecast every row."""
        found: list[Tensor] = []
        timing = None
        if call.wants(_WITH_STATE, usual=True):
            answer, timing = await self._inference.forecast(
                self.tensors.request(call.tensors, call.parameters)
            )
            found += self.tensors.answer(answer.forecasts)
        if call.wants(_steps(self.tensors), usual=False):
            events = self.tensors.events(call.tensors)
            found += self.tensors.steps(
                await self._rows.unstored(call, events, self.tensors.options(call.parameters))
            )
        return found, timing

    async def step(self, call: TensorCall[ForecastParameters], place: Place) -> list[Tensor]:
        """Feed the row, and forecast from behind it."""
        found = self.tensors.steps(await self._rows.stored(call, self.row(call), place))
        if call.wants(_WITH_STATE, usual=True):
            ahead = self.tensors.ahead(call.parameters)
            said = await self._rows.sessions.actions.answer(place.id, FORECAST, ahead, call.owner)
            answer = SessionForecast.model_validate_json(said)
            found += self.tensors.answer([answer.forecast])
        return found

    def options(self, call: TensorCall[ForecastParameters]) -> dict[str, Any]:
        """Frequency, season and start."""
        return self.tensors.options(call.parameters)

    def row(self, call: TensorCall[ForecastParameters]) -> list[float | None]:
        """The values to feed."""
        return only(self.tensors.events(call.tensors))

    def check(self, call: TensorCall[ForecastParameters], place: Place) -> None:
        """Refuse a horizon or levels that the model does not know before anything is fed."""
        given = self.tensors.options(call.parameters)
        if place.seq is None and given:
            raise InvalidInput(next(iter(given)), f"{', '.join(given)}: only at the start of a sequence")
        task, parameters = call.deployment.task, call.parameters
        asked = (parameters.horizon, parameters.quantiles, parameters.levels)
        if isinstance(task, ForecastTask) and any(one is not None for one in asked):
            task.prepare(self.tensors.trial(parameters))


class SentimentRun:
    """Verdicts on texts, or on what a sequence has read so far."""

    def __init__(self, tensors: SentimentTensors, inference: InferenceService, rows: Rows) -> None:
        self.tensors = tensors
        self._inference = inference
        self._rows = rows

    async def once(self, call: TensorCall[SentimentParameters]) -> Answered:
        """Judge every row."""
        found: list[Tensor] = []
        timing = None
        request = self.tensors.request(call.tensors)
        if request is not None and call.wants(_VERDICT, usual=True):
            answer, timing = await self._inference.sentiment(request)
            found += self.tensors.answer(answer.results)
        if request is None or call.wants(_steps(self.tensors), usual=False):
            rows = await self._rows.unstored(call, self.tensors.events(call.tensors), {})
            if request is None:
                found += self.tensors.last(rows)
            if call.wants(_steps(self.tensors), usual=False):
                same_length(rows)
                found += self.tensors.steps(rows)
        return found, timing

    async def step(self, call: TensorCall[SentimentParameters], place: Place) -> list[Tensor]:
        """Feed the row's tokens, and judge behind them."""
        rows = await self._rows.stored(call, self.row(call), place)
        return [*self.tensors.last(rows), *self.tensors.steps(rows)]

    def options(self, call: TensorCall[SentimentParameters]) -> dict[str, Any]:
        """There are none."""
        return {}

    def row(self, call: TensorCall[SentimentParameters]) -> str | list[int]:
        """The text or the tokens to feed."""
        return only(self.tensors.events(call.tensors))

    def check(self, call: TensorCall[SentimentParameters], place: Place) -> None:
        """There is nothing to check besides the row."""


class GenerateRun:
    """Texts from prompts; a sequence is fed, or, where a text is asked for, goes on by itself."""

    def __init__(
        self, tensors: GenerateTensors, inference: InferenceService, rows: Rows, max_prompts: int
    ) -> None:
        self.tensors = tensors
        self._inference = inference
        self._rows = rows
        self._max_prompts = max_prompts

    async def once(self, call: TensorCall[GenerateParameters]) -> Answered:
        """Continue every prompt."""
        found: list[Tensor] = []
        timing = None
        if call.wants(_TEXT, usual=True):
            requests = self.tensors.requests(call.tensors, call.parameters, self._max_prompts)
            answers = await together(self._inference.generate(request) for request in requests)
            found += self.tensors.answer([answer for answer, _ in answers])
            timing = max((one for _, one in answers), key=lambda one: one.total_s)
        if call.wants(_steps(self.tensors), usual=False):
            rows = await self._rows.unstored(call, self.tensors.events(call.tensors), {})
            same_length(rows)
            found += self.tensors.steps(rows)
        return found, timing

    async def step(self, call: TensorCall[GenerateParameters], place: Place) -> list[Tensor]:
        """Feed the row's tokens; or feed the prompt, generate, and keep both."""
        if self._writes(call):
            request = self.tensors.advance(call.tensors, call.parameters, place.seq)
            said = await self._rows.sessions.actions.answer(place.id, GENERATE, request, call.owner)
            return self.tensors.answer([SessionText.model_validate_json(said)])
        return self.tensors.steps(await self._rows.stored(call, self.row(call), place))

    def options(self, call: TensorCall[GenerateParameters]) -> dict[str, Any]:
        """There are none."""
        return {}

    def row(self, call: TensorCall[GenerateParameters]) -> str | list[int] | None:
        """The text or the tokens to feed; ``None`` where a text is generated, whose prompt may be empty."""
        if self._writes(call):
            return None
        return only(self.tensors.events(call.tensors))

    def check(self, call: TensorCall[GenerateParameters], place: Place) -> None:
        """Refuse what cannot be generated, and what would be two changes of a sequence."""
        if not self._writes(call):
            return
        task = call.deployment.task
        if isinstance(task, GenerateTask):
            task.prepare(self.tensors.requests(call.tensors, call.parameters, 1)[0], 0)
        if call.wants(_steps(self.tensors), usual=False):
            raise InvalidInput(
                "outputs",
                "in a sequence one request gives either the outputs step_... of what it feeds, or a text",
                allowed=[*_TEXT],
            )

    def _writes(self, call: TensorCall[GenerateParameters]) -> bool:
        return call.wants(_TEXT, usual=call.parameters.max_tokens is not None)


def run_of(manifest: Manifest, inference: InferenceService, rows: Rows, limits: Limits) -> TensorRun:
    """What a bundle does with tensors."""
    if manifest.task == "forecast":
        return ForecastRun(ForecastTensors(manifest, manifest.spec_as(ForecastSpec)), inference, rows)
    if manifest.task == "sentiment":
        return SentimentRun(SentimentTensors(manifest, manifest.spec_as(SentimentSpec)), inference, rows)
    generate = GenerateTensors(manifest, manifest.spec_as(GenerateSpec))
    return GenerateRun(generate, inference, rows, limits.max_choices)


def parameters_of(run: TensorRun) -> type[Request]:
    """The class of a run's own parameters."""
    return run.tensors.parameters


def _steps(tensors: ForecastTensors | SentimentTensors | GenerateTensors) -> list[str]:
    return [spec.name for spec in tensors.outputs if spec.each_step]
