"""A CSV of the user's own: one column of texts, one of labels."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from app.core.errors import DataError
from app.features.table import read_table
from training.recipe import reading
from training.sentiment.reviews import LabelledTexts

MAX_LABELS = 1000
_PART = 0.1
"""Share of the texts that validates, and that tests."""


def read_labelled_csv(path: Path, text: str, label: str) -> tuple[tuple[str, ...], LabelledTexts]:
    """Read the columns ``text`` and ``label`` of a CSV with a header.

    Rows whose text is blank are left out; labels may be any strings and are sorted.

    Returns:
        The label names and the texts.

    Raises:
        DataError: the file cannot be read, a column is missing, a label is empty, or there are fewer than two
            labels.
    """
    with reading(path):
        table = read_table(path.read_bytes())
        places = table.index_of(text, "--text"), table.index_of(label, "--label")
    rows: list[tuple[str, str]] = []
    for row in table.rows:
        content, value = (row.cells[place] for place in places)
        if content and not value:
            raise DataError(f"{path.name!r}, line {row.line}: the label is empty")
        if content:
            rows.append((content, value))
    names = tuple(sorted({value for _, value in rows}))
    if not 2 <= len(names) <= MAX_LABELS:
        allowed = f"allowed: 2 to {MAX_LABELS}"
        raise DataError(f"column {label!r} of {path.name!r} has {len(names)} labels; {allowed}")
    index = {name: position for position, name in enumerate(names)}
    return names, LabelledTexts([content for content, _ in rows], [index[value] for _, value in rows])


def split_labelled(
    names: tuple[str, ...], data: LabelledTexts, seed: int
) -> tuple[LabelledTexts, LabelledTexts, LabelledTexts]:
    """Deal texts at random into train, validation and test parts, each label in the same proportion.

    Raises:
        DataError: a label has too few texts to appear in every part.
    """
    random = np.random.default_rng(seed)
    parts: list[list[int]] = [[], [], []]
    for position, name in enumerate(names):
        members = [index for index, label in enumerate(data.labels) if label == position]
        if len(members) < 3:
            raise DataError(f"label {name!r} has {len(members)} texts; at least 3 are needed to split them")
        members = [members[index] for index in random.permutation(len(members))]
        part = max(1, int(len(members) * _PART))
        parts[0] += members[2 * part :]
        parts[1] += members[part : 2 * part]
        parts[2] += members[:part]
    train, held_out, tested = (data.take(sorted(part)) for part in parts)
    return train, held_out, tested
