"""The panels "Sessions", "Models" and "Now": what an operator looks at and does."""

from __future__ import annotations

import signal
from pathlib import Path
from typing import Any

import httpx2
import pytest
from playwright.sync_api import Browser, expect

from tests.browser.conftest import SHIPPED
from tests.browser.visit import Visit, inked, visiting
from tests.e2e.server import ServerProcess

NOTHING = "\u2013"  # what the page shows where there is no number


def open_session(visit: Visit, name: str, model: str = "shakespeare@2") -> None:
    """With the form."""
    visit.at("session-model").select_option(model)
    visit.at("session-id").fill(name)
    visit.page.locator("#session-form").get_by_role("button", name="Open", exact=True).click()
    visit.says("session-title", f"^{name}$")


def test_a_session_is_opened_fed_kept_and_rewound(visit: Visit, client: httpx2.Client) -> None:
    """The list, the figures, the state and the snapshots follow."""
    visit.open("sessions")
    open_session(visit, "notes")
    visit.says("session-row", "no step yet")
    client.post("/sessions/notes/steps", json={"inputs": "JULIET:\n"})
    visit.at("sessions-refresh").click()
    row = visit.page.locator('#session-rows tr[data-id="notes"]')
    expect(row).to_contain_text("8")
    row.get_by_role("button").click()
    visit.says("session-figures", "Step8")
    expect(visit.page.locator("#session-row canvas")).to_have_count(4)
    assert inked(visit.page.locator("#session-row canvas").first) > 50
    visit.at("snapshot-name").fill("name-said")
    visit.page.get_by_role("button", name="Keep a snapshot").click()
    visit.says("snapshot-list", "name-said.*step 8")
    client.post("/sessions/notes/steps", json={"inputs": "O Romeo"})
    row.get_by_role("button").click()
    visit.says("session-figures", "Step15")
    visit.page.get_by_role("button", name="Rewind to name-said").click()
    visit.says("session-figures", "Step8")
    assert client.get("/sessions/notes").json()["step"] == 8
    visit.check_clean()


def test_a_fork_stands_under_its_original(visit: Visit, client: httpx2.Client) -> None:
    """The tree says at which step it was made, and leads from one to the other."""
    visit.open("sessions")
    open_session(visit, "trunk")
    client.post("/sessions/trunk/steps", json={"inputs": "abc"})
    visit.page.locator('#session-rows tr[data-id="trunk"]').get_by_role("button").click()
    visit.says("session-figures", "Step3")
    visit.page.get_by_role("button", name="Fork", exact=True).click()
    visit.says("fork-tree", "^trunknow at step 3.*forked at step 3, now at step 3")
    assert visit.text("session-title") != "trunk"
    visit.page.locator("#fork-tree").get_by_role("button", name="trunk").click()
    visit.says("session-title", "^trunk$")
    visit.check_clean()


def test_a_state_is_taken_away_and_brought_back(visit: Visit, client: httpx2.Client, tmp_path: Path) -> None:
    """Downloaded, the session closed, and opened again from the file: same step, same numbers."""
    visit.open("sessions")
    open_session(visit, "traveller")
    client.post("/sessions/traveller/steps", json={"inputs": "To be, or"})
    row = client.get("/sessions/traveller/row").json()
    visit.page.locator('#session-rows tr[data-id="traveller"]').get_by_role("button").click()
    visit.says("session-figures", "Step9")
    with visit.page.expect_download() as saved:
        visit.at("session-download").click()
    assert saved.value.suggested_filename == "shakespeare-2-step-9.rnnstate"
    file = tmp_path / "saved.rnnstate"
    saved.value.save_as(file)
    visit.at("session-close").click()
    expect(visit.page.locator('#session-rows tr[data-id="traveller"]')).to_have_count(0)
    visit.at("session-id").fill("arrived")
    visit.at("state-file").set_input_files(file)
    visit.says("session-title", "^arrived$")
    visit.says("session-figures", "Step9")
    assert client.get("/sessions/arrived/row").json() == row
    visit.check_clean()


def test_refusals_are_told_where_one_looks(visit: Visit, client: httpx2.Client, tmp_path: Path) -> None:
    """A name that is taken, a file that is no state, and a session that somebody else has closed."""
    visit.open("sessions")
    open_session(visit, "mine")
    visit.at("session-id").fill("mine")
    visit.page.locator("#session-form").get_by_role("button", name="Open", exact=True).click()
    visit.says("open-error", "mine")
    (tmp_path / "no.rnnstate").write_text("rs1.nothing.at-all")
    visit.at("session-id").fill("")
    visit.at("state-file").set_input_files(tmp_path / "no.rnnstate")
    visit.says("open-error", "The state is not one of this server's")
    client.delete("/sessions/mine")
    visit.at("session-fork").click()
    visit.says("session-error", "The session has ended")
    visit.check_clean("status of (409|410|422)")


def test_sessions_are_filtered_and_those_that_are_left_are_closed(
    visit: Visit, client: httpx2.Client
) -> None:
    """By words and by where they come from; only after a yes, and no other session ends."""
    for index in range(12):
        origin = {"made_by": "page", "panel": "sentiment"}
        client.post("/sessions", json={"id": f"left-{index}", "task": "sentiment", "metadata": origin})
    client.post("/sessions", json={"id": "keep-me", "task": "sentiment", "metadata": {"made_by": "line 4"}})
    client.post("/sessions", json={"id": "left-to-another", "task": "forecast"})
    visit.open("sessions")
    rows = visit.page.locator("#session-rows tr")
    expect(visit.page.locator('#session-rows tr[data-id="keep-me"]')).to_contain_text("line 4")
    expect(visit.page.locator('#session-rows tr[data-id="left-0"]')).to_contain_text("page, sentiment")
    visit.at("session-filter").fill("LEFT-")
    expect(rows).to_have_count(13)
    visit.at("session-origin").select_option("page")
    expect(rows).to_have_count(12)
    visit.says("sessions-summary", r"^12 of \d+, the last written first")
    rows.first.get_by_role("button").click()
    visit.says("session-title", "^left-")
    visit.at("sessions-close").click()
    visit.says("sessions-sure-words", "Close 12 sessions")
    visit.at("sessions-no").click()
    expect(visit.at("sessions-sure")).to_be_hidden()
    visit.at("sessions-close").click()
    visit.at("sessions-yes").click()
    expect(rows).to_have_count(0)
    expect(visit.at("session-none")).to_be_visible()
    expect(visit.at("sessions-close")).to_be_disabled()
    left = {one["id"] for one in client.get("/sessions?limit=500").json()["sessions"]}
    assert {"keep-me", "left-to-another"} <= left
    assert not left & {f"left-{index}" for index in range(12)}
    visit.at("session-origin").select_option("other")
    expect(visit.page.locator('#session-rows tr[data-id="left-to-another"]')).to_have_count(1)
    visit.check_clean()


def test_each_model_has_a_card_with_its_figures(visit: Visit, client: httpx2.Client) -> None:
    """Cell, size, the measured quality and every baseline beside it."""
    visit.open("models")
    summaries = client.get("/models").json()["models"]
    expect(visit.page.locator("#model-cards article")).to_have_count(len(summaries))
    for summary in summaries:
        reference = f"{summary['name']}@{summary['version']}"
        detail = client.get(f"/models/{reference}").json()
        card = visit.page.get_by_role("article", name=reference, exact=True)
        text = card.text_content() or ""
        assert summary["cell"].upper() in text
        assert f"{detail['network']['parameters']:,}" in text
        assert "golden check passed" in text
        for figure in detail["quality"]:
            assert figure["dataset"] in text
            for value in (figure["value"], *figure["baselines"].values()):
                assert f"{float(f'{value:.4g}'):g}" in text or str(float(f"{value:.4g}")) in text
        assert detail["provenance"]["data"][0]["name"].split("/", 1)[1] in text
    visit.check_clean()


def metrics(visit: Visit, script: str) -> Any:
    """Run a script on the page's modules for metrics."""
    base = visit.page.locator('script[src$="/js/main.js"]').get_attribute("src") or ""
    folder = base.removesuffix("main.js")
    return visit.page.evaluate(
        f"""async () => {{
            const {{ Look, Between }} = await import("{visit.url}/{folder}metrics_text.js");
            const {{ History }} = await import("{visit.url}/{folder}now_history.js");
            {script}
        }}"""
    )


def test_a_quantile_of_counted_things_is_a_whole_number(visit: Visit) -> None:
    """Where each run had one row, 95 % of them had at most one, and not 0.95."""
    visit.open("models")
    text = "\n".join(
        f'rows_bucket{{le="{bound}"}} {count}' for bound, count in (("1.0", 40), ("2.0", 40), ("+Inf", 40))
    )
    nothing = text.replace(" 40", " 0")
    script = f"return new Between(new Look(`{nothing}`, 0), new Look(`{text}`, 1000)).%s;"
    assert metrics(visit, script % 'bounds("rows", 0.95)') == [0, 1]
    assert metrics(visit, script % 'quantile("rows", 0.5)') == 0.5


def test_the_history_has_gaps_forgets_and_survives_a_restart(visit: Visit) -> None:
    """Points far apart are not joined, five minutes are kept, and a counter that fell began again."""
    visit.open("models")
    found = metrics(
        visit,
        """const history = new History(1);
        const now = Date.now();
        history.add(now - 400000, [9], { 422: 1 });
        history.add(now - 60000, [1], { 422: 5 });
        history.add(now - 20000, [2], { 422: 2 });
        history.add(now, [3], { 422: 4, 500: 1 });
        dispatchEvent(new Event("pagehide"));
        const again = new History(1);
        return [history.columns(now), history.failures("422"), history.failures("500"), again.columns(now),
            new History(2).readings];""",
    )
    (x, values), invalid, failed, again, other = found
    assert again == [x, values], "kept in the tab"
    assert other == [], "of other gauges"
    assert x == pytest.approx([-60, -59.999, -20, -19.999, 0])
    assert values == [1, None, 2, None, 3]
    assert (invalid, failed) == (4, 1)


def test_now_says_what_failed_and_what_the_process_uses(visit: Visit, client: httpx2.Client) -> None:
    """Answers by status, since the start and lately; version, memory, disk and time."""
    client.post("/forecast", json={"values": [1, 2], "horizon": -1})
    visit.open("now")
    visit.says(
        "now-process", "Version\\d.*Up for\\d+ (s|min|h).*Memory[\\d.]+ MiB.*Disk of sessionsnone.*Workers1"
    )
    row = visit.page.locator("#now-errors tr", has_text="422 not valid")
    expect(row).to_contain_text("/forecast")
    expect(visit.page.locator("#gauge-requests .value")).not_to_have_text(NOTHING)
    before = [int(cell) for cell in row.locator("td.num").all_text_contents()]
    client.post("/forecast", json={"values": [1, 2], "horizon": -1})
    expect(row.locator("td.num").last).to_have_text(str(before[1] + 1))
    expect(row.locator("td.num").first).to_have_text(str(before[0] + 1))
    visit.check_clean()


def test_now_keeps_what_it_has_read_when_the_tab_is_loaded_again(visit: Visit) -> None:
    """So that the last minutes are there at once."""
    visit.open("now")
    expect(visit.page.locator("#gauge-requests .value")).not_to_have_text(NOTHING)
    visit.page.wait_for_timeout(4500)
    visit.page.locator('.tabs a[href="#models"]').click()
    visit.page.reload()
    kept = visit.page.evaluate("() => JSON.parse(sessionStorage.getItem('rnnserve.now')).length")
    assert kept >= 3


def test_now_shows_no_number_of_a_server_that_does_not_answer(browser: Browser) -> None:
    """What was read is no longer so: dashes, and when it was read."""
    with ServerProcess(SHIPPED) as server, visiting(browser, server.url) as visit:
        visit.open("now")
        expect(visit.page.locator("#gauge-sessions .value")).to_have_text("0")
        server.signal(signal.SIGTERM)
        server.wait()
        visit.says("now-error", "The server does not answer")
        visit.says("now-since", r"^Last read \d\d:\d\d:\d\d\.$")
        for value in visit.page.locator("#gauges .value").all():
            expect(value).to_have_text(NOTHING)
        for id in ("now-process", "now-models", "now-errors"):
            visit.says(id, "^$")
        visit.check_clean("ERR_CONNECTION_REFUSED", "ERR_CONNECTION_RESET")


def test_now_shows_what_the_metrics_say(visit: Visit, client: httpx2.Client) -> None:
    """Requests and steps appear while they are made, the sessions are those that there are."""
    for index in range(3):
        client.post("/sessions", json={"id": f"live-{index}", "task": "sentiment"})
    visit.open("now")
    visit.says("now-since", r"Read \d\d:\d\d:\d\d")
    expect(visit.page.locator("#gauge-steps .value")).to_have_text("0")
    client.post("/forecast", json={"values": [1, 2, 3, 4], "horizon": 2})
    client.post("/sentiment", json={"text": "a warm and charming film"})
    expect(visit.page.locator("#gauge-requests .value")).not_to_have_text("0")
    expect(visit.page.locator("#gauge-latency .value")).to_contain_text("s")
    expect(visit.page.locator("#gauge-step .sub")).to_contain_text("median")
    expect(visit.page.locator("#gauge-requests .sub")).to_have_text("none failed")
    live = sum(
        float(line.rsplit(" ", 1)[1])
        for line in client.get("/metrics").text.splitlines()
        if line.startswith("rnnserve_sessions_live")
    )
    assert live >= 3
    expect(visit.page.locator("#gauge-sessions .value")).to_have_text(f"{live:.0f}")
    models = visit.page.locator("#now-models tr")
    expect(models).to_have_count(len(client.get("/models").json()["models"]))
    expect(models.first).to_contain_text("runs")
    for canvas in visit.page.locator("#gauges canvas").all():
        assert inked(canvas) > 3
    visit.check_clean()
