"""A place on the network, mirrored into a models folder on this machine.

Workers of one server, and servers of one machine, share it: one copies, the others find it done.
"""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import json
import logging
import os
import threading
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from pydantic import TypeAdapter, ValidationError

from app.bundle.manifest import MANIFEST_FILE, Name, Version
from app.bundle.reader import MAX_MANIFEST_BYTES, find_bundles, parse_manifest
from app.core.errors import BundleError, DigestMismatch, FetchFailed, InvalidManifest
from app.registry.install import install, remove, write_whole
from app.registry.labels import LABELS_FILE, MAX_LABELS_BYTES, parse_labels
from app.registry.origin import Budget
from app.remote.place import Missing, Place

logger = logging.getLogger(__name__)

_MAX_BUNDLES = 1000
_STAMP = ".refreshed"
_LOCK = ".lock"
_INDEX = "index.json"
# A bundle whose copy failed is tried again after this long, then after twice as long, and so on.
_RETRY_S = 30.0
_MAX_RETRY_S = 3600.0

_NAME: TypeAdapter[str] = TypeAdapter(Name)
_VERSION: TypeAdapter[str] = TypeAdapter(Version)
_FAILURES: dict[str, type[BundleError]] = {
    kind.__name__: kind for kind in (BundleError, DigestMismatch, FetchFailed, InvalidManifest)
}


@dataclass(frozen=True, slots=True)
class _Failure:
    """A copy that failed: of which manifest, and when it is tried again."""

    head: str
    error: BundleError
    again_at: float
    pause_s: float


class Mirror:
    """Mirrors one place into a folder below ``cache``; implements :class:`app.registry.ports.Source`.

    Args:
        max_bytes: of one bundle.
        seconds: for the list of bundles, and for each bundle.

    Raises:
        ConfigurationError: the library for the address's scheme is not installed, or refuses it.
    """

    def __init__(self, address: str, cache: Path, max_bytes: int, seconds: float) -> None:
        self._place = Place(address)
        self._max_bytes = max_bytes
        self._seconds = seconds
        self._stopped = threading.Event()
        self._failures: dict[str, _Failure] = {}
        self.address = address
        self.failed: Mapping[str, BundleError] = {}
        readable = "".join(char if char.isalnum() else "-" for char in address.partition("://")[2])[:40]
        self.folder = cache / f"{readable}-{hashlib.sha256(address.encode()).hexdigest()[:12]}"

    def stop(self) -> None:
        self._stopped.set()

    def refresh(self, *, at_once: bool = False) -> None:
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            with self._alone() as first:
                # What somebody else has just found may be what was mended since.
                if first or at_once:
                    self._copy_all(at_once=at_once)
                    found = {key: [type(error).__name__, error.message] for key, error in self.failed.items()}
                    write_whole(self.folder / _STAMP, json.dumps(found).encode())
                else:
                    found = json.loads((self.folder / _STAMP).read_bytes())
                    self.failed = {
                        key: _FAILURES.get(kind, BundleError)(text) for key, (kind, text) in found.items()
                    }
        except OSError as error:
            raise BundleError(f"cannot write {str(self.folder)!r}: {error.strerror}") from error

    def _budget(self) -> Budget:
        return Budget(self._max_bytes, self._seconds, self._stopped)

    def _copy_all(self, *, at_once: bool) -> None:
        listed = self._listed(self._budget())
        if not listed:
            raise FetchFailed(f"{self.address} holds no bundle")
        held = {f"{path.parent.name}@{path.name}": path for path in find_bundles(self.folder)}
        for reference, (parts, head) in listed.items():
            digest = hashlib.sha256(head).hexdigest()
            before = self._failures.get(reference)
            waits = before is not None and before.head == digest and time.monotonic() < before.again_at
            if waits and not at_once:
                continue
            try:
                if (said := parse_manifest(head).reference) != reference:
                    raise InvalidManifest(f"its manifest says {said}, which is not where it lies")
                origin = self._place.origin(budget := self._budget(), *parts)
                done = install(origin, head, self.folder, budget, replace=True)
            except BundleError as error:
                if self._stopped.is_set():
                    raise
                pause_s = _RETRY_S if before is None else min(_MAX_RETRY_S, 2 * before.pause_s)
                again_at = time.monotonic() + pause_s
                self._failures[reference] = _Failure(digest, error, again_at, pause_s)
                logger.error("%s/%s: %s", self.address, "/".join(parts), error.message)
            else:
                self._failures.pop(reference, None)
                if done.fresh:
                    logger.info("%s was copied from %s", reference, self.address)
        for reference in held.keys() - listed.keys():
            remove(held[reference])
        for reference in self._failures.keys() - listed.keys():
            del self._failures[reference]
        self.failed = {reference: one.error for reference, one in self._failures.items()}
        self._copy_labels({reference.partition("@")[0] for reference, (parts, _) in listed.items() if parts})

    def _listed(self, budget: Budget) -> dict[str, tuple[tuple[str, ...], bytes]]:
        """What the place has: ``name@version`` to where it lies and its manifest."""
        with contextlib.suppress(Missing):
            head = self._head((), budget)
            return {parse_manifest(head).reference: ((), head)}
        found: dict[str, tuple[tuple[str, ...], bytes]] = {}
        for name, version in self._names(budget):
            with contextlib.suppress(Missing):
                found[f"{name}@{version}"] = ((name, version), self._head((name, version), budget))
            if len(found) > _MAX_BUNDLES:
                raise FetchFailed(f"{self.address} holds more than {_MAX_BUNDLES} bundles")
        return found

    def _names(self, budget: Budget) -> Iterator[tuple[str, str]]:
        """Names and versions: from ``index.json`` where there is one, otherwise as they are listed."""
        try:
            data = self._place.small(_INDEX, max_bytes=MAX_MANIFEST_BYTES, budget=budget)
        except Missing:
            for name in _valid(_NAME, self._place.names(budget=budget)):
                with contextlib.suppress(Missing):
                    for version in _valid(_VERSION, self._place.names(name, budget=budget)):
                        yield name, version
            return
        try:
            listed = [str(one).partition("/") for one in json.loads(data)["bundles"]]
        except (ValueError, KeyError, TypeError) as error:
            raise FetchFailed(
                f'{self.address}/{_INDEX} is not {{"bundles": ["NAME/VERSION", ...]}}: {error}'
            ) from error
        for name, _, version in listed:
            if _valid(_NAME, [name]) and _valid(_VERSION, [version]):
                yield name, version

    def _head(self, parts: tuple[str, ...], budget: Budget) -> bytes:
        return self._place.small(*parts, MANIFEST_FILE, max_bytes=MAX_MANIFEST_BYTES, budget=budget)

    def _copy_labels(self, names: set[str]) -> None:
        budget = self._budget()
        for name in names:
            path = self.folder / name / LABELS_FILE
            if not path.parent.is_dir():
                continue
            try:
                data = self._place.small(name, LABELS_FILE, max_bytes=MAX_LABELS_BYTES, budget=budget)
                parse_labels(name, data)
            except Missing:
                path.unlink(missing_ok=True)
            except BundleError as error:
                logger.error("%s: %s; its labels stay as they are", self.address, error.message)
            else:
                if not path.exists() or path.read_bytes() != data:
                    write_whole(path, data)

    @contextlib.contextmanager
    def _alone(self) -> Iterator[bool]:
        """Hold the mirror; false when somebody else has refreshed it while we waited."""
        began = time.time_ns()
        budget = self._budget()
        handle = os.open(self.folder / _LOCK, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
        try:
            while True:
                try:
                    fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
                    break
                except BlockingIOError:
                    budget.wait(0.1)
            stamp = self.folder / _STAMP
            yield not (stamp.exists() and stamp.stat().st_mtime_ns >= began)
        finally:
            os.close(handle)


def _valid(form: TypeAdapter[str], names: list[str]) -> list[str]:
    """Those that may be the name of a folder; anything may lie beside bundles."""
    kept = []
    for name in names:
        with contextlib.suppress(ValidationError):
            kept.append(form.validate_python(name))
    return kept
