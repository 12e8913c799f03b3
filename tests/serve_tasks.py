"""The ``rnnserve`` command with other tasks registered than usual.

    python -m tests.serve_tasks forecast,parity serve --models DIR ...

Names of shipped tasks, and ``parity`` and ``recall``, those of the tests' own.
"""

from __future__ import annotations

import sys

from app import registered
from tests.parity.task import TASK as PARITY
from tests.recall.task import TASK as RECALL

KNOWN = {task.name: task for task in (*registered.TASKS, PARITY, RECALL)}


def main() -> None:
    """Register the tasks that the first argument names, and run the rest as the command."""
    registered.TASKS = tuple(KNOWN[name] for name in sys.argv.pop(1).split(","))
    from app.cli import main as run  # reads the list when it is imported

    run()


if __name__ == "__main__":
    main()
