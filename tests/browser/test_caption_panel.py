"""The panel "Caption": words about a picture, and where each looked."""

from __future__ import annotations

import re
from pathlib import Path

from playwright.sync_api import Route, expect

from tests.browser.visit import Visit

PICTURE = Path(__file__).parent.parent.parent / "examples/photographer.jpg"


def test_a_picture_is_captioned_and_each_word_shows_where_it_looked(visit: Visit) -> None:
    """The best of several captions; the picture is darkened but there; what is no picture is refused."""
    visit.open("caption")
    expect(visit.at("caption-model")).to_have_value("captioner@1")
    visit.at("caption-file").set_input_files(PICTURE)
    visit.says("caption-meta", "Score .* beams")
    words = visit.at("caption-words").locator("button")
    text = visit.at("caption-result").inner_text()
    assert re.search(r"\bman\b", text)
    assert [word.replace(",", "") for word in text.split()] == [
        word for word in words.all_inner_texts() if word != ","
    ]
    expect(visit.at("caption-others").locator("li")).to_have_count(2)
    canvas = visit.at("caption-picture")
    assert canvas.evaluate("canvas => canvas.width / canvas.height") == 1
    brightness = """canvas => {
      const { data } = canvas.getContext("2d").getImageData(0, 0, canvas.width, canvas.height);
      return data.reduce((sum, value) => sum + value, 0);
    }"""
    whole = canvas.evaluate(brightness)
    words.nth(1).focus()
    visit.says("caption-readout", f"“{words.nth(1).inner_text()}” looked most at the .* of its attention")
    assert canvas.evaluate(brightness) < 0.9 * whole
    words.nth(1).blur()
    expect(visit.at("caption-readout")).to_be_empty()
    assert canvas.evaluate(brightness) == whole
    assert len(visit.rows("caption-table")) == 49
    visit.at("caption-file").set_input_files(Path(__file__))
    visit.says("caption-error", "cannot be read")
    # The refused file; and that this test reads the picture again and again.
    visit.check_clean("status of 422", "Multiple readback")


def test_another_picture_takes_the_place_of_one_that_is_captioned(visit: Visit) -> None:
    """Also of one that came before the models were known."""
    held: list[Route] = []
    visit.page.route("**/models", lambda route: held.append(route), times=1)
    with visit.page.expect_request("**/models"):
        visit.open("caption")
    visit.at("caption-file").set_input_files(PICTURE)
    visit.at("caption-file").set_input_files(PICTURE.with_name("photographer-small.jpg"))
    held[0].continue_()
    visit.says("caption-meta", "Score")
    assert visit.at("caption-picture").evaluate("canvas => canvas.width") == 112
    expect(visit.at("caption-error")).to_be_empty()
    visit.at("caption-beams").fill("2")
    visit.at("caption-run").click()
    visit.says("caption-meta", "with 2 beams")
    expect(visit.at("caption-others").locator("li")).to_have_count(1)
    visit.check_clean()
