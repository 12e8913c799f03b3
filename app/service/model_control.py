"""How a request looks at the models, and loads and unloads them; see ``app.registry``."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, Protocol

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
        loaded: whether it is in memory; ``None`` where all that is ready is.
    """

    name: str
    version: str
    status: ModelStatus
    reason: str | None = None
    labels: tuple[str, ...] = ()
    traffic: float = 0.0
    loaded: bool | None = None

    @property
    def reference(self) -> str:
        return f"{self.name}@{self.version}"


class ModelControl(Protocol):
    def index(self) -> list[ModelState]:
        """Every version that is known, by name, versions ascending."""

    async def load(self, name: str) -> None:
        """Look for versions of ``name`` now and serve them; undoes :meth:`unload`.

        Raises:
            UnknownModel: there is no bundle of that name.
            LoadFailed: none of its bundles can be served.
            DeadlineExceeded: it took too long; it may go on.
        """

    async def unload(self, name: str) -> None:
        """Serve no version of ``name`` until it is loaded again, or the server is restarted.

        When this returns, new requests find none of them; running ones end in their time.

        Raises:
            UnknownModel: nothing of that name is served or lies in a models folder.
            DeadlineExceeded: it took too long; it may go on.
        """

    async def reload(self) -> list[ModelState]:
        """Look at every location now; serve what is new, unload what has gone; raises DeadlineExceeded."""
