"""Bundles from places on the network: ``s3://``, ``https://``, ``http://``, ``hf://``.

Only ``app.main`` imports this, where such a place is configured; without it a server reads local folders.
"""

from __future__ import annotations

import contextlib
import logging
import tempfile
from collections.abc import Iterator
from pathlib import Path

from app.registry.origin import ARCHIVES, Budget, Origin, local_origin
from app.registry.ports import Source
from app.remote.mirror import Mirror
from app.remote.place import Place

logger = logging.getLogger(__name__)


def open_source(address: str, cache: Path, max_bytes: int, seconds: float) -> Source:
    """A place that is mirrored; see :class:`app.remote.mirror.Mirror`."""
    if address.startswith("http://"):
        logger.warning("%s is not encrypted: whoever is on the way may send other models", address)
    return Mirror(address, cache, max_bytes, seconds)


@contextlib.contextmanager
def open_origin(address: str, max_bytes: int, seconds: float) -> Iterator[Origin]:
    """One bundle: a folder at a place, or an archive, which is copied first.

    Raises:
        ConfigurationError: the address cannot be read here.
        FetchFailed: the place does not answer, or not in time, or the archive is too large or damaged.
    """
    place, budget = Place(address), Budget(max_bytes, seconds)
    if not address.endswith(ARCHIVES):
        yield place.origin(budget)
        return
    with tempfile.TemporaryDirectory(prefix="rnnserve-") as scratch:
        archive = Path(scratch) / "archive"
        with archive.open("wb") as file:
            for piece in budget.spend(place.pieces(budget=budget)):
                file.write(piece)
        with local_origin(archive, max_bytes) as origin:
            yield origin
