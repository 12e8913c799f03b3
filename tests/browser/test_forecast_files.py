"""Files and pasted rows in the panel "Forecast", driven in a real browser against a real server."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path

import httpx2
import pytest
from playwright.sync_api import expect

from tests.browser.test_forecast_panel import AIRLINE, SAMPLES, series, upload
from tests.browser.visit import Visit, inked

pytestmark = pytest.mark.long


def test_the_values_of_an_uploaded_csv_are_the_apis(visit: Visit, client: httpx2.Client) -> None:
    """Mean and quantiles of each step, to the last digit, and the naive forecast beside them."""
    visit.open()
    upload(visit, AIRLINE, 12)
    answer = client.post(
        "/forecast?horizon=12&levels=50,80,95",
        content=AIRLINE.read_bytes(),
        headers={"content-type": "text/csv"},
    ).json()
    (forecast,) = answer["forecasts"]
    _, values = series(AIRLINE)
    rows = visit.rows("forecast-table")
    assert [row[0] for row in rows] == [time[:10] for time in forecast["timestamps"]]
    assert [float(row[1]) for row in rows] == forecast["mean"]
    for place, level in enumerate(forecast["quantiles"]):
        assert [float(row[2 + place]) for row in rows] == forecast["quantiles"][level]
    assert [float(row[-1]) for row in rows] == values[-12:]
    assert inked(visit.page.locator("#forecast-chart canvas")) > 10
    visit.check_clean()


def check_shell_line(visit: Visit, folder: Path, column: str) -> None:
    """Where the file is, it brings the forecast that the page shows."""
    done = subprocess.run(
        ["bash", "-c", visit.text("curl")],
        cwd=folder,
        capture_output=True,
        text=True,
        check=True,
        timeout=60,
    )
    (forecast,) = json.loads(done.stdout)["forecasts"]
    assert forecast["id"] == column
    assert [float(row[1]) for row in visit.rows("forecast-table")] == forecast["mean"]


def test_the_shell_line_does_the_same(visit: Visit, tmp_path: Path) -> None:
    """Run word for word where the file is, it brings the numbers that the page shows."""
    (tmp_path / "weather.csv").write_bytes((SAMPLES / "seattle-weather.csv").read_bytes())
    visit.open()
    upload(visit, tmp_path / "weather.csv", 5)
    visit.at("column").select_option(label="temp_min")
    expect(visit.at("forecast-title")).to_contain_text("temp_min")
    check_shell_line(visit, tmp_path, "temp_min")


TOWNS = "Tag;Zürich;Gr\u00f6\u00dfe\n" + "".join(
    f"2024-01-{day:02};{day % 7};{day}\n" for day in range(1, 29)
)


@pytest.mark.parametrize(
    ("encoding", "said"),
    [
        ("utf-8", ""),
        ("utf-8-sig", ""),
        ("latin-1", ", read as WINDOWS-1252"),
        ("cp1252", ", read as WINDOWS-1252"),
        ("utf-16", ", read as UTF-16LE"),
    ],
)
def test_letters_beyond_ascii_are_those_of_the_file(
    visit: Visit, tmp_path: Path, encoding: str, said: str
) -> None:
    """In the page, and by the shell line, which forecasts the same from the file as it is."""
    file = tmp_path / "towns.csv"
    file.write_bytes((TOWNS if encoding != "cp1252" else TOWNS.replace("Gr", "\u20ac")).encode(encoding))
    visit.open()
    upload(visit, file, 5)
    visit.says("csv-summary", rf"^towns.csv: 28 rows, daily \(D\){said}$")
    expect(visit.at("forecast-title")).to_have_text("Zürich, 5 ahead")
    check_shell_line(visit, tmp_path, "Zürich")
    visit.check_clean()


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"PK\x03\x04\x14\x00\x06\x00", "It is a spreadsheet or an archive"),
        (b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1", "It is a spreadsheet or an archive"),
        (b"a,b\n1,\x00\n2,3\n", "It is not a text"),
        ("day,M\u00fcnchen\n1,2\n3,4\n".encode("cp437"), "It is not a text in UTF-8, UTF-16 or Latin-1"),
    ],
)
def test_a_file_that_is_no_text_is_refused(visit: Visit, tmp_path: Path, content: bytes, words: str) -> None:
    """In a sentence, and nothing is forecast of it."""
    file = tmp_path / "sheet.csv"
    file.write_bytes(content)
    visit.open()
    visit.says("forecast-meta", "answered in")
    shown = visit.text("forecast-title")
    visit.at("csv-file").set_input_files(file)
    visit.says("forecast-error", f"sheet.csv could not be read.*{words}")
    assert visit.text("forecast-title") == shown
    visit.check_clean()


@pytest.mark.parametrize(
    ("times", "words"),
    [
        ([f"2024-{month:02}-01" for month in range(1, 13)], r"monthly \(MS\)"),
        (["2023-03-31", "2023-06-30", "2023-09-30", "2023-12-31"], r"quarterly \(QE\)"),
        ([f"2024-01-{day:02}" for day in range(1, 26, 7)], r"weekly \(W\)"),
        ([f"2024-01-{day:02}" for day in (1, 2, 3, 4, 5, 8, 9, 10, 11, 12)], r"each business day \(B\)"),
        ([f"2024-01-01 00:{minute:02}" for minute in range(0, 60, 15)], r"every 15 minutes \(15min\)"),
        ([f"2024-01-01 {hour:02}:00" for hour in range(0, 24, 6)], r"every 6 hours \(6h\)"),
    ],
)
def test_a_spacing_is_said_in_words(visit: Visit, times: list[str], words: str) -> None:
    """With the code that the API has for it."""
    visit.open()
    visit.page.locator("#paste summary").click()
    visit.at("csv-text").fill("time,v\n" + "".join(f"{time},{at}\n" for at, time in enumerate(times)))
    visit.at("use-paste").click()
    visit.says("csv-summary", rf"^pasted rows: {len(times)} rows, {words}$")


def test_pasted_rows_without_times_are_forecast(visit: Visit, client: httpx2.Client) -> None:
    """Steps are numbered, the season is the one that was given, and a word for nothing is a missing value."""
    values = [10, None, 30, 40, *([10, 20, 30, 40] * 5)]
    visit.open()
    visit.page.locator("#paste summary").click()
    visit.at("csv-text").fill("load\n" + "\n".join("?" if one is None else str(one) for one in values))
    visit.at("use-paste").click()
    visit.says("csv-summary", "24 rows, without times")
    visit.at("season").fill("4")
    visit.at("horizon").fill("4")
    visit.at("forecast-run").click()
    expect(visit.at("forecast-title")).to_contain_text("4 ahead")
    asked = {"values": values, "horizon": 4, "season": 4, "levels": [50, 80, 95]}
    forecast = client.post("/forecast", json=asked).json()["forecasts"][0]
    rows = visit.rows("forecast-table")
    assert [row[0] for row in rows] == ["25", "26", "27", "28"]
    assert [float(row[1]) for row in rows] == forecast["mean"]
    assert [row[-1] for row in rows] == ["10", "20", "30", "40"]


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("a,b\n1,2\n3\n", "line 3 has 1 cells, but the header has 2"),
        ("name\nx\ny\n", "line 2: 'x' is not a number"),
        ("day,v\n2024-01-02,1\n2024-01-01,2\n2024-01-02,2\n", "lines 2 and 4 are one step"),
    ],
)
def test_a_csv_that_cannot_be_read_is_told_in_words(visit: Visit, text: str, words: str) -> None:
    """Beside the button, in the API's words."""
    visit.open()
    visit.page.locator("#paste summary").click()
    visit.at("csv-text").fill(text)
    visit.at("use-paste").click()
    visit.says("forecast-error", words)
    visit.check_clean("status of 422")


def test_a_table_of_a_till_is_drawn_as_the_api_reads_it(visit: Visit, client: httpx2.Client) -> None:
    """Long, newest first, with German dates and decimals; each branch is a series to choose."""
    rows = [f"{shop};{day}.01.2024;1.0{day},5" for day in range(28, 9, -1) for shop in ("Köln", "Bonn")]
    text = "Filiale;Datum;Umsatz;Wetter\n" + "".join(f"{row};trüb\n" for row in rows)
    visit.open()
    visit.page.locator("#paste summary").click()
    visit.at("csv-text").fill(text)
    visit.at("use-paste").click()
    visit.says("csv-summary", "19 rows, daily \\(D\\). Wetter: the column holds words, and was left out$")
    visit.at("column").select_option(label="Bonn")
    visit.at("horizon").fill("3")
    visit.at("forecast-run").click()
    expect(visit.at("forecast-title")).to_contain_text("Bonn, 3 ahead")
    answer = client.post(
        "/forecast?horizon=3&levels=50,80,95", content=text.encode(), headers={"content-type": "text/csv"}
    ).json()
    assert [each["id"] for each in answer["forecasts"]] == ["Köln", "Bonn"]
    shown = visit.rows("forecast-table")
    assert [row[0] for row in shown] == ["2024-01-29", "2024-01-30", "2024-01-31"]
    assert [float(row[1]) for row in shown] == answer["forecasts"][1]["mean"]
    visit.check_clean()
