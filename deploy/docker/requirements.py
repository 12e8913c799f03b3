"""Print the requirements of the image: those of ``pyproject.toml``, and of extras.

They are installed before the code is copied, so that a change of the code leaves their layer as it is.

    python3 requirements.py [--only] PYPROJECT EXTRA,EXTRA

With ``--only`` those of the extras alone.
"""

from __future__ import annotations

import sys
import tomllib
from pathlib import Path


def requirements(pyproject: Path, extras: tuple[str, ...], *, only: bool) -> list[str]:
    """Lines of a requirements file.

    Raises:
        SystemExit: there is no such extra.
    """
    project = tomllib.loads(pyproject.read_text("utf-8"))["project"]
    optional: dict[str, list[str]] = project["optional-dependencies"]
    unknown = sorted(set(extras) - set(optional))
    if unknown:
        raise SystemExit(f"no such extra: {', '.join(unknown)}; there are {', '.join(sorted(optional))}")
    lines = [] if only else list(project["dependencies"])
    return lines + [line for extra in extras for line in optional[extra]]


if __name__ == "__main__":
    arguments = [argument for argument in sys.argv[1:] if argument != "--only"]
    if len(arguments) != 2:
        raise SystemExit(__doc__)
    named = tuple(filter(None, arguments[1].split(",")))
    print("\n".join(requirements(Path(arguments[0]), named, only="--only" in sys.argv)))
