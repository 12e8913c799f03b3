"""What captions are measured by, against figures worked out by hand and by others' code."""

from __future__ import annotations

import math

import numpy as np
import pytest

from training.caption.baselines import consensus, constant
from training.caption.cider import Cider
from training.caption.corpus import words_of
from training.caption.measure import bleu

DOG = "a black dog runs on the beach"
TRUTH = [
    [DOG.split(), ["the", "dog", "is", "running", "on", "sand"]],
    [["two", "men", "play", "football"], ["two", "players", "fight", "for", "the", "ball"]],
    [["a", "girl", "on", "a", "swing"], ["a", "child", "swings"]],
]


def test_cider_of_what_people_say_themselves_is_high_and_of_anything_else_low() -> None:
    """A caption scores by what others say of the same picture and of no other one."""
    cider = Cider(TRUTH)
    own = cider.score([captions[0] for captions in TRUTH])
    turned = cider.score([captions[0] for captions in TRUTH[1:] + TRUTH[:1]])
    assert own > 5
    assert turned < 0.3


def test_cider_of_one_word_is_as_worked_out_by_hand() -> None:
    """Two pictures, a caption each: of "dog cat" against "dog bird", by single words and by pairs."""
    cider = Cider([[["dog", "bird"]], [["fish", "bird"]]])
    # "bird" is said of both pictures, so it counts for nothing; "dog" and what nobody says count ln 2.
    rare = math.log(2)
    by_words = rare * rare / (rare * math.sqrt(2 * rare**2))
    first = 10 * by_words / 4
    assert cider.score([["dog", "cat"], ["x"]]) == pytest.approx(first / 2)
    # Three words more are a pair of words each, by which the penalty is.
    penalty = math.exp(-(3**2) / (2 * 6**2))
    longer = rare * rare / (rare * math.sqrt(5 * rare**2))
    told = ["dog", "cat", "a", "b", "c"]
    assert cider.score([told, ["x"]]) == pytest.approx(10 * penalty * longer / 4 / 2)


def test_cider_clips_what_is_said_again_and_again() -> None:
    """Repeating the telling word does not pay."""
    cider = Cider([[["dog", "bird"]], [["fish", "cow"]]])
    once, often = (cider.score([["dog", "sky", *["dog"] * count], ["x"]]) for count in (0, 3))
    assert often < once


def test_bleu_is_clipped_and_punished_for_brevity_by_the_closest_reference() -> None:
    """Papineni et al. 2002, the example of the authors; marks and case count for nothing."""
    truth = [[["the", "cat", "is", "on", "the", "mat"], ["there", "is", "a", "cat", "on", "the", "mat"]]]
    assert bleu(["The the the the, the the the."], truth, 1) == pytest.approx(100 * 2 / 7)
    assert bleu(["the cat"], truth, 1) == pytest.approx(100 * math.exp(1 - 6 / 2))
    assert bleu(["There is a cat on the mat!"], truth, 4) == pytest.approx(100)
    uneven = [*truth, [DOG.split()]]
    assert bleu(["the cat is on the mat", DOG], uneven, 4) == pytest.approx(100)


def test_a_consensus_is_of_the_pictures_that_look_alike() -> None:
    """Each picture gets the caption on which those near to it agree, never a short one."""
    random = np.random.default_rng(0)
    centres = np.array([[0.0, 5.0, 0.0], [5.0, 0.0, 0.0]])
    known = np.concatenate([centre + random.normal(0, 0.1, (30, 3)) for centre in centres])
    captions = [[f"a dog number {index % 3} runs over the green grass", "a dog"] for index in range(30)] + [
        ["two men stand in front of a tall building", f"people {index}"] for index in range(30)
    ]
    found = consensus(known.astype(np.float32), captions, centres[::-1].astype(np.float32))
    assert found[0] == "two men stand in front of a tall building"
    assert "dog" in found[1]
    everything = [caption for said in captions for caption in said]
    assert constant(everything) == "two men stand in front of a tall building"


def test_words_are_compared_without_case_and_marks() -> None:
    assert words_of("A dog's t-shirt, isn't it?") == ["a", "dog's", "t", "shirt", "isn't", "it"]
