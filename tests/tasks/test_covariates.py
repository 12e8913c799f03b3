"""Covariates from requests to answers, on a tiny forecaster and a real application."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import date, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from starlette.testclient import TestClient

from app.bundle.reader import read_bundle
from app.main import create_app
from app.settings import Settings
from tests.bundles import HORIZON, tiny_covariate_forecaster, tiny_forecaster

START = date(2024, 1, 1)
LENGTH = 40
RANDOM = np.random.default_rng(0)


def shop(seed: int, length: int = LENGTH, ahead: int = HORIZON) -> dict[str, Any]:
    """One series of daily sales with all that the model reads."""
    random = np.random.default_rng(seed)
    values: list[float | None] = [round(float(x), 1) for x in 50 + random.normal(size=length).cumsum()]
    values[3] = None
    return {
        "values": values,
        "start": START.isoformat(),
        "freq": "D",
        "future": {
            "price": random.integers(1, 6, length + ahead).tolist(),
            "promo": random.integers(0, 2, length + ahead).tolist(),
        },
        "past": {"visitors": [None, *random.integers(50, 150, length - 1).tolist()]},
        "static": {"shop": ("Bonn", "Kiel", None)[seed % 3]},
    }


@pytest.fixture(scope="module")
def client(tmp_path_factory: pytest.TempPathFactory) -> Iterator[TestClient]:
    folder = tmp_path_factory.mktemp("models")
    tiny_covariate_forecaster(folder, "shop")
    tiny_forecaster(folder, name="plain")
    with TestClient(
        create_app(Settings(models=folder, default="forecast=shop@1", sessions="memory:"))
    ) as client:
        yield client


def forecast(client: TestClient, **body: Any) -> list[dict[str, Any]]:
    answer = client.post("/forecast", json={"levels": [80]} | body)
    assert answer.status_code == 200, answer.text
    forecasts: list[dict[str, Any]] = answer.json()["forecasts"]
    return forecasts


def refused(client: TestClient, path: str = "/forecast", **body: Any) -> dict[str, Any]:
    answer = client.post(path, json=body)
    assert answer.status_code == 422, answer.text
    error: dict[str, Any] = answer.json()["errors"][0]
    return error


@settings(max_examples=8, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    lengths=st.lists(st.integers(8, 60), min_size=1, max_size=4),
    seed=st.integers(0, 5),
    horizon=st.integers(1, HORIZON),
)
def test_a_series_gets_the_same_bits_alone_and_beside_others(
    client: TestClient, lengths: list[int], seed: int, horizon: int
) -> None:
    series = [shop(seed + place, length) for place, length in enumerate(lengths)]
    together = forecast(client, series=series, horizon=horizon)
    alone = [forecast(client, **one, horizon=horizon)[0] for one in series]
    assert together == alone


@settings(max_examples=8, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(cuts=st.sets(st.integers(1, LENGTH - 1), max_size=6), seed=st.integers(0, 5))
def test_a_session_says_what_the_whole_series_does(client: TestClient, cuts: set[int], seed: int) -> None:
    """Each step carries its covariates, and those known ahead of it; gaps in time are missing steps."""
    whole = shop(seed)
    future, visitors = whole["future"], whole["past"]["visitors"]
    visitors[3] = None
    future["price"][3] = future["promo"][3] = None
    body = {
        "model": "shop",
        "options": {"freq": "D", "start": whole["start"], "static": whole["static"]},
    }
    opened = client.post("/sessions", json=body).json()
    step = 1
    for begin, end in zip([0, *sorted(cuts)], [*sorted(cuts), LENGTH], strict=True):
        events = [
            {
                "value": whole["values"][place],
                "time": (START + timedelta(days=place)).isoformat(),
                "future": {name: values[place : place + 1 + HORIZON] for name, values in future.items()},
                "past": {"visitors": visitors[place]},
            }
            for place in range(begin, end)
            # What a session is not told of is missing, with its covariates.
            if place != 3
        ]
        for event in events:
            for name, values in event["future"].items():
                event["future"][name] = [values[0], *(0 if value is None else value for value in values[1:])]
        if not events:
            continue
        answer = client.post(f"/sessions/{opened['id']}/steps", json={"seq": step, "inputs": events})
        assert answer.status_code == 200, answer.text
        step += len(events)
    answer = client.post(f"/sessions/{opened['id']}/forecast", json={"horizon": HORIZON, "levels": [80]})
    said, (expected,) = answer.json()["forecast"], forecast(client, **whole, horizon=HORIZON)
    for name in ("mean", "quantiles", "timestamps"):
        assert said[name] == expected[name]


def test_a_table_is_the_same_request(client: TestClient) -> None:
    """The rows behind the last value are the horizon; the words of a column without numbers are static."""
    series = [shop(0), shop(1)]
    lines = ["day,shop,sold,price,promo,visitors"]
    for each in series:
        for place in range(LENGTH + 5):
            known = place < LENGTH
            cells = [
                (START + timedelta(days=place)).isoformat(),
                each["static"]["shop"],
                each["values"][place] if known else None,
                each["future"]["price"][place],
                each["future"]["promo"][place],
                each["past"]["visitors"][place] if known else None,
            ]
            lines.append(",".join("" if cell is None else str(cell) for cell in cells))
    query = "levels=80&id=shop&targets=sold&future=price,promo&past=visitors&static=shop"
    for horizon in ("", "&horizon=5"):
        answer = client.post(
            f"/forecast?{query}{horizon}",
            content="\n".join(lines),
            headers={"content-type": "text/csv"},
        )
        assert answer.status_code == 200, answer.text
        expected = forecast(client, series=series, horizon=5)
        for said, one, name in zip(answer.json()["forecasts"], expected, ("Bonn", "Kiel"), strict=True):
            assert said == one | {"id": name}
    answer = client.post(
        f"/forecast?{query}&horizon=6", content="\n".join(lines), headers={"content-type": "text/csv"}
    )
    assert answer.json()["errors"][0]["field"] == "series.0.future.price"


def test_a_covariate_of_a_table_may_have_a_comma_in_its_name(client: TestClient) -> None:
    """As any column may; and blanks may stand around the commas between names."""
    table = 'day,sold,"price, net",a,b\n' + "".join(f"2024-01-{day:02d},{day},1,2,3\n" for day in range(1, 9))
    for named, field in (("future=price, net", "future.price, net"), ("past=a, b", "past.a")):
        answer = client.post(
            f"/forecast?model=plain&targets=sold&{named}", content=table, headers={"content-type": "text/csv"}
        )
        assert answer.json()["errors"][0]["field"] == f"series.0.{field}"


def test_series_share_what_is_given_for_all_and_keep_their_own(client: TestClient) -> None:
    one, other = shop(0), shop(1)
    shared = {name: one.pop(name) for name in ("future", "past")}
    static = {"static": one.pop("static")}
    own = {"future": {"price": other["future"]["price"]}, "values": other["values"]}
    answer = forecast(client, series=[one, own], start=one["start"], freq="D", **shared, **static)
    assert answer[0] == forecast(client, **one, **shared, **static)[0]
    mixed = shared["future"] | own["future"]
    whole = {"values": other["values"], "past": shared["past"], "future": mixed}
    assert answer[1] == forecast(client, **whole, **static, start=one["start"], freq="D")[0]


def test_each_covariate_has_its_effect(client: TestClient) -> None:
    """A forecast changes with the price ahead, at the step that it is of; with visitors and shops."""
    series = shop(0)
    before = forecast(client, **series)[0]
    assert len(before["mean"]) == HORIZON
    price = [*series["future"]["price"]]
    price[LENGTH + 4] += 1
    after = forecast(client, **series | {"future": series["future"] | {"price": price}})[0]
    changed = [one != other for one, other in zip(before["mean"], after["mean"], strict=True)]
    assert changed == [place == 4 for place in range(HORIZON)]
    visitors = [*series["past"]["visitors"][:-1], 149]
    assert forecast(client, **series | {"past": {"visitors": visitors}})[0]["mean"] != before["mean"]
    assert forecast(client, **series | {"static": {"shop": "Kiel"}})[0]["mean"] != before["mean"]
    # Of the holidays New Year's Day alone lies near: in the second series its day is the 40th.
    moved = forecast(client, **series | {"start": "2023-11-21"})[0]
    assert moved["mean"] != forecast(client, **series | {"start": "2024-11-19"})[0]["mean"]


def test_backtests_and_paths_read_covariates(client: TestClient) -> None:
    series = shop(2, ahead=3 * HORIZON)
    body = {**series, "horizon": 5, "origins": 3, "stride": 4, "forecasts": True}
    answer = client.post("/forecast/backtest", json=body)
    assert answer.status_code == 200, answer.text
    for made in answer.json()["series"][0]["forecasts"]:
        cut = made["origin"]
        known = series | {"values": series["values"][:cut], "horizon": 5}
        known["past"] = {"visitors": series["past"]["visitors"][:cut]}
        assert made["mean"] == forecast(client, **known)[0]["mean"]
    far = forecast(client, **series, horizon=3 * HORIZON)[0]
    assert far["mean"][:HORIZON] == forecast(client, **series, horizon=HORIZON)[0]["mean"]
    price = [*series["future"]["price"][:-1], 9]
    future = series["future"] | {"price": price}
    other = forecast(client, **series | {"future": future}, horizon=3 * HORIZON)[0]
    assert far["mean"][:-1] == other["mean"][:-1]
    assert far["mean"][-1] != other["mean"][-1]
    scores = client.post("/anomalies", json=series)
    assert scores.status_code == 200, scores.text


def without(kind: str, name: str) -> dict[str, Any]:
    series = shop(0)
    del series[kind][name]
    return series


PRICE = shop(0)["future"]["price"]


@pytest.mark.parametrize(
    ("body", "field", "message"),
    [
        (without("future", "promo"), "future.promo", "needs the covariate 'promo': its values"),
        (without("past", "visitors"), "past.visitors", "past=visitors"),
        (without("static", "shop"), "static.shop", "or null where it is not known"),
        (shop(0) | {"static": {"shop": "Ulm"}}, "static.shop", "'Ulm' is none of the words"),
        (shop(0) | {"past": {"visitors": [1, 2]}}, "past.visitors", "give 40 values, as many as the series"),
        (shop(0) | {"horizon": HORIZON, "future": {"price": PRICE[:-1], "promo": PRICE}}, "future.price",
         "give 52 values, of 40 steps of the series and 12 ahead; got 51"),
        (shop(0) | {"future": {"price": [*PRICE[:-1], None], "promo": PRICE}}, "future.price.51",
         "a number at each step ahead"),
        (shop(0) | {"future": {"price": PRICE, "promo": PRICE, "wind": PRICE}}, "future.wind",
         "reads no future covariate 'wind'"),
        ({name: value for name, value in shop(0).items() if name != "start"}, "start", "reads holidays"),
        (shop(0) | {"start": "2031-01-01"}, "start", "2023 to 2025"),
        (shop(0) | {"model": "plain"}, "future.price", "plain@1 reads no covariates"),
    ],
)  # fmt: skip
def test_what_is_missing_is_named(client: TestClient, body: dict[str, Any], field: str, message: str) -> None:
    error = refused(client, **body)
    assert error["field"] == field
    assert message in error["message"]


@pytest.mark.parametrize(
    ("event", "field"),
    [
        (12.0, "inputs.future.price"),
        ({"value": 12.0, "future": {"price": 1.0}}, "inputs.future.promo"),
        ({"value": 12.0, "future": {"price": 1.0, "promo": 0}}, "inputs.past.visitors"),
        ({"value": 1, "future": {"price": "a", "promo": 0}, "past": {"visitors": 1}}, "inputs.future.price"),
        ({"value": 1, "future": {"price": [], "promo": 0}, "past": {"visitors": 1}}, "inputs.future.price"),
        ({"value": 1, "future": [1], "past": {"visitors": 1}}, "inputs.future"),
        ({"value": 1, "future": {"price": 1, "promo": 0}, "past": {"visitors": [1, 2]}},
         "inputs.past.visitors"),
    ],
)  # fmt: skip
def test_a_step_of_a_session_without_a_covariate_is_refused(
    client: TestClient, event: object, field: str
) -> None:
    options = {"freq": "D", "start": "2024-01-01", "static": {"shop": None}}
    opened = client.post("/sessions", json={"model": "shop", "options": options}).json()
    path = f"/sessions/{opened['id']}/steps"
    assert refused(client, path, seq=1, inputs=event)["field"] == field
    fine = {"value": 12, "future": {"price": [1, 2, 3], "promo": [0, 0, 1]}, "past": {"visitors": 7}}
    assert client.post(path, json={"seq": 1, "inputs": fine}).status_code == 200
    error = refused(client, f"/sessions/{opened['id']}/forecast", horizon=3)
    assert (error["field"], error["allowed"]) == ("horizon", {"max": 2})
    ahead = client.post(f"/sessions/{opened['id']}/forecast", json={})
    assert len(ahead.json()["forecast"]["mean"]) == 2


def test_a_session_asks_for_its_static_covariates(client: TestClient) -> None:
    error = refused(client, "/sessions", model="shop", options={"freq": "D"})
    assert error["field"] == "options.static.shop"
    error = refused(client, "/sessions", model="shop", options={"static": {"shop": "Bonn"}})
    assert (error["field"], "reads holidays" in error["message"]) == ("options.freq", True)
    error = refused(client, "/sessions", model="plain", options={"static": {"shop": "Bonn"}})
    assert error["field"] == "options.static"


def test_what_a_model_reads_is_told_and_others_are_as_they_were(client: TestClient, tmp_path: Path) -> None:
    told = client.get("/models/shop").json()["inputs"]["covariates"]
    assert told == {
        "future": ["price", "promo"],
        "past": ["visitors"],
        "static": {"shop": ["Bonn", "Kiel"]},
        "holidays": "DE",
    }
    assert "covariates" not in client.get("/models/plain").json()["inputs"]
    bundle = tiny_forecaster(tmp_path)
    assert "covariates" not in (bundle / "manifest.json").read_text()
    assert read_bundle(bundle).manifest.row.fields[-1].name == "errors"


@pytest.mark.parametrize("sequence", [{}, {"sequence_id": 3, "sequence_start": True}])
def test_tensors_carry_no_covariates_and_say_what_does(client: TestClient, sequence: dict[str, Any]) -> None:
    """Of whole series and of sequences, in the shape of the protocol."""
    values = {"name": "values", "shape": [1, 1], "datatype": "FP32", "data": [1]}
    body = {"inputs": [values], "parameters": {"freq": "D", "start": "2024-01-01", **sequence}}
    answer = client.post("/v2/models/shop/infer", json=body)
    assert answer.status_code == 400
    assert answer.json()["error"] == (
        "shop@1 reads covariates, which tensors do not carry: send series to POST /forecast, or values "
        "to a session, with what GET /models/shop@1 lists under covariates"
    )


def test_a_request_for_a_wide_model_may_hold_less(tmp_path: Path) -> None:
    """A step with covariates takes more memory, so there may be fewer, in histories, paths and tables."""
    tiny_covariate_forecaster(tmp_path, "shop")
    given: dict[str, Any] = {"models": tmp_path, "sessions": "memory:"}
    given |= {"max_points": 300, "max_sampled_values": 10_000}
    with TestClient(create_app(Settings(**given))) as client:
        error = refused(client, **shop(0, 60))
        assert error["field"] == "values"
        told = client.get("/models/shop").json()["limits"]
        assert error["allowed"] == {"max": told["max_points"]}
        assert error["message"].endswith(f"at most {told['max_points']} observations in all, got 60")
        far = shop(0, 30, ahead=3 * HORIZON) | {"horizon": 3 * HORIZON}
        forecast(client, **far, samples=100)
        error = refused(client, **far, samples=200)
        assert error["field"] == "samples"
        assert "steps that are read at once" in error["message"]
        lines = ["day,a,b,price", *(f"{START + timedelta(days=day)},1,2,3" for day in range(80))]
        for wide, status in (("", 200), ("&future=price", 422)):
            answer = client.post(
                f"/forecast/series?targets=a,b{wide}",
                content="\n".join(lines[:77]),
                headers={"content-type": "text/csv"},
            )
            assert answer.status_code == status, answer.text
