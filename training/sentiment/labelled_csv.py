"""A CSV of the user's own: one column of texts, one of labels."""

from __future__ import annotations

import csv
from pathlib import Path
from typing import Any

import numpy as np

from app.core.errors import DataError
from training.sentiment.reviews import LabelledTexts

MAX_LABELS = 1000
_PART = 0.1
"""Share of the texts that validates, and that tests."""


def read_labelled_csv(path: Path, text: str, label: str) -> tuple[tuple[str, ...], LabelledTexts]:
    """Read the columns ``text`` and ``label`` of a UTF-8 CSV with a header.

    Rows whose text is blank are left out; labels may be any strings and are sorted.

    Returns:
        The label names and the texts.

    Raises:
        DataError: the file cannot be read, a column is missing, a line has more or fewer cells than the
            header, a label is empty, or there are fewer than two labels.
    """
    csv.field_size_limit(2**31 - 1)
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            reader = csv.DictReader(file, strict=True)
            columns = list(reader.fieldnames or [])
            for name in (text, label):
                if name not in columns:
                    known = ", ".join(columns) or "none"
                    raise DataError(f"{path.name!r} has no column {name!r}; its columns: {known}")
            rows: list[tuple[str, str]] = []
            for row in reader:
                _check_width(row, columns, f"{path.name!r}, line {reader.line_num}")
                content, value = (row[text] or "").strip(), (row[label] or "").strip()
                if content and not value:
                    raise DataError(f"{path.name!r}, line {reader.line_num}: the label is empty")
                if content:
                    rows.append((content, value))
    except OSError as error:
        raise DataError(f"cannot read {path.name!r}: {error.strerror}") from error
    except (UnicodeDecodeError, csv.Error) as error:
        raise DataError(f"{path.name!r} is not a UTF-8 CSV: {error}") from error
    names = tuple(sorted({value for _, value in rows}))
    if not 2 <= len(names) <= MAX_LABELS:
        allowed = f"allowed: 2 to {MAX_LABELS}"
        raise DataError(f"column {label!r} of {path.name!r} has {len(names)} labels; {allowed}")
    index = {name: position for position, name in enumerate(names)}
    return names, LabelledTexts([content for content, _ in rows], [index[value] for _, value in rows])


def _check_width(row: dict[str | Any, Any], columns: list[str], where: str) -> None:
    """Raise DataError for a line of another width: what is right of a stray comma would be a label."""
    beyond = row.get(None) or []
    # A comma at each line's end is an empty cell more.
    if any(cell.strip() for cell in beyond):
        raise DataError(
            f"{where}: it has {len(columns) + len(beyond)} cells, and the header {len(columns)}; "
            'put a text that has a comma in it into quotes: "like this, for example"'
        )
    missing = [name for name in columns if row[name] is None]
    if missing and any(row[name] for name in columns):
        raise DataError(f"{where}: it has no cell for {', '.join(map(repr, missing))}")


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
