"""What can go wrong, as the client raises it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any


class Problem(Exception):
    """The server refused a request.

    Args:
        document: the problem, as in docs/api.md.

    Attributes:
        status: of HTTP.
        name: the last part of the problem's type, such as ``sequence-conflict``.
        step: of the session, where the server said so.
        attempts: how often the request was sent; with more than one, an earlier one may have been applied.
    """

    def __init__(self, document: Mapping[str, Any]) -> None:
        super().__init__(str(document.get("detail", f"status {document.get('status')}, without a reason")))
        self.document = dict(document)
        self.status = int(document.get("status", 500))
        self.name = str(document.get("problem") or document.get("type", "")).rpartition(":")[2]
        self.step: int | None = document.get("step")
        self.attempts = 1


class Conflict(Problem):
    """Another ``seq`` is due: ``expected``."""

    @property
    def expected(self) -> int | None:
        """The ``seq`` that the server would apply next."""
        expected: int | None = self.document.get("expected")
        return expected


class Gone(Problem):
    """The session has ended: ``document`` has ``reason``, ``ended_at`` and ``step``."""


class OutputLost(Exception):
    """A call was applied before the connection broke, and others after it; only its answer is lost.

    The server keeps the answer of a session's last call alone. Whoever needs every answer keeps
    one call of a session in flight. If somebody else feeds the session too, it may have been
    their call.
    """


class Unreachable(Exception):
    """The server did not answer, however often it was asked."""


def problem_of(document: Mapping[str, Any]) -> Problem:
    """The exception for a problem document, or for an error frame."""
    kinds: dict[int, type[Problem]] = {409: Conflict, 410: Gone}
    return kinds.get(int(document.get("status", 500)), Problem)(document)
