"""Plays under other names."""

from __future__ import annotations

import re

import numpy as np

from training.generate.speakers import SpeakerRenamer, invented_name

SPEECHES = [
    "ROMEO:\nIs Juliet here? I am Romeo, not a Romeoist.\n\n",
    "JULIET:\nO Romeo! KING and Lord, hear ROMEO.\n\n",
    "KING HENRY:\nCall Henry a king.\n\n",
    "First Citizen:\nSpeak, Romeo.\n\n",
]
PLAY = "\n" + "\n" + "".join(SPEECHES) * 400


def test_every_name_is_replaced_alike_in_headings_and_speeches() -> None:
    """Ranks, other words and what only begins like a name stay; the shape of the text stays."""
    renamed = SpeakerRenamer(PLAY).renamed(np.random.default_rng(1), 1.0)
    assert not re.search(r"\b(ROMEO|Romeo|JULIET|Juliet|HENRY|Henry)\b", renamed)
    first = renamed.strip().split("\n\n")
    romeo, juliet = first[0].split(":")[0], first[1].split(":")[0]
    assert first[0] == (
        f"{romeo}:\nIs {juliet.capitalize()} here? I am {romeo.capitalize()}, not a Romeoist."
    )
    assert first[1] == f"{juliet}:\nO {romeo.capitalize()}! KING and Lord, hear {romeo}."
    assert first[2].startswith("KING ")
    assert first[3].startswith("First Citizen:\n")
    assert renamed.count("\n\n") == PLAY.count("\n\n")


def test_names_change_along_the_text_and_from_epoch_to_epoch() -> None:
    """A name has many replacements, and the same generator state gives the same text."""
    renamer = SpeakerRenamer(PLAY)
    assert renamer.names == ("HENRY", "JULIET", "ROMEO")
    one, again = (renamer.renamed(np.random.default_rng(2), 0.8) for _ in range(2))
    other = renamer.renamed(np.random.default_rng(3), 0.8)
    assert one == again != other
    assert len(set(re.findall(r"\n\n([A-Z]+):\nIs ", one))) > 3


def test_a_text_without_speakers_or_a_share_of_none_is_left_alone() -> None:
    """Nothing to rename."""
    assert SpeakerRenamer("no play\n\nat all").renamed(np.random.default_rng(0), 1.0) == "no play\n\nat all"
    assert SpeakerRenamer(PLAY).renamed(np.random.default_rng(0), 0.0) == PLAY


def test_invented_names_are_letters_only() -> None:
    """So that every play's alphabet can write them."""
    random = np.random.default_rng(0)
    names = [invented_name(random) for _ in range(500)]
    assert all(re.fullmatch(r"[A-Z]{1,16}", name) for name in names)
    assert len(set(names)) > 400
