"""The panel "Compose": a melody clicked in, harmonised, played, gone on with differently, saved."""

from __future__ import annotations

import json
import re
from typing import Any

import httpx2
import pytest
from playwright.sync_api import Request, expect

from app.tasks.compose.midi import read_midi
from tests.browser.visit import Visit, inked

SCALE = ["G4", "A4", "B4", "C5", "D5", "D5", "B4", "B4", "C5", "B4", "A4", "B4", "G4", "G4", "G4", "G4"]


def asked(visit: Visit) -> list[dict[str, Any]]:
    """The requests for music, as they are made from now on."""
    found: list[dict[str, Any]] = []

    def note(request: Request) -> None:
        if request.url.endswith("/compose"):
            found.append(json.loads(request.post_data or ""))

    visit.page.on("request", note)
    return found


def open_compose(visit: Visit) -> None:
    """With the first melody."""
    visit.open("compose")
    expect(visit.at("music-legend").locator("span")).not_to_have_count(0)


def written(visit: Visit) -> None:
    """Wait until a piece is there."""
    visit.says("music-meta", "nats a step; written in")


def chords(visit: Visit) -> list[list[str]]:
    """Of each beat the names of the notes."""
    return [row[1:] for row in visit.rows("music-table")]


@pytest.fixture
def music(visit: Visit) -> Visit:
    """On the panel."""
    open_compose(visit)
    return visit


def test_a_melody_is_harmonised_and_played(music: Visit, client: httpx2.Client) -> None:
    """As the API harmonises it; it stays as it is, and the roll fills."""
    requests = asked(music)
    before = inked(music.at("music-roll"))
    music.at("music-seed").fill("7")
    music.says("music-run", "Harmonise")
    music.at("music-run").click()
    written(music)
    assert [row[0] for row in chords(music)] == SCALE
    expect(music.at("music-play")).to_have_text(re.compile("Stop|Play"))
    assert inked(music.at("music-roll")) > before
    (body,) = requests
    answer = client.post("/compose", json={**body, "stream": False}).json()
    lines = [[note["pitch"] for note in line] for line in answer["pieces"][0]["notes"].values()]
    assert len(lines) == 4
    assert all(lines)
    assert f"{answer['pieces'][0]['nats'] / 64:.2f} nats a step" in music.text("music-meta")
    # Chromium's advice on looking at the pixels twice, which this test does and the page does not.
    music.check_clean("willReadFrequently")


def test_notes_are_written_and_taken_away(music: Visit) -> None:
    """By a click, and with the keyboard; what was there before gives way."""
    requests = asked(music)
    music.at("music-clear").click()
    music.says("music-run", "Compose")
    roll = music.at("music-roll")
    roll.press("Enter")
    music.says("music-run", "Harmonise")
    roll.press("Enter")
    music.says("music-run", "Compose")
    roll.press("Enter")
    for key in ("Shift+ArrowRight", "ArrowUp", "ArrowUp", "Enter"):
        roll.press(key)
    music.says("music-readout", r"bar 1, beat 2: A4")
    box = roll.bounding_box()
    assert box is not None
    roll.click(position={"x": 34 + (box["width"] - 34) * 8.5 / 64, "y": box["height"] * 0.3})
    music.says("music-readout", r"bar 1, beat 3: ")
    music.at("music-bars").fill("1")
    music.at("music-run").click()
    written(music)
    (body,) = requests
    assert [(note["pitch"], note["start"], note["duration"]) for note in body["melody"][:2]] == [
        (67, 0, 4),
        (69, 4, 4),
    ]
    assert (body["steps"], body["melody"][2]["start"], len(body["melody"])) == (16, 8, 3)
    music.check_clean()


def test_another_way_is_gone_from_the_mark_and_saved(music: Visit) -> None:
    """What lies before the mark stays; both ways are kept; the file holds what is shown."""
    music.at("music-clear").click()
    music.at("music-bars").fill("2")
    music.at("music-seed").fill("3")
    music.at("music-run").click()
    written(music)
    first = chords(music)
    roll = music.at("music-roll")
    for _ in range(4):
        roll.press("Shift+ArrowRight")
    music.at("music-seed").fill("4")
    music.at("music-fork").click()
    expect(music.at("music-branches").locator("button")).to_have_count(2)
    music.says("music-meta", "Seed 4; ")
    second = chords(music)
    assert second[:4] == first[:4]
    assert second[4:] != first[4:]
    with music.page.expect_download() as download:
        music.at("music-midi").click()
    parts = read_midi(download.value.path().read_bytes(), 4, 32, 100_000, "file")
    assert {part.name for part in parts} == {"soprano", "bass", "alto", "tenor"}
    assert max(note.start + note.duration for part in parts for note in part.notes) == 32
    music.at("music-branches").get_by_text("A").click()
    assert chords(music) == first
    music.at("music-play").click()
    expect(music.at("music-play")).to_have_text("Stop")
    music.at("music-play").click()
    expect(music.at("music-play")).to_have_text("Play")
    music.check_clean()


def test_what_the_server_refuses_stands_beside_its_field(music: Visit) -> None:
    """And the way that came to nothing is gone."""
    music.at("music-tempo").fill("5")
    music.at("music-run").click()
    expect(music.page.locator("#music-tempo-wrong")).to_be_visible()
    expect(music.at("music-branches").locator("button")).to_have_count(0)
    music.check_clean("422")
