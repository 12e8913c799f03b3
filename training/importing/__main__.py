"""The import in a process of its own, with bounded memory: what it reads, somebody else has made.

    python -m training.importing < {"flags": {...}, "config": path or null, "memory_bytes": n}

It writes what it found to standard output and, when it fails, one sentence to standard error.
"""

from __future__ import annotations

import json
import resource
import sys
from functools import partial
from pathlib import Path

from app.core.errors import RnnserveError


def main() -> int:
    asked = json.load(sys.stdin)
    most = int(asked["memory_bytes"])
    resource.setrlimit(resource.RLIMIT_AS, (most, most))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    try:
        from training.importing.importer import import_model
        from training.importing.options import parse_options

        config = asked["config"]
        options = parse_options(asked["flags"], None if config is None else Path(config))
        import_model(options, partial(print, flush=True))
    except RnnserveError as error:
        print(error.message, file=sys.stderr)
        return 2
    except MemoryError:
        print("it needs more memory than an import may have", file=sys.stderr)
        return 2
    except ModuleNotFoundError as error:
        print(
            f"the package {error.name!r} is missing; install it by: pip install '.[import]'", file=sys.stderr
        )
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
