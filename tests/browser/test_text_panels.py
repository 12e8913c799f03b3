"""The panels "Sentiment" and "Generate": sessions that follow the keyboard, write, stop, fork and go back."""

from __future__ import annotations

import re
import time
from typing import Any

import httpx2
import pytest
from playwright.sync_api import Route, expect

from tests.browser.visit import Visit, inked

pytestmark = pytest.mark.long
BETTER = "The plot is thin, yet the acting is superb"
SAMPLING = {"temperature": 0.7, "top_k": 0, "top_p": 1, "logprobs": 5, "advance": True}


def running_scores(client: httpx2.Client, text: str) -> list[float]:
    """The API's probability of the last label after each token."""
    (result,) = client.post("/sentiment", json={"text": text, "trace": True}).json()["results"]
    label = list(result["scores"])[-1]
    return [one["scores"][label] for one in result["trace"]]


def shown_scores(visit: Visit) -> list[float]:
    """What the coloured words say."""
    found: list[str] = visit.at("mood-words").evaluate(
        "words => [...words.querySelectorAll('.word')].map(one => one.dataset.score)"
    )
    return [float(one) for one in found if one is not None]


def open_sentiment(visit: Visit) -> None:
    """With an empty box, and the model chosen."""
    visit.open("sentiment")
    expect(visit.page.locator("#mood-meters .meter")).not_to_have_count(0)
    visit.says("mood-label", "Nothing read yet")


def sessions_of_page(client: httpx2.Client, panel: str) -> list[dict[str, Any]]:
    """The open sessions that a panel of the page has made."""
    found = client.get("/sessions?limit=500").json()["sessions"]
    return [one for one in found if one["metadata"] == {"made_by": "page", "panel": panel}]


def wait_for_none(client: httpx2.Client, panel: str) -> None:
    """The browser sends what ends a session after it has left the page."""
    deadline = time.monotonic() + 30
    while (found := sessions_of_page(client, panel)) and time.monotonic() < deadline:
        time.sleep(0.1)
    assert found == []


def test_a_session_is_opened_by_the_first_word_and_ends_with_the_visit(
    visit: Visit, client: httpx2.Client
) -> None:
    """Looking alone opens none; what is opened says who opened it."""
    open_sentiment(visit)
    visit.page.wait_for_timeout(600)
    assert sessions_of_page(client, "sentiment") == []
    visit.at("mood-text").press_sequentially("A warm film. ")
    visit.says("mood-meta", "step 4")
    assert len(sessions_of_page(client, "sentiment")) == 1
    visit.check_clean()
    visit.page.goto("about:blank")
    wait_for_none(client, "sentiment")


def test_a_text_begun_anew_ends_the_sessions_of_the_one_before(visit: Visit, client: httpx2.Client) -> None:
    """And leaving the page those of the last; a visit alone writes nothing."""
    visit.page.emulate_media(reduced_motion="no-preference")
    visit.open("generate")
    expect(visit.at("generate-run")).to_be_enabled()
    visit.page.wait_for_timeout(600)
    assert sessions_of_page(client, "generate") == []
    assert visit.text("tokens") == ""
    for seed in (1, 2):
        write(visit, seed=seed, tokens=5)
        ended(visit, "its length")
    assert [one["step"] for one in sessions_of_page(client, "generate")] == [12]
    visit.page.goto("about:blank")
    wait_for_none(client, "generate")


def test_the_colour_under_a_word_is_said_to_be_the_verdict_so_far(visit: Visit) -> None:
    """In a sentence above, and at each word; the word itself is not coloured."""
    open_sentiment(visit)
    visit.says("mood-hint", "verdict on all the words up to there, not on that word")
    visit.at("mood-text").fill(f"{BETTER}.")
    expect(visit.page.locator("#mood-table tbody tr")).to_have_count(11)
    word = visit.page.locator("#mood-words .word").first
    said = re.compile(r"^after “The”: (positive|neutral|negative) \d+\.\d %$")
    expect(word).to_have_attribute("title", said)
    expect(word).to_have_css("background-color", "rgba(0, 0, 0, 0)")
    text = visit.at("mood-text").evaluate("one => getComputedStyle(one).color")
    expect(word).to_have_css("color", text)


def test_a_text_in_another_language_is_told(visit: Visit) -> None:
    """Under the verdict, for as long as most of the words are unknown."""
    open_sentiment(visit)
    visit.at("mood-text").fill("Das ist ein sehr schöner Film.")
    visit.says("mood-warning", r"^The model knows 3 of 7 tokens, .*\.$")
    visit.at("mood-text").fill(f"{BETTER}.")
    visit.says("mood-warning", "^$")
    visit.check_clean()


def test_the_score_follows_each_word_as_it_is_typed(visit: Visit, client: httpx2.Client) -> None:
    """The last word counts once the typing pauses, and the numbers are those of the whole text at once."""
    open_sentiment(visit)
    visit.at("mood-text").press_sequentially("The plot is thin, ")
    visit.says("mood-label", "negative")
    visit.at("mood-text").press_sequentially("yet the acting is superb, and moving")
    expected = running_scores(client, "The plot is thin, yet the acting is superb, and moving")
    expect(visit.page.locator("#mood-words .word.waiting")).to_have_count(0)
    expect(visit.page.locator("#mood-table tbody tr")).to_have_count(len(expected))
    assert shown_scores(visit) == pytest.approx(expected, abs=2e-6)
    assert expected[5] < 0.5 < expected[-1], "the example is one that turns"
    visit.says("mood-label", "positive")
    visit.says("mood-score", f"{100 * expected[-1]:.1f} %")
    visit.says("mood-meta", f"step {len(expected)}")
    assert inked(visit.page.locator("#mood-chart canvas")) > 5
    visit.check_clean()


def test_a_change_in_the_middle_is_read_again_from_the_start(visit: Visit, client: httpx2.Client) -> None:
    """The session is rewound, and the numbers are those of the new text."""
    open_sentiment(visit)
    visit.at("mood-text").fill(f"{BETTER}.")
    expect(visit.page.locator("#mood-table tbody tr")).to_have_count(11)
    changed = f"{BETTER.replace('superb', 'terrible')}."
    visit.at("mood-text").fill(changed)
    visit.says("mood-words", "terrible")
    visit.says("mood-label", "negative")
    assert shown_scores(visit) == pytest.approx(running_scores(client, changed), abs=2e-6)


def test_the_running_score_is_read_with_the_keyboard(visit: Visit) -> None:
    """And the word that is meant is marked."""
    open_sentiment(visit)
    visit.at("mood-text").fill(f"{BETTER}.")
    expect(visit.page.locator("#mood-table tbody tr")).to_have_count(11)
    visit.at("mood-chart").focus()
    for key in ("Home", "ArrowRight", "ArrowRight", "ArrowRight"):
        visit.page.keyboard.press(key)
    visit.says("mood-readout", "after “thin”: negative")
    expect(visit.page.locator("#mood-words .marked")).to_have_text("thin")


def written(client: httpx2.Client, prompt: str, seed: int, tokens: int) -> dict[str, Any]:
    """What the API writes token by token from one session, as the page does."""
    session = client.post("/sessions", json={"task": "generate"}).json()["id"]
    client.post(f"/sessions/{session}/steps", json={"inputs": prompt})
    text = ""
    for turn in range(tokens):
        body = SAMPLING | {"seed": seed + turn, "max_tokens": 1}
        answer = client.post(f"/sessions/{session}/generate", json=body).json()
        text += answer["choices"][0]["text"]
    return {"id": session, "text": text, "last": answer["choices"][0]["logprobs"][0]}


def write(visit: Visit, *, seed: int, tokens: int, pace: str = "watch") -> None:
    """Set the controls and press the button."""
    visit.at("seed").fill(str(seed))
    visit.at("max-tokens").fill(str(tokens))
    visit.at("pace").select_option(pace)
    visit.at("generate-run").click()


def ended(visit: Visit, how: str) -> None:
    """Wait for the end."""
    visit.says("g-end", how)
    expect(visit.at("generate-run")).to_be_enabled()


def place(visit: Visit, token: int) -> None:
    """Set the caret on a token, with the keyboard."""
    visit.at("tokens").focus()
    visit.page.keyboard.press("Home")
    for _ in range(token - 1):
        visit.page.keyboard.press("ArrowRight")
    visit.says("token-detail", rf"^{token} of ")


def session_of(client: httpx2.Client) -> dict[str, Any]:
    """The session that was written last."""
    sessions = client.get("/sessions").json()["sessions"]
    newest: dict[str, Any] = max(sessions, key=lambda one: one["updated_at"])
    return newest


def test_the_text_its_probabilities_and_its_state_are_the_apis(visit: Visit, client: httpx2.Client) -> None:
    """Same seeds, same text; the last token's probability and alternatives; a column of state a token."""
    visit.open("generate")
    write(visit, seed=11, tokens=24)
    ended(visit, "its length")
    own = written(client, "ROMEO:\n", 11, 24)
    assert visit.text("tokens") == f"ROMEO:\n{own['text']}"
    visit.says("g-step", "^31$")
    visit.says("g-first", "ms")
    visit.says("g-rate", r"\d")
    place(visit, 31)
    likely = 100 * 2.718281828459045 ** own["last"]["logprob"]
    visit.says("token-detail", f"{likely:.1f} % likely")
    for canvas in visit.page.locator("#heat canvas").all():
        assert inked(canvas) > 50
    visit.page.locator("#heat-fields label", has_text="layer1.c").click()
    expect(visit.page.locator("#heat canvas")).to_have_count(3)
    visit.check_clean()


@pytest.mark.parametrize(
    ("panel", "form"),
    [("sequence", "sequence-form"), ("compose", "music-form"), ("generate", "generate-form")],
)
def test_nothing_is_asked_before_the_models_are_known(visit: Visit, panel: str, form: str) -> None:
    """A click that comes early is not lost: no button takes one."""
    held: list[Route] = []
    visit.page.route("**/models", lambda route: held.append(route))
    visit.open(panel)
    run = visit.at(form).locator("button[type=submit]")
    expect(run).to_be_disabled()
    samples = visit.at(form).locator(".samples button").all()
    for button in samples:
        expect(button).to_be_disabled()
    held.pop().continue_()
    for button in [run, *samples]:
        expect(button).to_be_enabled()


def test_a_text_is_written_on_request(visit: Visit) -> None:
    visit.open("generate")
    write(visit, seed=3, tokens=8)
    ended(visit, "its length")


def test_pointing_at_the_state_reads_the_number_that_the_api_has(visit: Visit, client: httpx2.Client) -> None:
    """Of a unit, after a token."""
    visit.open("generate")
    write(visit, seed=3, tokens=8)
    ended(visit, "its length")
    session = session_of(client)
    (field,) = client.get(f"/sessions/{session['id']}/row?fields=layer1.h").json()["fields"]
    canvas = visit.page.locator("#heat canvas").nth(1)
    box = canvas.bounding_box()
    assert box is not None
    columns = canvas.evaluate("canvas => canvas.width")
    # 64 of 448 units are shown, so the second line from the top is unit 7.
    canvas.hover(position={"x": 14.5 * box["width"] / columns, "y": 1.5 * box["height"] / 64})
    visit.says("heat-readout", rf"layer1.h, unit 7, .*: {field['values'][7]:.3f}$")


def test_a_running_text_is_stopped(visit: Visit, client: httpx2.Client) -> None:
    """At once; the session stands where the text ends."""
    visit.open("generate")
    write(visit, seed=1, tokens=900)
    visit.says("tokens", "^ROMEO:\n.{5,}")
    visit.at("generate-stop").click()
    ended(visit, "you")
    text = visit.text("tokens")
    assert 12 <= len(text) < 900
    assert session_of(client)["step"] == len(text)
    visit.check_clean()


def test_full_speed_is_one_stream(visit: Visit, client: httpx2.Client) -> None:
    """And its text is the API's for the whole request."""
    visit.open("generate")
    write(visit, seed=5, tokens=200, pace="full")
    ended(visit, "its length")
    session = client.post("/sessions", json={"task": "generate"}).json()["id"]
    client.post(f"/sessions/{session}/steps", json={"inputs": "ROMEO:\n"})
    body = SAMPLING | {"seed": 5, "max_tokens": 200}
    own = client.post(f"/sessions/{session}/generate", json=body).json()
    assert visit.text("tokens") == "ROMEO:\n" + own["choices"][0]["text"]
    visit.says("g-step", "^207$")


def test_rewound_to_a_character_it_goes_on_as_if_nothing_had_followed(
    visit: Visit, client: httpx2.Client
) -> None:
    """The state is that of the shorter text: what is written next is what the API writes from there."""
    visit.open("generate")
    write(visit, seed=7, tokens=30)
    ended(visit, "its length")
    before = visit.text("tokens")
    place(visit, 20)
    visit.at("rewind-here").click()
    ended(visit, "rewound to 20")
    assert visit.text("tokens") == before[:20]
    visit.says("g-step", "^20$")
    visit.at("seed").fill("99")
    visit.at("max-tokens").fill("15")
    visit.at("generate-more").click()
    ended(visit, "its length")
    own = written(client, before[:20], 99, 15)
    assert visit.text("tokens") == before[:20] + own["text"]
    visit.check_clean()


def test_a_fork_goes_on_differently_and_the_original_stays(visit: Visit, client: httpx2.Client) -> None:
    """Two branches with a common beginning, each in a session of its own."""
    visit.open("generate")
    write(visit, seed=7, tokens=30)
    ended(visit, "its length")
    before = visit.text("tokens")
    original = session_of(client)["id"]
    place(visit, 18)
    visit.at("fork-here").click()
    ended(visit, "forked")
    assert visit.text("tokens") == before[:18]
    visit.at("seed").fill("42")
    visit.at("max-tokens").fill("12")
    visit.at("generate-more").click()
    ended(visit, "its length")
    own = written(client, before[:18], 42, 12)
    assert visit.text("tokens") == before[:18] + own["text"]
    visit.page.get_by_role("button", name="main").click()
    assert visit.text("tokens") == before
    assert client.get(f"/sessions/{original}").json()["step"] == len(before)
    forks = [
        one for one in client.get("/sessions").json()["sessions"] if one["metadata"].get("parent") == original
    ]
    assert [one["metadata"]["at_step"] for one in forks] == [18]
    visit.check_clean()


def test_a_model_that_ends_by_itself_does(visit: Visit) -> None:
    """A name from nothing, without a prompt."""
    visit.open("generate")
    visit.at("generate-model").select_option("names@1")
    expect(visit.at("prompt")).to_have_value("")
    write(visit, seed=4, tokens=60)
    ended(visit, "the model itself")
    assert 2 <= len(visit.text("tokens")) < 30


def test_a_wrong_sampling_is_told_at_its_field(visit: Visit) -> None:
    """By the API, in words."""
    visit.open("generate")
    visit.at("top-p").fill("7")
    visit.at("generate-run").click()
    expect(visit.at("top-p")).to_have_attribute("aria-invalid", "true")
    visit.says("generate-error", "The request is not valid")
    visit.check_clean("status of 422")
