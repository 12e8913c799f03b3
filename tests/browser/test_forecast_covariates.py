"""Models that read covariates in the panel "Forecast": their columns are named for the user."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import date, timedelta
from pathlib import Path

import httpx2
import pytest
from playwright.sync_api import Browser, expect

from tests.browser.test_forecast_files import check_shell_line
from tests.browser.visit import Visit
from tests.bundles import tiny_covariate_forecaster, tiny_forecaster
from tests.e2e.server import ServerProcess

KNOWN, AHEAD = 40, 5
COLUMNS = "future=price%2Cpromo&past=visitors&static=shop"


@pytest.fixture(scope="module")
def server(browser: Browser, tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServerProcess]:
    """A model that reads the series alone, and one with covariates of every kind."""
    folder = tmp_path_factory.mktemp("models")
    tiny_forecaster(folder, name="plain")
    tiny_covariate_forecaster(folder, "shop")
    with ServerProcess(folder, default="forecast=plain@1") as server:
        yield server


@pytest.fixture
def file(tmp_path: Path) -> Path:
    """Two shops; what is known ahead goes on behind the last sale."""
    lines = ["day;shop;sold;price;promo;visitors"]
    for step in range(KNOWN + AHEAD):
        day = date(2024, 1, 1) + timedelta(days=step)
        for shop in ("Bonn", "Kiel"):
            sold, visitors = (f"{100 + step % 7},5", str(80 + step % 5)) if step < KNOWN else ("", "")
            lines.append(f"{day};{shop};{sold};2,{step % 4};{int(step % 6 == 0)};{visitors}")
    path = tmp_path / "shops.csv"
    path.write_text("\n".join(lines))
    return path


def test_a_table_with_covariates_is_forecast_as_the_api_does(
    visit: Visit, client: httpx2.Client, file: Path, tmp_path: Path
) -> None:
    """Over as many steps as are told ahead; of the shop that is chosen, and by the shell line too."""
    visit.open()
    visit.says("forecast-meta", "plain@1 answered")
    visit.at("forecast-model").select_option("shop@1")
    visit.says(
        "covariates",
        r"price, promo \(known ahead\); visitors \(known up to now\); shop \(never changing\)"
        ".*holidays of DE",
    )
    visit.says("forecast-error", "the CSV has no column 'price'")
    expect(visit.at("stream-switch")).to_be_disabled()

    visit.at("csv-file").set_input_files(file)
    visit.says("csv-summary", rf"^shops.csv: {KNOWN} rows, daily \(D\)$")
    visit.says("forecast-meta", "shop@1 answered")
    expect(visit.at("horizon")).to_have_value(str(AHEAD))
    assert visit.at("column").locator("option").all_text_contents() == ["Bonn", "Kiel"]
    visit.at("column").select_option(label="Kiel")
    expect(visit.at("forecast-title")).to_have_text(f"Kiel, {AHEAD} ahead")
    answer = client.post(
        f"/forecast?model=shop@1&horizon={AHEAD}&levels=50,80,95&{COLUMNS}",
        content=file.read_bytes(),
        headers={"content-type": "text/csv"},
    ).json()
    rows = visit.rows("forecast-table")
    assert [row[0] for row in rows] == ["2024-02-10", "2024-02-11", "2024-02-12", "2024-02-13", "2024-02-14"]
    assert [float(row[1]) for row in rows] == answer["forecasts"][1]["mean"]
    assert "&future=price,promo&past=visitors&static=shop'" in visit.text("curl")
    visit.check_clean("status of 422")


def test_the_shell_line_names_the_covariates(visit: Visit, file: Path, tmp_path: Path) -> None:
    """Of a table of one shop, run word for word."""
    lines = [line for line in file.read_text().splitlines() if ";Kiel;" not in line]
    (tmp_path / "bonn.csv").write_text("\n".join(lines))
    visit.open()
    visit.at("csv-file").set_input_files(tmp_path / "bonn.csv")
    visit.says("csv-summary", "bonn.csv: 45 rows")
    visit.at("forecast-model").select_option("shop@1")
    visit.says("csv-summary", f"bonn.csv: {KNOWN} rows")
    visit.says("forecast-meta", "shop@1 answered")
    check_shell_line(visit, tmp_path, visit.at("column").locator("option").first.text_content() or "")
    visit.check_clean()


def test_backtests_and_anomalies_read_the_covariates(visit: Visit, file: Path) -> None:
    """And with another model the same columns are series again."""
    visit.open()
    visit.says("forecast-meta", "plain@1 answered")
    visit.at("csv-file").set_input_files(file)
    visit.says("csv-summary", "^shops.csv: 45 rows")
    visit.at("forecast-model").select_option("shop@1")
    visit.says("forecast-meta", "shop@1 answered")
    visit.at("backtest-run").click()
    visit.says("forecast-title", rf"^Bonn, {AHEAD} ahead from \d+ places$")
    assert visit.rows("backtest-table")[0][0] == "MASE"
    visit.at("anomaly-run").click()
    visit.says("forecast-meta", rf"^shop@1 found \d+ events? in {KNOWN} values")
    visit.at("forecast-model").select_option(label="plain@1")
    visit.says("csv-summary", "^shops.csv: 45 rows")
    assert visit.text("covariates") == ""
    expect(visit.at("stream-switch")).to_be_enabled()
    assert len(visit.at("column").locator("option").all()) == 8
    visit.check_clean()
