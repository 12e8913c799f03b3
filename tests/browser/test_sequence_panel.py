"""The panel "Sequence": a text, a table or pasted rows through a network, at once and through a session."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import httpx2
import pytest
from playwright.sync_api import Browser, expect

from tests.browser.conftest import SHIPPED
from tests.browser.visit import Visit, inked
from tests.bundles import tiny_reader
from tests.e2e.server import ServerProcess

MODEL = "tiny-sensors@1"
ROWS = [[at / 10, 20.5 + at if at % 4 else None] for at in range(12)]
TABLE = "machine;temperature;note;vibration\n" + "".join(
    f"{'AB'[at % 2]};{'' if warm is None else str(warm).replace('.', ',')};x;{str(shake).replace('.', ',')}\n"
    for at, (shake, warm) in enumerate(ROWS)
)


@pytest.fixture(scope="module")
def server(browser: Browser, tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServerProcess]:
    """The shipped reader of letters, and one of two columns."""
    folder = tmp_path_factory.mktemp("models")
    tiny_reader(folder)
    with ServerProcess(f"{SHIPPED},{folder}") as server:
        yield server


def steps_of(client: httpx2.Client, **request: Any) -> list[dict[str, Any]]:
    """What the API says after each step."""
    (result,) = client.post("/sequence", json={**request, "read": "each"}).json()["results"]
    found: list[dict[str, Any]] = result["steps"]
    return found


def choose(visit: Visit) -> None:
    """The reader of columns, and its whole table."""
    visit.open("sequence")
    visit.at("sequence-model").select_option(MODEL)
    visit.says("sequence-reads", r"2 columns: vibration \(mm/s\); temperature \(°C\), may be missing")
    drop(visit, TABLE.encode("utf-16"))
    visit.says("sequence-summary", "machines.csv: 12 rows$")


def drop(visit: Visit, content: bytes) -> None:
    """Choose a file."""
    visit.at("sequence-file").set_input_files(
        {"name": "machines.csv", "mimeType": "text/csv", "buffer": content}
    )


def test_a_name_letter_by_letter(visit: Visit, client: httpx2.Client) -> None:
    """The verdict, the likeliest labels and the table are the API's."""
    visit.open("sequence")
    visit.page.get_by_role("button", name="Papadopoulos").click()
    visit.says("sequence-meta", "12 steps read by surnames@1")
    expected = steps_of(client, text="Papadopoulos", model="surnames")
    last = expected[-1]["language"]
    expect(visit.page.locator("[data-output=language]")).to_have_text(last["label"])
    shares = visit.page.locator("#sequence-last .share").all_text_contents()
    best = sorted(last["scores"].items(), key=lambda one: -one[1])[:6]
    assert shares == [f"{label}{100 * share:.1f} %" for label, share in best]
    visit.at("sequence-values").click()
    rows = visit.rows("sequence-table")
    assert [row[0] for row in rows] == [f"{at} “{letter}”" for at, letter in enumerate("Papadopoulos", 1)]
    assert inked(visit.page.locator("#sequence-chart canvas")) > 5
    visit.at("sequence-chart").focus()
    visit.page.keyboard.press("End")
    visit.says("sequence-readout", "^step 12 “s” · ")
    visit.check_clean()


def test_a_table_is_read_whole_and_by_sequence(visit: Visit, client: httpx2.Client) -> None:
    """Whatever a spreadsheet wrote; a column tells sequences apart; each output has its chart."""
    choose(visit)
    visit.says("sequence-meta", f"12 steps read by {MODEL}")
    visit.says("sequence-last", f"{steps_of(client, rows=ROWS, model=MODEL)[-1]['state']['label']}.*next")
    visit.at("sequence-by").select_option("machine")
    visit.says("sequence-summary", "12 rows in 2 sequences")
    visit.at("sequence-which").select_option("1")
    expected = steps_of(client, rows=ROWS[1::2], model=MODEL)
    visit.says("sequence-meta", "6 steps")
    visit.at("sequence-output").select_option("next")
    visit.at("sequence-values").click()
    rows = [float(row[1]) for row in visit.rows("sequence-table")]
    assert rows == pytest.approx([one["next"] for one in expected], abs=1e-3)
    visit.check_clean()


def test_rows_go_through_a_session_one_by_one(visit: Visit, client: httpx2.Client) -> None:
    """It says the same as the whole table, and the session stands where the rows end."""
    choose(visit)
    visit.page.locator("#sequence-form .switch").click()
    visit.at("sequence-run").click()
    visit.says("sequence-meta", "12 of 12 fed. Session ")
    id = visit.text("sequence-meta").rpartition(" ")[2].rstrip(".")
    info = client.get(f"/sessions/{id}").json()
    assert (info["step"], info["metadata"]) == (12, {"made_by": "page", "panel": "sequence"})
    again = client.post("/sessions", json={"model": MODEL}).json()["id"]
    client.post(f"/sessions/{again}/steps", json={"inputs": ROWS})
    states = [client.get(f"/sessions/{one}/row").json()["fields"] for one in (id, again)]
    assert json.dumps(states[0]) == json.dumps(states[1])
    visit.at("sequence-model").select_option("surnames@1")
    visit.at("sequence-text").fill("Tanaka")
    visit.at("sequence-run").click()
    visit.says("sequence-meta", "6 of 6 fed")
    visit.says("sequence-last", "^Japanese")
    visit.check_clean()


def test_a_model_is_chosen_while_rows_stream(visit: Visit) -> None:
    """What was on its way to the old one is forgotten; the new one has the panel to itself."""
    choose(visit)
    visit.page.locator("#sequence-form .switch").click()
    visit.at("sequence-pace").select_option("4")
    visit.at("sequence-run").click()
    visit.says("sequence-meta", "[1-9] of 12 fed")
    visit.at("sequence-model").select_option("surnames@1")
    visit.says("sequence-last", "^Nothing read yet$")
    expect(visit.at("sequence-stop")).to_be_hidden()
    visit.at("sequence-text").fill("Tanaka")
    visit.at("sequence-pace").select_option("0")
    visit.at("sequence-run").click()
    visit.says("sequence-meta", "^6 of 6 fed. Session ")
    visit.says("sequence-last", "^Japanese")
    expect(visit.at("sequence-error")).to_be_empty()
    visit.check_clean()


def test_what_is_wrong_is_said_where_it_is(visit: Visit) -> None:
    """A wrong cell by line and column, a missing column by its name, an empty box in words."""
    visit.open("sequence")
    visit.at("sequence-run").click()
    visit.says("sequence-error", "There is no text yet")
    visit.at("sequence-model").select_option(MODEL)
    visit.at("sequence-run").click()
    visit.says("sequence-error", "There are no rows yet")
    for text, said in (
        ("vibration,temperature\n0.1,warm\n", "line 2: 'warm' is not a number"),
        ("vibration\n0.1\n", "the CSV has no column 'temperature'"),
        ("temperature,vibration\n1,\n", "line 2: the value is missing"),
    ):
        drop(visit, text.encode())
        visit.says("sequence-error", said)
    visit.at("sequence-paste").locator("summary").click()
    visit.at("sequence-rows").fill("vibration,temperature\n0.1,20\n0.2,21")
    visit.at("sequence-use").click()
    visit.says("sequence-meta", "2 steps read")
    expect(visit.at("sequence-error")).to_be_empty()
    visit.check_clean("status of 422")
