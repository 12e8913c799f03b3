"""What is wrong, said once and not at every look."""

from __future__ import annotations

import logging
from collections.abc import Collection

logger = logging.getLogger(__name__)


class Complaints:
    """Remembers what was wrong the last time."""

    def __init__(self) -> None:
        self._known: frozenset[str] = frozenset()

    def complain(self, problems: Collection[str]) -> None:
        """Log what was not wrong the last time."""
        for problem in sorted(set(problems) - self._known):
            logger.error("%s", problem)
        self._known = frozenset(problems)
