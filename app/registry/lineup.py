"""Deciding which bundles are served: what lies on disk against what is served already.

Nothing here but judging waits, and at the start, where that blocks, nothing does.
"""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable, Collection, Mapping
from dataclasses import dataclass
from itertools import groupby
from operator import attrgetter

from app.core.errors import (
    BundleError,
    DigestMismatch,
    FetchFailed,
    InvalidManifest,
    ParityError,
    RnnserveError,
)
from app.registry.loading import ServedVersion
from app.registry.look import Found, Look, Signature, in_order
from app.service.catalog import Catalog, Label
from app.service.model_control import ModelState

SETTLE_S = 1.0
"""A bundle whose files are still changing is not judged, and one that has gone may come back."""

_REASONS: tuple[tuple[type[BundleError], str], ...] = (
    (DigestMismatch, "a file is not the one that its manifest records"),
    (ParityError, "its graph does not compute what its golden vectors say"),
    (InvalidManifest, "its manifest is malformed, or not that of its graph"),
    (FetchFailed, "it could not be copied from where it lies"),
    (BundleError, "its files are not complete"),
)


@dataclass(frozen=True, slots=True, eq=False)
class Judgement:
    """What judging a bundle said: a version, or an error. ``settled`` unless files changed meanwhile."""

    version: ServedVersion | None = None
    error: RnnserveError | None = None
    settled: bool = True


Judge = Callable[[Found], Awaitable[Judgement]]


@dataclass(slots=True, eq=False)
class _Known:
    """A version that lies on disk. ``judged`` is the signature that ``error``, or its absence, is about."""

    found: Found
    since: float
    judged: Signature | None = None
    error: Exception | None = None


class Lineup:
    """Remembers what was seen and judged, and chooses.

    ``keep`` newest versions of each name are served, or all with 0, beside those that have a label or are
    ``pinned``.
    """

    def __init__(self, keep: int, pinned: Collection[str]) -> None:
        self._keep = keep
        self._pinned = pinned
        self._known: dict[str, _Known] = {}
        self._missing: dict[str, float] = {}
        self._lingering: set[str] = set()
        self._passed_over: set[str] = set()
        self.unsettled = False
        self.unloaded: frozenset[str] = frozenset()

    @property
    def names(self) -> frozenset[str]:
        """Of the models that lie on disk."""
        return frozenset(known.found.name for known in self._known.values())

    @property
    def known_names(self) -> frozenset[str]:
        """Of these, and of those that were unloaded."""
        return self.names | self.unloaded

    def see(self, look: Look, served: Mapping[str, ServedVersion]) -> None:
        now = time.monotonic()
        for reference, found in look.bundles.items():
            known = self._known.get(reference)
            if known is None or known.found.path != found.path:
                self._known[reference] = _Known(found, now)
            elif known.found.signature != found.signature:
                known.found, known.since = found, now
        self._missing = {
            reference: self._missing.get(reference, now)
            for reference in {*self._known, *served} - look.bundles.keys()
        }
        # A look that falls between a removal and an arrival sees one without the other.
        here = [known for reference, known in self._known.items() if reference in look.bundles]
        arriving = {known.found.name for known in here if known.judged != known.found.signature}
        self._lingering = {
            reference
            for reference, since in self._missing.items()
            if reference in served and (now - since < SETTLE_S or reference.partition("@")[0] in arriving)
        }
        for reference in self._missing.keys() - self._lingering:
            self._known.pop(reference, None)

    async def choose(
        self, look: Look, served: Mapping[str, ServedVersion], judge: Judge, at_once: Collection[str] = ()
    ) -> dict[str, ServedVersion]:
        """What to serve, by ``name@version``, with ``judge`` asked of each bundle that is to be verified.

        The bundles of the names in ``at_once`` are judged again, and without waiting for them to settle.
        """
        self.unsettled = False
        self._passed_over = set()
        chosen: dict[str, ServedVersion] = {}
        for name, group in groupby(look.bundles.values(), key=attrgetter("name")):
            if name in self.unloaded:
                continue
            labelled = {label.version for label in (look.labels.get(name) or {}).values()}
            kept = 0
            for found in reversed(list(group)):
                asked = found.version in labelled or found.reference in self._pinned
                if self._keep and kept >= self._keep and not asked:
                    self._passed_over.add(found.reference)
                    continue
                held = served.get(found.reference)
                if name in at_once and held is not None and not held.alive():
                    held = None  # asking for it is asking for one that works
                version = await self._verified(found, held, judge, at_once=name in at_once)
                if version is not None:
                    chosen[found.reference] = version
                    kept += 1
        for reference in self._lingering:
            if reference.partition("@")[0] not in self.unloaded:
                chosen[reference] = served[reference]
                self.unsettled = True
        return {reference: chosen[reference] for reference in in_order(chosen)}

    async def _verified(
        self, found: Found, served: ServedVersion | None, judge: Judge, *, at_once: bool
    ) -> ServedVersion | None:
        """The model of a bundle; the one that was served, when there is nothing better."""
        known = self._known[found.reference]
        if known.judged == found.signature and not (at_once and served is None):
            if served is not None or known.error is not None:
                return served
        elif not at_once and time.monotonic() - known.since < SETTLE_S:
            self.unsettled = True
            return served
        judgement = await judge(found)
        if not judgement.settled:
            known.since = time.monotonic()
            self.unsettled = True
            return served
        known.judged, known.error = found.signature, judgement.error
        return judgement.version or served

    def states(
        self, catalog: Catalog, draining: Collection[str], failed: Mapping[str, Exception]
    ) -> list[ModelState]:
        """Every version, by name, versions ascending; ``failed`` could not be copied from elsewhere."""
        references = {*self._known, *catalog.deployments, *draining, *failed}
        return [self._state(one, catalog, draining, failed.get(one)) for one in in_order(references)]

    def _state(
        self, reference: str, catalog: Catalog, draining: Collection[str], failure: Exception | None
    ) -> ModelState:
        name, _, version = reference.partition("@")
        known = self._known.get(reference)
        judged = known is not None and known.judged == known.found.signature
        error = failure or (known.error if known is not None and judged else None)
        served = catalog.deployments.get(reference)
        if served is not None:
            reason = None if error is None else f"what replaced it on disk is not served: {public(error)}"
            labels = catalog.labels(reference)
            return ModelState(name, version, "ready", reason, labels, catalog.traffic(served))
        if error is not None:
            return ModelState(name, version, "broken", public(error))
        if reference in draining:
            return ModelState(name, version, "draining", "it takes no new requests; running ones may end")
        if name in self.unloaded:
            return ModelState(name, version, "unloaded", "it was unloaded by an administrator")
        if reference in self._passed_over:
            return ModelState(name, version, "unloaded", "newer versions are served")
        return ModelState(name, version, "loading", "it is being verified, or still being copied")


def resolved(
    written: Mapping[str, Mapping[str, Label] | None],
    served: Mapping[str, ServedVersion],
    before: Mapping[str, Mapping[str, Label]],
) -> dict[str, dict[str, Label]]:
    """The labels that hold: a label waits on its old version until its new one is served."""
    held: dict[str, dict[str, Label]] = {}
    for name in {reference.partition("@")[0] for reference in served}:
        old = before.get(name, {})
        wanted = written.get(name, {})
        held[name] = {}
        for label, entry in (old if wanted is None else wanted).items():
            for candidate in (entry, old.get(label)):
                if candidate is not None and f"{name}@{candidate.version}" in served:
                    held[name][label] = candidate
                    break
    return held


def public(error: Exception) -> str:
    """Why a bundle is not served, without a path or a word from below."""
    for kind, reason in _REASONS:
        if isinstance(error, kind):
            return reason
    return "it could not be loaded; the server's log says why"
