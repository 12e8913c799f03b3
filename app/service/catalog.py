"""What is served at one moment, and which version a request of a name goes to.

    name@version ----------------------------------------------> that version
    name@label ------------------------------------------------> the version that has the label
    name --position of the request's key among the weights-----> a canary, or the name's default version
    no name --the task's default-------------------------------> one of the above

A catalog never changes. A new one takes its place as a whole, so that a request sees all of a
change or nothing of it.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from app.bundle.manifest import Manifest
from app.core.context import position_of, routing_key
from app.core.ports import Submitter
from app.tasks.task import Task

STABLE = "stable"
"""The label whose version answers what the other labels' shares leave."""


async def in_memory() -> None:
    """It is there already."""


@dataclass(slots=True, eq=False)
class Deployment:
    """One served model version.

    Attributes:
        model: the task's :class:`~app.tasks.model.TaskModel` of its bundle; ``None`` while not in memory.
        engine: where requests hand in their work; only while it is in memory.
        load: brings it into memory, where it stays until the caller awaits anything else. Raises
            ModelNotLoaded, Overloaded, Draining and DeadlineExceeded.
        uses: by requests, and by whatever else needs it to stay in memory.
    """

    manifest: Manifest
    task: Task
    model: Any
    engine: Submitter
    load: Callable[[], Awaitable[None]] = in_memory
    uses: int = 0
    reference: str = field(init=False)
    networks: str = field(init=False)

    def __post_init__(self) -> None:
        self.reference, self.networks = self.manifest.reference, self.manifest.networks

    async def loaded(self) -> Any:
        """The model, brought into memory where it is not; raises as ``load``."""
        if self.model is None:
            await self.load()
        return self.model


@dataclass(frozen=True, slots=True)
class Label:
    """A label of a version; ``share`` is its canary weight, 0 to 1, among requests that name no version."""

    version: str
    share: float = 0.0


Labels = Mapping[str, Mapping[str, Label]]
"""Model name to label to version."""


@dataclass(frozen=True, slots=True)
class Split:
    """How the traffic of one name is split.

    Attributes:
        ends: ascending; a canary gets the keys from the end before its own up to its own.
        canaries: one for each end.
        default: the version that gets all other keys.
    """

    name: str
    ends: tuple[float, ...]
    canaries: tuple[Deployment, ...]
    default: Deployment

    def choose(self, key: str) -> Deployment:
        """A share that grows keeps the keys it has."""
        position = position_of(self.name, key)
        for end, canary in zip(self.ends, self.canaries, strict=True):
            if position < end:
                return canary
        return self.default


class Catalog:
    """Deployments by every name they answer to.

    Args:
        deployments: versions of a name in ascending order.
        defaults: task to what it asks when a request names no model: ``name``,
            ``name@version`` or ``name@label``.
        labels: those whose version is not among the deployments count for nothing.
    """

    def __init__(
        self, deployments: Iterable[Deployment], defaults: Mapping[str, str], labels: Labels | None = None
    ) -> None:
        self.deployments: Mapping[str, Deployment] = {
            deployment.reference: deployment for deployment in deployments
        }
        self.asked: Mapping[str, str] = dict(defaults)
        self._fixed: dict[str, Deployment] = dict(self.deployments)
        self._splits: dict[str, Split] = {}
        self._labelled: dict[str, tuple[str, ...]] = {}
        self._by_name: dict[str, list[Deployment]] = {}
        self.by_task: dict[str, list[Deployment]] = {}
        for deployment in self.deployments.values():
            self._by_name.setdefault(deployment.manifest.name, []).append(deployment)
            self.by_task.setdefault(deployment.manifest.task, []).append(deployment)
        for name, members in self._by_name.items():
            self._add_name(name, members, (labels or {}).get(name, {}))
        self.defaults: Mapping[str, str] = {
            task: base.manifest.reference
            for task, wanted in self.asked.items()
            if (base := self.base(wanted)) is not None
        }

    def find(self, wanted: str) -> Deployment | None:
        found = self._fixed.get(wanted)
        if found is None and (split := self._splits.get(wanted)) is not None:
            return split.choose(routing_key())
        return found

    def base(self, wanted: str) -> Deployment | None:
        """As :meth:`find`; of a name whose traffic is split, the default version."""
        split = self._splits.get(wanted)
        return self._fixed.get(wanted) if split is None else split.default

    def versions(self, wanted: str) -> Sequence[Deployment]:
        """Every version, ascending, of the model that is asked for."""
        return self._by_name.get(wanted.partition("@")[0], ())

    def labels(self, reference: str) -> tuple[str, ...]:
        return self._labelled.get(reference, ())

    def traffic(self, deployment: Deployment) -> float:
        """The share, 0 to 1, of the requests that name its model and no version."""
        split = self._splits.get(deployment.manifest.name)
        if split is None:
            return float(self._fixed.get(deployment.manifest.name) is deployment)
        start, share = 0.0, 0.0
        for end, canary in zip(split.ends, split.canaries, strict=True):
            share += (end - start) * (canary is deployment)
            start = end
        return round(share + (1.0 - start) * (split.default is deployment), 9)

    def _add_name(self, name: str, members: list[Deployment], labels: Mapping[str, Label]) -> None:
        by_version = {member.manifest.version: member for member in members}
        held = {
            key: by_version[label.version] for key, label in labels.items() if label.version in by_version
        }
        for label, member in sorted(held.items()):
            self._fixed.setdefault(f"{name}@{label}", member)
            reference = member.reference
            self._labelled[reference] = (*self._labelled.get(reference, ()), label)
        shared = {label: held[label] for label in sorted(held) if label != STABLE and labels[label].share > 0}
        # A version on trial is not the newest one that everybody gets.
        settled = [member for member in members if member not in shared.values()] or members
        default = held.get(STABLE, settled[-1])
        if not shared:
            self._fixed[name] = default
            return
        ends: list[float] = []
        for label in shared:
            ends.append(min(1.0, (ends[-1] if ends else 0.0) + labels[label].share))
        self._splits[name] = Split(name, tuple(ends), tuple(shared.values()), default)


def choose_defaults(
    deployments: Iterable[Deployment], preferred: Mapping[str, str], labels: Labels | None = None
) -> dict[str, str]:
    """Task to what it asks when a request names no model.

    The preferred name where it is served; otherwise the first name in alphabetical order.
    """
    members = list(deployments)
    catalog = Catalog(members, {}, labels)
    chosen: dict[str, str] = {}
    for task in sorted({member.manifest.task for member in members}):
        wanted = preferred.get(task, "")
        found = catalog.base(wanted)
        if found is None or found.manifest.task != task:
            wanted = min(member.manifest.name for member in members if member.manifest.task == task)
        chosen[task] = wanted
    return chosen
