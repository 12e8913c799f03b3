"""The registered tasks of one server, with the limits in force."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from app.bundle.reader import Bundle
from app.core.errors import InvalidManifest
from app.core.limits import TaskLimits
from app.tasks.task import Task


class Tasks:
    """Tasks by name, in the order of their registration; those without ``limits`` have their defaults."""

    def __init__(self, tasks: Iterable[Task], limits: Mapping[str, TaskLimits] | None = None) -> None:
        self.by_name = {task.name: task for task in tasks}
        given = limits or {}
        self.limits = {name: given.get(name) or task.limits() for name, task in self.by_name.items()}

    def __iter__(self) -> Iterator[Task]:
        return iter(self.by_name.values())

    def open(self, bundle: Bundle) -> tuple[Task, Any]:
        """The task of a bundle, and the model that it makes of it.

        Raises:
            BundleError: the task is not registered, or the bundle does not hold what it needs.
        """
        name = bundle.manifest.task
        task = self.by_name.get(name)
        if task is None:
            known = ", ".join(self.by_name) or "none"
            raise InvalidManifest(
                f"{bundle.manifest.reference}: no task {name!r} is served here, only {known}"
            )
        return task, task.open(bundle, self.limits[name])
