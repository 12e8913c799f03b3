"""The panel "Transcribe": words appear as a file is heard, or the microphone where it may be."""

from __future__ import annotations

import re
from pathlib import Path

from playwright.sync_api import Route, expect

from tests.browser.visit import Visit

SOUND = Path(__file__).parent.parent.parent / "examples/digits.wav"


def test_words_of_a_file_appear_with_their_times_and_the_state(visit: Visit) -> None:
    """The same words as the API's; another file begins anew, and what is no sound is said to be none."""
    visit.open("transcribe")
    expect(visit.at("hear-model")).to_have_value("digits@1")
    expect(visit.at("hear-speak")).to_be_enabled()
    for _ in range(2):
        visit.at("hear-file").set_input_files(SOUND)
        visit.says("hear-meta", "finished")
        rows = visit.rows("hear-words")
        assert [row[0] for row in rows] == ["four", "zero", "seven", "seven", "two"]
        assert all(re.fullmatch(r"\d+\.\d\d s", cell) for row in rows for cell in row[1:3])
        visit.says("hear-text", "^four zero seven seven two$")
        assert visit.at("hear-heat").evaluate("canvas => canvas.width") > 15
    visit.at("hear-file").set_input_files(Path(__file__))
    visit.says("hear-error", "no sound that this browser decodes")
    visit.check_clean()


def test_another_file_takes_the_place_of_one_that_is_heard(visit: Visit) -> None:
    """Also of one that came before the models were known; the one that is left says nothing."""
    held: list[Route] = []
    visit.page.route("**/models", lambda route: held.append(route), times=1)
    with visit.page.expect_request("**/models"):
        visit.open("transcribe")
    visit.at("hear-file").set_input_files(SOUND)
    held[0].continue_()
    visit.says("hear-meta", "samples")
    visit.at("hear-file").set_input_files(SOUND)
    visit.says("hear-meta", "finished")
    visit.says("hear-text", "^four zero seven seven two$")
    expect(visit.at("hear-error")).to_be_empty()
    visit.check_clean()


def test_a_microphone_is_heard_until_it_is_stopped(visit: Visit) -> None:
    """A made-up one, which beeps: no words, but samples that are taken."""
    visit.page.context.grant_permissions(["microphone"])
    visit.open("transcribe")
    expect(visit.at("hear-model")).to_have_value("digits@1")
    visit.page.evaluate(
        """() => {
          const context = new AudioContext();
          const tone = context.createOscillator();
          const out = context.createMediaStreamDestination();
          tone.connect(out);
          tone.start();
          navigator.mediaDevices.getUserMedia = async () => out.stream;
        }"""
    )
    visit.at("hear-speak").click()
    visit.says("hear-meta", r"[1-9]\d{3,} samples")
    expect(visit.at("hear-speak")).to_have_text("Stop")
    visit.at("hear-speak").click()
    visit.says("hear-meta", "finished")
    expect(visit.at("hear-speak")).to_have_text("Speak")
    visit.check_clean()
