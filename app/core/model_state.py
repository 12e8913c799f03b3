"""What has become of one model version that lies in a models folder."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

ModelStatus = Literal["loading", "ready", "broken", "draining", "unloaded"]
"""``loading``: being verified. ``ready``: answers requests. ``broken``: failed verification.
``draining``: takes no new requests, running ones end. ``unloaded``: on disk, and not served."""


@dataclass(frozen=True, slots=True)
class ModelState:
    """One version, for whoever shows it.

    Attributes:
        reason: why it is not ready, for the client's eyes; ``None`` when it is.
        labels: names that this version can also be asked by, ``name@label``.
        traffic: share, 0 to 1, of the requests that name the model but no version.
    """

    name: str
    version: str
    status: ModelStatus
    reason: str | None = None
    labels: tuple[str, ...] = ()
    traffic: float = 0.0

    @property
    def reference(self) -> str:
        return f"{self.name}@{self.version}"
