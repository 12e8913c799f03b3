"""The ``rnnserve`` command with other tasks registered than usual.

    python -m tests.serve_tasks forecast,parity serve --models DIR ...

Names of shipped tasks, and ``parity`` and ``recall``, those of the tests' own.
"""

from __future__ import annotations

import sys

from app import registered
from tests.parity.task import TASK as PARITY
from tests.recall.task import TASK as RECALL

_READERS = ("app.cli", "app.settings", "app.startup", "app.workers", "app.main", "app.batch")
KNOWN = {task.name: task for task in (*registered.TASKS, PARITY, RECALL)}


def main() -> None:
    """Register the tasks that the first argument names, and run the rest as the command."""
    registered.TASKS = tuple(KNOWN[name] for name in sys.argv.pop(1).split(","))
    # They read the list when they are imported, which has been done where this process is a copy of another.
    for name in list(sys.modules):
        if name.startswith(_READERS):
            del sys.modules[name]
    from app.cli import main as run

    run()


if __name__ == "__main__":
    main()
