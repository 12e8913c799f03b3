"""The setting that says which model answers a task's requests that name none."""

from __future__ import annotations

from app import registered


def parse_defaults(value: str) -> dict[str, str]:
    """Read ``task=name,task=name@version``.

    Raises:
        ValueError: an item is not of that form, or its task is unknown or named twice.
    """
    tasks = sorted(task.name for task in registered.TASKS)
    chosen: dict[str, str] = {}
    for item in filter(None, (part.strip() for part in value.split(","))):
        task, equals, name = (part.strip() for part in item.partition("="))
        if not equals or not name or task not in tasks:
            raise ValueError(f"{item!r} is not TASK=NAME with TASK one of {', '.join(tasks)}")
        if task in chosen:
            raise ValueError(f"the task {task!r} is named twice")
        chosen[task] = name
    return chosen
