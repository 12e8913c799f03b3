"""The setting that says which model answers a task's requests that name none."""

from __future__ import annotations

TASKS = ("forecast", "generate", "sentiment")


def parse_defaults(value: str) -> dict[str, str]:
    """Read ``task=name,task=name@version``.

    Raises:
        ValueError: an item is not of that form, or its task is unknown or named twice.
    """
    chosen: dict[str, str] = {}
    for item in filter(None, (part.strip() for part in value.split(","))):
        task, equals, name = (part.strip() for part in item.partition("="))
        if not equals or not name or task not in TASKS:
            raise ValueError(f"{item!r} is not TASK=NAME with TASK one of {', '.join(TASKS)}")
        if task in chosen:
            raise ValueError(f"the task {task!r} is named twice")
        chosen[task] = name
    return chosen
