"""One served model version."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from app.bundle.manifest import Manifest
from app.core.ports import Submitter
from app.tasks.task import Task


@dataclass(frozen=True, slots=True, eq=False)
class Deployment:
    """One served model version; ``model`` is the task's :class:`~app.tasks.model.TaskModel` of its bundle."""

    manifest: Manifest
    task: Task
    model: Any
    engine: Submitter
    reference: str = field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "reference", self.manifest.reference)
