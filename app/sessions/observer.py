"""Whoever counts what happens to sessions."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol


class SessionObserver(Protocol):
    """Whoever counts sessions; see ``app.telemetry``."""

    def session(self, event: str, count: int = 1) -> None:
        """``created``, ``forked``, ``closed``, ``expired``, ``conflict``, ``replayed``, ``rewound``,
        ``migrated``, ``snapshot``, ``exported``, ``imported``, ``quarantined``, ``corrupt`` or ``refused``
        happened.
        """
        ...

    def session_calls(self, ok: int, failed: Sequence[str], seconds: float) -> None:
        """Step calls that came together ended: how many well, and the outcomes of the others."""
        ...

    def session_steps(self, model: str, count: int) -> None:
        """Steps were applied and stored."""
        ...
