"""Deciding which bundles are served: what lies on disk against what is served already.

    Look --choose--> bundles to verify --judgements--> the versions to serve

Nothing here waits or starts anything, so that the same decisions are made at the start, where
verifying blocks, and while serving, where it runs beside the requests.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Collection, Generator, Mapping
from dataclasses import dataclass

from app.core.errors import (
    BundleError,
    DigestMismatch,
    FetchFailed,
    InvalidManifest,
    ParityError,
    RnnserveError,
)
from app.registry.loading import Loaded
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
    """What verifying a bundle said: a model, or an error. ``settled`` unless files changed meanwhile."""

    loaded: Loaded | None = None
    error: RnnserveError | None = None
    settled: bool = True


@dataclass(slots=True, eq=False)
class _Known:
    """A version that lies on disk. ``judged`` is the signature that ``error``, or its absence, is about."""

    found: Found
    since: float
    judged: Signature | None = None
    error: Exception | None = None


class Lineup:
    """Remembers what was seen and judged, and chooses.

    Args:
        keep: newest versions of each name that are served, beside those that have a label or
            are pinned; 0 serves all.
        pinned: names or ``name@version`` that the settings ask for.
        clock: monotonic seconds.
    """

    def __init__(
        self, keep: int, pinned: frozenset[str], clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._keep = keep
        self._pinned = pinned
        self._clock = clock
        self._known: dict[str, _Known] = {}
        self._missing: dict[str, float] = {}
        self._lingering: set[str] = set()
        self._passed_over: set[str] = set()
        self.unsettled = False
        self.unloaded: frozenset[str] = frozenset()

    @property
    def names(self) -> frozenset[str]:
        """Of the models that lie on disk."""
        return frozenset(one.found.name for one in self._known.values())

    def see(self, look: Look, served: Mapping[str, Loaded]) -> None:
        """Take note of what lies on disk."""
        now = self._clock()
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
        self._lingering = {
            reference
            for reference, since in self._missing.items()
            if reference in served and now - since < SETTLE_S
        }
        for reference in self._missing.keys() - self._lingering:
            self._known.pop(reference, None)

    def choose(
        self, look: Look, served: Mapping[str, Loaded], at_once: Collection[str] = ()
    ) -> Generator[Found, Judgement, dict[str, Loaded]]:
        """Yield each bundle that is to be verified, be sent the judgement, return what to serve.

        Args:
            look: what was seen.
            served: what is served now, by ``name@version``.
            at_once: names whose bundles are judged again, and without waiting for them to settle.
        """
        self.unsettled = False
        self._passed_over = set()
        chosen: dict[str, Loaded] = {}
        for name in sorted({found.name for found in look.bundles.values()} - self.unloaded):
            versions = [found for found in look.bundles.values() if found.name == name]
            labelled = {label.version for label in (look.labels.get(name) or {}).values()}
            kept = 0
            for found in reversed(versions):
                asked = found.version in labelled or found.reference in self._pinned
                if self._keep and kept >= self._keep and not asked:
                    self._passed_over.add(found.reference)
                    continue
                held = served.get(found.reference)
                if name in at_once and held is not None and not held.engine.alive:
                    held = None  # asking for it is asking for one that works
                loaded = yield from self._verified(found, held, at_once=name in at_once)
                if loaded is not None:
                    chosen[found.reference] = loaded
                    kept += 1
        for reference in self._lingering:
            if reference.partition("@")[0] not in self.unloaded:
                chosen[reference] = served[reference]
                self.unsettled = True
        return {reference: chosen[reference] for reference in in_order(chosen)}

    def _verified(
        self, found: Found, served: Loaded | None, *, at_once: bool
    ) -> Generator[Found, Judgement, Loaded | None]:
        """The model of a bundle; the one that was served, when there is nothing better."""
        known = self._known[found.reference]
        if known.judged == found.signature and not (at_once and served is None):
            if served is not None or known.error is not None:
                return served
        elif not at_once and self._clock() - known.since < SETTLE_S:
            self.unsettled = True
            return served
        judgement = yield found
        if not judgement.settled:
            known.since = self._clock()
            self.unsettled = True
            return served
        known.judged, known.error = found.signature, judgement.error
        return served if judgement.loaded is None else judgement.loaded

    def states(
        self, catalog: Catalog, draining: Collection[str], failed: Mapping[str, Exception]
    ) -> list[ModelState]:
        """Every version, by name, versions ascending.

        Args:
            catalog: of what is served.
            draining: versions that are leaving.
            failed: versions that could not be copied from elsewhere.
        """
        references = {*self._known, *catalog.deployments, *draining, *failed}
        return [
            self._state(reference, catalog, draining, failed.get(reference))
            for reference in in_order(references)
        ]

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
    served: Mapping[str, Loaded],
    before: Mapping[str, Mapping[str, Label]],
) -> dict[str, dict[str, Label]]:
    """The labels that hold: a label waits on its old version until its new one is served.

    Args:
        written: of each name; ``None`` where they are malformed.
        served: by ``name@version``.
        before: the labels that held until now.
    """
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
