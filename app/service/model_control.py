"""How a request looks at the models, and loads and unloads them; see ``app.registry``."""

from __future__ import annotations

from typing import Protocol

from app.core.model_state import ModelState


class ModelControl(Protocol):
    """Whoever decides which models are served."""

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
        """Look at every location now; serve what is new, unload what has gone.

        Raises:
            DeadlineExceeded: it took too long; it may go on.
        """
