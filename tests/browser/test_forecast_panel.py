"""The panel "Forecast", driven in a real browser against a real server."""

from __future__ import annotations

import csv
import io
import json
import subprocess
from pathlib import Path

import httpx2
from playwright.sync_api import expect

from tests.browser.visit import Visit, inked
from tests.e2e.server import REPOSITORY

AIRLINE = REPOSITORY / "tests/data/airline-passengers.csv"
SAMPLES = REPOSITORY / "app/tasks/forecast/page/samples"


def series(path: Path, column: int = 1) -> tuple[list[str], list[float]]:
    """Times and values of a CSV."""
    _, *rows = csv.reader(path.read_text().splitlines())
    return [row[0] for row in rows], [float(row[column]) for row in rows]


def upload(visit: Visit, path: Path, horizon: int) -> None:
    """Choose a file, and a horizon."""
    visit.at("csv-file").set_input_files(path)
    visit.says("csv-summary", path.name)
    visit.at("horizon").fill(str(horizon))
    visit.at("forecast-run").click()
    expect(visit.at("forecast-title")).to_contain_text(f"{horizon} ahead")
    expect(visit.at("forecast-run")).to_be_enabled()


def test_the_chart_is_read_and_zoomed_with_the_keyboard(visit: Visit) -> None:
    """The last value is read out, plus shows less, and 0 shows all again."""
    visit.open()
    upload(visit, AIRLINE, 12)
    last = visit.rows("forecast-table")[-1]
    chart = visit.at("forecast-chart")
    chart.focus()
    visit.page.keyboard.press("End")
    visit.says(
        "forecast-readout", rf"{last[0]}.*forecast {float(last[1]):.1f}.*95 % .* to .*naive {last[-1]}"
    )
    visit.page.keyboard.press("0")
    expect(chart).to_have_attribute("data-shown", "all")
    visit.page.keyboard.press("Home")
    visit.says("forecast-readout", "1949-01-01 · observed 112")
    visit.page.keyboard.press("+")
    expect(chart).not_to_have_attribute("data-shown", "all")
    visit.at("zoom-reset").click()
    expect(chart).to_have_attribute("data-shown", "all")


def test_dragging_zooms_and_hovering_reads(visit: Visit) -> None:
    """With the mouse, on the picture itself."""
    visit.open()
    upload(visit, AIRLINE, 12)
    visit.at("zoom-reset").click()
    box = visit.page.locator("#forecast-chart .u-over").bounding_box()
    assert box is not None
    mouse = visit.page.mouse
    mouse.move(box["x"] + 5, box["y"] + 40)
    visit.says("forecast-readout", "19[45].* · observed")
    mouse.move(box["x"] + box["width"] * 0.7, box["y"] + 40)
    mouse.down()
    mouse.move(box["x"] + box["width"] * 0.95, box["y"] + 40, steps=4)
    mouse.up()
    expect(visit.at("forecast-chart")).not_to_have_attribute("data-shown", "all")
    low, high = map(float, (visit.at("forecast-chart").get_attribute("data-shown") or "").split())
    years = [1970 + seconds / 31_556_952 for seconds in (low, high)]
    assert 1957 < years[0] < 1959 < years[1] < 1961.9


def test_the_forecast_is_saved_as_csv_and_png(visit: Visit) -> None:
    """The CSV has the table's numbers; the PNG is a picture of the chart with its legend."""
    visit.open()
    upload(visit, AIRLINE, 6)
    with visit.page.expect_download() as saved:
        visit.at("save-csv").click()
    header, *rows = csv.reader(io.StringIO(saved.value.path().read_text()))
    assert saved.value.suggested_filename == "Passengers-forecast.csv"
    assert header[:2] == ["time", "mean"]
    assert rows == visit.rows("forecast-table")
    with visit.page.expect_download() as saved:
        visit.at("save-png").click()
    picture = saved.value.path().read_bytes()
    assert picture.startswith(b"\x89PNG\r\n")
    assert len(picture) > 5_000


def test_a_horizon_that_the_model_does_not_have_is_told_at_its_field(visit: Visit) -> None:
    """In the API's own words, with the field marked for a screen reader."""
    visit.open()
    visit.says("forecast-meta", "answered in")
    visit.at("horizon").fill("1000")
    visit.at("forecast-run").click()
    expect(visit.at("horizon")).to_have_attribute("aria-invalid", "true")
    visit.says("horizon-wrong", "forecasts 1 to 480 steps ahead, not 1000")
    visit.says("forecast-error", "The request is not valid")
    visit.check_clean("status of 422")


def test_a_streamed_series_marks_the_points_that_surprise(visit: Visit, client: httpx2.Client) -> None:
    """The same that a session of one's own finds, New Year's night among them; the fan is at the end."""
    visit.open()
    visit.page.get_by_role("button", name="Taxis").click()
    visit.says("csv-summary", r"672 rows, hourly \(h\)")
    visit.at("forecast-model").select_option("forecaster@1")
    visit.at("stream-switch").check(force=True)
    visit.at("stream-pace").select_option("0")
    visit.at("forecast-run").click()
    visit.says("forecast-meta", r"672 of 672 points fed to session \w+, \d+ surprising")
    times, values = series(SAMPLES / "new-york-taxis.csv")
    client.post("/sessions", json={"id": "own", "model": "forecaster@1", "options": {"freq": "h"}})
    events = [{"value": value, "time": time} for time, value in zip(times, values, strict=True)]
    outputs = client.post("/sessions/own/steps", json={"inputs": events}).json()["outputs"]
    found = [times[at] for at, one in enumerate(outputs) if at >= 24 and one["anomaly_score"] >= 3]
    assert "2015-01-01 01:00" in found
    assert [row[0] for row in visit.rows("anomaly-rows")] == found[::-1]
    ahead = client.post("/sessions/own/forecast", json={"horizon": 48, "levels": [50, 80, 95]}).json()[
        "forecast"
    ]
    assert [float(row[1]) for row in visit.rows("forecast-table")] == ahead["mean"]
    visit.check_clean()


def test_what_is_unusual_in_a_series_is_marked(visit: Visit, client: httpx2.Client, tmp_path: Path) -> None:
    """The events of the API, by their rarest values, and the shell line that finds them."""
    visit.open()
    visit.page.get_by_role("button", name="Taxis").click()
    visit.says("csv-summary", r"672 rows, hourly \(h\)")
    visit.at("forecast-model").select_option("forecaster@1")
    visit.at("anomaly-run").click()
    taxis = SAMPLES / "new-york-taxis.csv"
    answer = client.post(
        "/anomalies?model=forecaster@1", content=taxis.read_bytes(), headers={"content-type": "text/csv"}
    )
    (found,) = answer.json()["series"]
    assert found["events"], "New Year's night is one"
    visit.says("forecast-meta", rf"found {len(found['events'])} events? in 672 values")
    expect(visit.at("forecast-title")).to_contain_text("what is unusual")
    peaks = [found["timestamps"][event["peak"]].replace("T", " ")[:16] for event in found["events"]]
    assert [row[0] for row in visit.rows("anomaly-rows")] == peaks[::-1]
    assert inked(visit.page.locator("#forecast-chart canvas")) > 10
    (tmp_path / taxis.name).write_bytes(taxis.read_bytes())
    line = ["bash", "-c", visit.text("curl")]
    done = subprocess.run(line, cwd=tmp_path, capture_output=True, text=True, check=True, timeout=60)
    assert json.loads(done.stdout)["series"][0]["events"] == found["events"]
    visit.at("forecast-run").click()
    expect(visit.at("anomalies")).to_be_hidden()
    visit.check_clean()


def test_a_stream_can_be_stopped(visit: Visit, client: httpx2.Client) -> None:
    """The session stands where the feeding ended."""
    visit.page.emulate_media(reduced_motion="no-preference")
    visit.open()
    visit.at("stream-switch").check(force=True)
    visit.at("stream-pace").select_option("25")
    visit.at("forecast-run").click()
    visit.says("forecast-meta", r"\d\d of 132 points fed")
    visit.at("forecast-stop").click()
    visit.says("forecast-meta", r"points fed to session")
    fed, _, rest = visit.text("forecast-meta").partition(" of 132 points fed to session ")
    assert 10 <= int(fed) < 132
    step = client.get(f"/sessions/{rest.partition(',')[0]}").json()["step"]
    assert step - int(fed) in (0, 1), "one may have been on its way"


def test_a_backtest_is_scored_beside_the_naive_forecast(visit: Visit, client: httpx2.Client) -> None:
    """The table has the API's scores, and the next forecast takes it away."""
    visit.open()
    upload(visit, AIRLINE, 12)
    visit.at("backtest-run").click()
    expect(visit.at("backtest-scores")).to_be_visible()
    (scored,) = client.post(
        "/forecast/backtest?horizon=12&stride=12&origins=20&levels=50,80,95",
        content=AIRLINE.read_bytes(),
        headers={"content-type": "text/csv"},
    ).json()["series"]
    rows = visit.rows("backtest-table")
    assert rows[0][1:] == [f"{scored[one]['mase']:.3f}" for one in ("model", "seasonal_naive")]
    assert [row[1] for row in rows[3:]] == [
        f"{100 * part:.1f} %" for part in scored["model"]["coverage"].values()
    ]
    expect(visit.at("forecast-title")).to_contain_text(f"from {len(scored['origins'])} places")
    assert inked(visit.page.locator("#forecast-chart canvas")) > 10
    visit.at("forecast-run").click()
    expect(visit.at("backtest-scores")).to_be_hidden()
    visit.check_clean()


def test_the_page_says_which_season_was_found(visit: Visit) -> None:
    """And compares with the naive forecast of that season; two seasons may be given, and nonsense not."""
    visit.open()
    visit.at("paste").locator("summary").click()
    visit.at("csv-text").fill("\n".join(["sales", *(str(10 + 5 * (k % 7) + k % 3) for k in range(63))]))
    visit.at("use-paste").click()
    visit.says("forecast-meta", "Season 7 and 364, nothing below 0")
    visit.at("season").fill("7, 21")
    visit.at("forecast-run").click()
    visit.says("forecast-meta", "Season 7 and 21")
    visit.at("season").fill("often")
    visit.at("forecast-run").click()
    expect(visit.page.locator("#season-wrong")).to_be_visible()
