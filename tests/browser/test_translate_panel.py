"""The panel "Translate": a text, its translation, and lines between what belongs together."""

from __future__ import annotations

import re

import httpx2
from playwright.sync_api import expect

from tests.browser.visit import Visit

TEXT = "Two dogs play in the snow.\nA little girl watches them."


def test_a_text_is_translated_as_the_api_does_it_and_lines_say_from_what(
    visit: Visit, client: httpx2.Client
) -> None:
    """Text, alternatives, a line for each weight that counts, and the weights as a table."""
    body = {"text": TEXT, "source": "en", "target": "de", "beams": 4, "n": 3}
    (expected,) = client.post("/translate", json=body).json()["translations"]
    visit.open("translate")
    expect(visit.at("translate-run")).to_be_enabled()
    visit.at("translate-text").fill(TEXT)
    visit.at("translate-run").click()
    expect(visit.at("translate-result")).to_have_text(expected["text"])
    expect(visit.page.locator("#translate-others li")).to_have_count(2)
    expect(visit.page.locator("#translate-alignment line")).not_to_have_count(0)
    dog = visit.page.locator("#translate-alignment button", has_text=re.compile("^Hunde$"))
    dog.focus()
    visit.says("translate-readout", "Hunde.* from .*dogs")
    visit.at("translate-table").evaluate("table => { table.closest('details').open = true; }")
    rows = visit.rows("translate-table")
    assert all(abs(sum(float(cell) for cell in row[1:]) - 1) < 0.1 for row in rows)
    visit.check_clean()


def test_the_other_direction_a_prefix_and_what_is_refused(visit: Visit) -> None:
    """A prefix stays in front; a mistake stands at the field that it speaks of."""
    visit.open("translate")
    expect(visit.at("translate-run")).to_be_enabled()
    visit.at("translate-direction").select_option("de-en")
    visit.at("translate-text").fill("Eine Frau liest ein Buch.")
    visit.at("translate-prefix").fill("There is")
    visit.at("translate-run").click()
    visit.says("translate-result", "^There is")
    visit.at("translate-text").fill("Eins. Zwei.")
    visit.at("translate-run").click()
    visit.says("translate-error", "alone")
    visit.at("translate-prefix").fill("")
    visit.at("translate-run").click()
    expect(visit.at("translate-error")).to_be_empty()
    visit.complaints = [text for text in visit.complaints if "422" not in text]
    visit.check_clean()
