"""The panels "Sessions", "Models" and "Now": what an operator looks at and does."""

from __future__ import annotations

from pathlib import Path

import httpx2
from playwright.sync_api import expect

from tests.browser.visit import Visit, inked


def open_session(visit: Visit, name: str, model: str = "shakespeare@1") -> None:
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
    assert saved.value.suggested_filename == "shakespeare-1-step-9.rnnstate"
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


def test_each_model_has_a_card_with_its_figures(visit: Visit, client: httpx2.Client) -> None:
    """Cell, size, the measured quality and every baseline beside it."""
    visit.open("models")
    summaries = client.get("/models").json()["models"]
    expect(visit.page.locator("#model-cards article")).to_have_count(len(summaries))
    for summary in summaries:
        reference = f"{summary['name']}@{summary['version']}"
        detail = client.get(f"/models/{reference}").json()
        card = visit.page.get_by_role("article", name=reference)
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
