"""Answers that are made without validation are those that pydantic would have constructed."""

from __future__ import annotations

import copy
from typing import Any

import pytest
from pydantic import ValidationError

from app.core.schema import Answer
from app.tasks.forecast.schema import Forecast, ForecastAnswer

FORECAST: dict[str, Any] = {
    "id": "a",
    "timestamps": None,
    "mean": [1.5, float("nan")],
    "quantiles": {"0.1": [0.5, float("inf")]},
    "season": 24,
    "long_season": 168,
    "freq": "h",
    "min": 0.0,
    "max": None,
    "paths": 2,
    "samples": [[1.0, 2.0], [3.0, 4.0]],
}
MADE: list[tuple[type[Answer], dict[str, Any]]] = [
    (Forecast, FORECAST),
    (Forecast, FORECAST | {"id": None, "timestamps": ["2024-01-01", "2024-01-02"]}),
    (ForecastAnswer, {"model": "m@1", "forecasts": [Forecast.made(**FORECAST)]}),
]


@pytest.mark.parametrize(("model", "values"), MADE)
def test_made_is_constructed(model: type[Answer], values: dict[str, Any]) -> None:
    """In every way in which an answer is looked at; numbers that JSON has none for are null."""
    assert set(values) == set(model.model_fields), "every field is given"
    made, constructed = model.made(**values), model.model_construct(**values)
    assert type(made) is model
    assert made.model_dump_json() == constructed.model_dump_json()
    everything: list[dict[str, Any]] = [{}, {"exclude_unset": True}, {"exclude_defaults": True}]
    for options in everything:  # as text, since a NaN does not equal itself
        assert repr(made.model_dump(**options)) == repr(constructed.model_dump(**options))
    assert made.model_fields_set == constructed.model_fields_set == set(values)
    assert repr(made) == repr(constructed)
    assert made.model_extra == constructed.model_extra


def test_a_field_that_is_not_made_is_not_in_the_json() -> None:
    """What few answers have costs the others nothing; read back, it has its default."""
    values = {name: value for name, value in FORECAST.items() if name not in ("paths", "samples")}
    text = Forecast.made(**values | {"mean": [1.5], "quantiles": {}}).model_dump_json()
    assert "paths" not in text
    assert Forecast.model_validate_json(text).samples is None


def test_made_behaves_like_any_other() -> None:
    """It equals its copies, it cannot be changed, and it is read back from its JSON."""
    values = FORECAST | {"mean": [1.5, 2.5], "quantiles": {}}
    made = Forecast.made(**values)
    assert made == Forecast.model_construct(**values) == Forecast(**values)
    assert made == copy.deepcopy(made) == made.model_copy()
    assert Forecast.model_validate_json(made.model_dump_json()) == made
    assert made != Forecast.made(**(values | {"id": "b"}))
    with pytest.raises(ValidationError, match="frozen"):
        made.id = "other"  # type: ignore[misc]  # it must not work
