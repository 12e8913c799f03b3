"""The order of versions."""

from __future__ import annotations

import re
from collections.abc import Iterable


def version_key(version: str) -> tuple[tuple[int, int, str], ...]:
    """Sorts versions as people count: 2 before 10, 1.2 before 1.10."""
    parts = re.findall(r"\d+|[A-Za-z]+", version)
    return tuple((1, int(part), "") if part.isdigit() else (0, 0, part) for part in parts)


def in_order(references: Iterable[str]) -> list[str]:
    """``name@version``, by name, versions ascending."""
    parted = sorted((one.partition("@") for one in references), key=lambda one: (one[0], version_key(one[2])))
    return ["".join(one) for one in parted]
