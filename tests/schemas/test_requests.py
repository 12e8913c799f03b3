"""Requests: strict, exact about the place of a mistake, and one pass over the bytes."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from app.core.errors import InvalidInput
from app.sessions.schema import of_at_most
from app.tasks.forecast.csv_body import CsvQuery
from app.tasks.forecast.schema import LARGEST_VALUE, ForecastRequest
from app.tasks.generate.schema import GenerateRequest
from app.tasks.sentiment.schema import SentimentRequest


def forecast(**body: Any) -> ForecastRequest:
    """A forecast request from its JSON."""
    return ForecastRequest.model_validate_json(json.dumps({"horizon": 1} | body))


def places(error: ValidationError) -> list[tuple[int | str, ...]]:
    """Where the mistakes are."""
    return [one["loc"] for one in error.errors()]


@given(st.lists(st.none() | st.floats(-LARGEST_VALUE, LARGEST_VALUE), min_size=1))
def test_finite_values_and_nulls_come_through_as_they_are(values: list[float | None]) -> None:
    """Every double of a size that can be forecast survives the way through JSON."""
    assert forecast(values=values).all_series()[0].values == values


def test_whole_numbers_are_numbers_and_words_are_not() -> None:
    """Strict, but 3 is as good as 3.0."""
    assert forecast(values=[1, 2]).values == [1.0, 2.0]
    wrongs: list[object] = ["1", True, [1], {}]
    for wrong in wrongs:
        with pytest.raises(ValidationError) as caught:
            forecast(values=[1.0, wrong, wrong])
        assert places(caught.value) == [("values", 1)], "the first mistake of a list, and only that"


def test_what_holds_for_all_series_is_filled_in() -> None:
    """A series' own start and frequency win."""
    series = [{"values": [1]}, {"id": "b", "values": [2], "freq": "D", "start": "2024-02-01"}]
    first, second = forecast(series=series, freq="h", start="2024-01-01").all_series()
    assert (first.freq, first.start) == ("h", "2024-01-01")
    assert (second.id, second.freq, second.start) == ("b", "D", "2024-02-01")


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({}, "values"),
        ({"values": [1], "series": [{"values": [1]}]}, "values"),
        ({"values": [1], "levels": [80], "quantiles": [0.5]}, "levels"),
    ],
)
def test_alternatives_exclude_each_other(body: dict[str, Any], field: str) -> None:
    """The field is named, and the choices."""
    with pytest.raises(InvalidInput) as caught:
        forecast(**body)
    assert caught.value.field == field
    assert caught.value.allowed


def test_texts_are_one_or_many() -> None:
    """After validation there is one form."""
    assert SentimentRequest.model_validate_json('{"text": "a"}').texts == ["a"]
    assert SentimentRequest.model_validate_json('{"text": ["a", "b"]}').texts == ["a", "b"]
    assert SentimentRequest(text="a").texts == ["a"]


@pytest.mark.parametrize(
    ("text", "place"),
    [(3, ("text",)), (None, ("text",)), ([], ("text",)), (["a", 3], ("text", 1)), (["a", ""], ("text", 1))],
)
def test_a_wrong_text_is_one_mistake_in_one_place(text: object, place: tuple[int | str, ...]) -> None:
    """Not one complaint for each form it could have had."""
    with pytest.raises(ValidationError) as caught:
        SentimentRequest.model_validate_json(json.dumps({"text": text}))
    assert places(caught.value) == [place]


@pytest.mark.parametrize(("stop", "stops"), [("a", ["a"]), (["a", "b"], ["a", "b"]), ([], []), (None, [])])
def test_stop_strings_are_none_one_or_many(stop: object, stops: list[str]) -> None:
    """Null and an empty list both mean none."""
    body = json.dumps({"stop": stop})
    assert GenerateRequest.model_validate_json(body).stops == stops
    assert GenerateRequest().stops == []


def test_a_seed_is_taken_whole() -> None:
    """No double in between that would lose its last digits."""
    assert GenerateRequest.model_validate_json(f'{{"seed": {2**63 - 1}}}').seed == 2**63 - 1


@pytest.mark.parametrize("model", [ForecastRequest, SentimentRequest, GenerateRequest])
def test_unknown_fields_are_refused(
    model: type[ForecastRequest | SentimentRequest | GenerateRequest],
) -> None:
    """A misspelt option is an error, not a default."""
    with pytest.raises(ValidationError) as caught:
        model.model_validate_json('{"horizon": 1, "text": "a", "values": [1], "moddel": "x"}')
    assert ("moddel",) in places(caught.value)


def test_a_csv_query_reads_lists_by_commas() -> None:
    """Spaces do not matter; a wrong element is named."""
    query = CsvQuery.model_validate({"horizon": "3", "quantiles": "0.1, 0.9"})
    assert (query.horizon, query.quantiles) == (3, [0.1, 0.9])
    with pytest.raises(ValidationError) as caught:
        CsvQuery.model_validate({"horizon": "3", "levels": "80,x"})
    assert places(caught.value) == [("levels", 1)]


@pytest.mark.parametrize("call", ["{}", '{"id": "a", "inputs": 1}', '{"id":"a","inputs":1}'])
def test_no_more_calls_are_read_than_may_go_together(call: str) -> None:
    """The first that is wrong, or one too many, ends the reading."""
    bounded = of_at_most(3)
    many = f'{{"steps": [{", ".join([call] * 1000)}]}}'.encode()
    with pytest.raises((InvalidInput, ValidationError)) as refused:
        bounded.model_validate_json(many)
    if isinstance(refused.value, InvalidInput):
        assert (refused.value.field, refused.value.allowed) == ("steps", {"max": 3})
    elif isinstance(refused.value, ValidationError):
        assert refused.value.error_count() == 2
    few = b'{"steps": [{"id": "a", "inputs": "inputs"}, {"id": "b", "inputs": [1]}]}'
    assert [step.id for step in bounded.model_validate_json(few).steps] == ["a", "b"]
