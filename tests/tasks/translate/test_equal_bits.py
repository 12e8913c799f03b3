"""A translation never depends on its neighbours, and its score is what forced decoding says."""

from __future__ import annotations

import random
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.e2e.server import ServerProcess
from tests.tasks.translate.conftest import Ask

TEXTS = [
    "A man in a red jacket rides a bicycle.",
    "Dogs.",
    "A little girl in a pink dress is climbing up a set of stairs in an entry way.",
    "Two men.",
    "A group of people stands in front of an old building while a woman in a blue shirt looks at them.",
    "The boy jumps into the water.",
    "🐕",
    "x " * 60,
]


@pytest.fixture(scope="module")
def alone(ask: Ask) -> dict[tuple[str, int], dict[str, Any]]:
    """Each translated by itself, by beams."""
    return {
        (text, beams): ask(text=text, source="en", beams=beams, n=min(2, beams), alignments=True)[
            "translations"
        ][0]
        for text in TEXTS
        for beams in (1, 3, 4)
    }


@settings(max_examples=12, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(st.sampled_from(TEXTS), min_size=1, max_size=12), st.sampled_from([1, 3, 4]))
def test_in_any_company_and_order(
    ask: Ask, alone: dict[tuple[str, int], dict[str, Any]], texts: list[str], beams: int
) -> None:
    """Text, score, alternatives and alignment, as alone."""
    found = ask(text=texts, source="en", beams=beams, n=min(2, beams), alignments=True)["translations"]
    assert found == [alone[text, beams] for text in texts]


def test_among_64_neighbours_at_once(
    translator: ServerProcess, alone: dict[tuple[str, int], dict[str, Any]]
) -> None:
    """Requests of all lengths and widths that run together."""
    chance = random.Random(0)
    wanted = [(chance.choice(TEXTS), chance.choice([1, 3, 4])) for _ in range(64)]
    with translator.client() as client, ThreadPoolExecutor(64) as pool:

        def one(asked: tuple[str, int]) -> dict[str, Any]:
            text, beams = asked
            body = {"text": text, "source": "en", "beams": beams, "n": min(2, beams), "alignments": True}
            found: dict[str, Any] = client.post("/translate", json=body).json()["translations"][0]
            return found

        assert list(pool.map(one, wanted)) == [alone[asked] for asked in wanted]


@pytest.mark.parametrize("text", [TEXTS[0], TEXTS[2]])
def test_each_score_is_that_of_forced_decoding(translator: ServerProcess, ask: Ask, text: str) -> None:
    """A session that is fed a hypothesis says how likely its tokens were, and its end is likely next."""
    (found,) = ask(text=text, source="en", n=3, length_penalty=0.6)["translations"]
    hypotheses = [(found["text"], found["score"])]
    hypotheses += [(other["text"], other["score"]) for other in found["alternatives"]]
    with translator.client() as client:
        for said, score in hypotheses:
            options = {"text": text, "source": "en", "target": "de"}
            id = client.post("/sessions", json={"task": "translate", "options": options}).json()["id"]
            fed = client.post(f"/sessions/{id}/steps", json={"inputs": said}).json()["outputs"]
            end = next(item for item in fed[-1]["next"] if not item["token"])
            logprob = sum(output["logprob"] for output in fed) + end["logprob"]
            assert logprob / ((5 + len(fed) + 1) / 6) ** 0.6 == pytest.approx(score, abs=2e-4)
