"""The ``rnnserve`` command on a machine whose clock is wrong.

    python -m tests.serve_ahead 7200 serve --models DIR ...

The seconds by which it is ahead; less than 0 is behind.
"""

from __future__ import annotations

import sys
import time


def main() -> None:
    """Move the clock before anything has looked at it, and run the rest as the command."""
    ahead_s, right = float(sys.argv.pop(1)), time.time
    time.time = lambda: right() + ahead_s
    from app.cli import main as run

    run()


if __name__ == "__main__":
    main()
