"""What a step promises, on tiny bundles, real engines and a store in memory."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from app.core.errors import (
    InvalidInput,
    SequenceConflict,
    UnknownSession,
)
from app.sessions.steps.calls import StepCall
from app.tasks.forecast.schema import ForecastFromState, ForecastRequest
from app.tasks.generate.schema import GenerateRequest
from tests.bundles import HORIZON
from tests.sessions.bench import Bench, looked, opened


async def test_steps_equal_one_whole_request(bench: Bench) -> None:
    """A series fed in three calls ends in the forecast of the whole series, to the bit."""
    values: list[float | None] = [float((7 * k) % 11) for k in range(30)]
    await bench.service.create(
        opened("tiny-series-lstm", id="s", options={"freq": "h", "start": "2024-01-01T00:00"})
    )
    for first, last in ((0, 1), (1, 12), (12, 30)):
        answer = await bench.step("s", values[first:last], first + 1)
        assert (answer["seq"], answer["step"], len(answer["outputs"])) == (first + 1, last, last - first)
    ahead = await looked(bench.service, "s", ForecastFromState(horizon=HORIZON, levels=[80]))
    whole, _ = await bench.rig.forecast(
        ForecastRequest(values=values, horizon=HORIZON, levels=[80], freq="h", start="2024-01-01T00:00")
    )
    assert ahead.forecast.quantiles == whole.forecasts[0].quantiles
    assert ahead.forecast.timestamps == whole.forecasts[0].timestamps
    assert (ahead.step, ahead.forecast.id) == (30, "s")


async def test_a_value_is_judged_by_the_forecast_that_was_in_force(bench: Bench) -> None:
    """Each output shows the one-step forecast before the value; an outlier scores higher."""
    await bench.service.create(opened("tiny-series-lstm", id="s", options={"freq": "h"}))
    first = await bench.step("s", 10.0)
    assert first["outputs"] == [{"forecast": None, "quantile": None, "anomaly_score": None}]
    early = await bench.step("s", [11.0, 9.0, 10.0, None, 12.0, 10.0, 11.0])
    assert all(output["forecast"] and output["anomaly_score"] is None for output in early["outputs"])
    await bench.step("s", 9.0)
    before = await looked(bench.service, "s", ForecastFromState(horizon=1))
    normal = (await bench.step("s", before.forecast.quantiles["0.5"][0]))["outputs"][0]
    assert normal["forecast"] == {
        k: pytest.approx(v[0], rel=1e-6) for k, v in before.forecast.quantiles.items()
    }
    assert normal["quantile"] == pytest.approx(0.5, abs=1e-3)
    outlier = (await bench.step("s", 1e6))["outputs"][0]
    assert outlier["anomaly_score"] > 3 > normal["anomaly_score"]


async def test_times_fill_gaps_and_must_ascend(bench: Bench) -> None:
    """A missing hour becomes a missing step; a step back in time or off the grid is refused."""
    for id in ("gap", "null"):
        await bench.service.create(opened("tiny-series-lstm", id=id, options={"freq": "h"}))
    await bench.step(
        "gap", [{"value": 1, "time": "2024-01-01T00:00"}, {"value": 3, "time": "2024-01-01T02:00"}]
    )
    await bench.step("null", [{"value": 1, "time": "2024-01-01T00:00"}, None, 3])
    ask = ForecastFromState(horizon=2)
    gap, null = [(await looked(bench.service, id, ask)).forecast for id in ("gap", "null")]
    assert (gap.timestamps, gap.quantiles) == (null.timestamps, null.quantiles)
    assert gap.timestamps == ["2024-01-01T03:00:00", "2024-01-01T04:00:00"]
    assert (await bench.service.view("gap")).step == 2
    for time, reason in (
        ("2024-01-01T02:00", "ascend"),
        ("2024-01-01T03:30", "whole"),
        ("2030-01-01", "missing"),
    ):
        with pytest.raises(InvalidInput, match=reason):
            await bench.step("gap", {"value": 1, "time": time})


async def test_text_sessions_report_labels_and_log_probabilities(bench: Bench) -> None:
    """The running label is the stateless trace; log-probabilities are the sampler's own."""
    await bench.service.create(opened("tiny-mood-gru", id="mood"))
    labels = (await bench.step("mood", "a good film"))["outputs"]
    assert [one["token"] for one in labels] == ["a", "good", "film"]
    assert all(sum(one["scores"].values()) == pytest.approx(1, abs=1e-5) for one in labels)
    text, _ = await bench.rig.generate(
        GenerateRequest(model="tiny-text-gru", prompt="ab", max_tokens=5, seed=1, logprobs=0)
    )
    await bench.service.create(opened("tiny-text-gru", id="text"))
    assert (await bench.step("text", "ab"))["outputs"][0]["logprob"] is None
    fed = (await bench.step("text", text.choices[0].text))["outputs"]
    drawn = text.choices[0].logprobs or []
    assert [one["logprob"] for one in fed] == [one.logprob for one in drawn]


async def test_a_call_is_applied_exactly_once(bench: Bench) -> None:
    """The same seq and inputs again give the stored bytes; other inputs or numbers conflict."""
    await bench.service.create(opened("tiny-text-lstm", id="s"))
    (first,) = await bench.service.steps([StepCall("s", "abc", 1)])
    (again,) = await bench.service.steps([StepCall("s", "abc", 1)])
    assert again == first
    for inputs, seq in (("abd", 1), ("x", 2), ("x", 5)):
        with pytest.raises(SequenceConflict) as caught:
            await bench.step("s", inputs, seq)
        assert (caught.value.step, caught.value.expected) == (3, 4)
    await bench.step("s", "d", 4)
    with pytest.raises(SequenceConflict):
        await bench.step("s", "abc", 1)
    assert bench.rig.counts.steps == 4
    assert bench.rig.counts.sessions.count("replayed") == 1


async def test_two_clients_on_one_session_never_mix(bench: Bench) -> None:
    """Of many calls at once with the same seq exactly one is applied; the others are told."""
    await bench.service.create(opened("tiny-text-lstm", id="s"))
    outcomes = await asyncio.gather(
        *(bench.service.steps([StepCall("s", letter, 1)]) for letter in "abcdefgh")
    )
    applied = [index for index, (outcome,) in enumerate(outcomes) if isinstance(outcome, bytes)]
    assert len(applied) == 1
    assert all(isinstance(one, SequenceConflict) for i, (one,) in enumerate(outcomes) if i not in applied)
    await bench.service.create(opened("tiny-text-lstm", id="alone"))
    await bench.step("alone", "abcdefgh"[applied[0]])
    a, b = await bench.service.states.export("s"), await bench.service.states.export("alone")
    assert a.state == b.state


async def test_a_batch_answers_each_call_on_its_own(bench: Bench) -> None:
    """Unknown sessions, wrong inputs and conflicts fail alone; calls on one session keep their order."""
    for id in ("a", "b"):
        await bench.service.create(opened("tiny-text-lstm", id=id))
    await bench.service.create(opened("tiny-series-gru", id="c"))
    outcomes = await bench.service.steps(
        [
            StepCall("a", "x", 1),
            StepCall("nobody", "x", 1),
            StepCall("a", "y", 2),
            StepCall("b", "x", 7),
            StepCall("c", [1, "two"], 1),
            StepCall("c", [1, 2], 1),
            StepCall("a", "z", 2),
        ]
    )
    kinds = [type(outcome) for outcome in outcomes]
    assert kinds == [bytes, UnknownSession, bytes, SequenceConflict, InvalidInput, bytes, SequenceConflict]
    assert (await bench.service.view("a")).step == 2


@pytest.mark.parametrize(
    ("model", "inputs", "field"),
    [
        ("tiny-series-lstm", [], "inputs"),
        ("tiny-series-lstm", ["1"], "inputs.0"),
        ("tiny-series-lstm", True, "inputs"),
        ("tiny-series-lstm", [1, 1e31], "inputs.1"),
        ("tiny-series-lstm", {"value": 1, "tiem": "x"}, "inputs"),
        ("tiny-series-lstm", {"value": 1, "time": "x"}, "inputs.time"),
        ("tiny-series-lstm", {"value": 1, "time": "2024-01-01"}, "inputs.time"),
        ("tiny-series-lstm", [0] * 41, "inputs"),
        ("tiny-text-lstm", "", "inputs"),
        ("tiny-text-lstm", [], "inputs"),
        ("tiny-text-lstm", [5, 10_000], "inputs.1"),
        ("tiny-text-lstm", [True], "inputs.0"),
        ("tiny-text-lstm", 5, "inputs"),
        ("tiny-text-lstm", "a" * 41, "inputs"),
        ("tiny-mood-gru", "   ", "inputs"),
    ],
)
async def test_wrong_inputs_name_the_element_and_change_nothing(
    bench: Bench, model: str, inputs: Any, field: str
) -> None:
    """Whole or not at all."""
    await bench.service.create(opened(model, id="s"))
    with pytest.raises(InvalidInput) as caught:
        await bench.step("s", inputs, 1)
    assert caught.value.field == field
    assert (await bench.service.view("s")).step == 0
