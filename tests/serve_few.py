"""The ``rnnserve`` command where the system allows few descriptors.

python -m tests.serve_few 200 serve --models DIR ...
"""

from __future__ import annotations

import resource
import sys


def main() -> None:
    """Set the limit that nobody can raise, and run the rest as the command."""
    most = int(sys.argv.pop(1))
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
    from app.cli import main as run

    run()


if __name__ == "__main__":
    main()
