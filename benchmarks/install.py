"""Install the peers, each with its pinned requirements in an environment of its own.

    python -m benchmarks.install [mosec torchserve ...]

One that cannot be installed is reported and left out; the others stay usable.
"""

from __future__ import annotations

import argparse
import shutil
import subprocess
import sys
import venv

from benchmarks.catalogue import OTHERS
from benchmarks.peer import ENVIRONMENTS, PEERS

NEEDS = {"torchserve": "java"}
"""Programs that a peer needs and pip does not bring."""


def main() -> None:
    """Install those that are named, or all."""
    known = list(dict.fromkeys(one.folder for one in OTHERS))
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("peers", nargs="*", metavar="PEER", help=f"of {', '.join(known)}; default: all")
    names = parser.parse_args().peers or known
    unknown = sorted(set(names) - set(known))
    if unknown:
        parser.error(f"unknown: {', '.join(unknown)}; there are {', '.join(known)}")
    failed = {name: why for name in names if (why := install(name))}
    for name, why in failed.items():
        print(f"{name} is not installed: {why}", file=sys.stderr)
    sys.exit(bool(failed))


def install(name: str) -> str | None:
    """Make an environment and fill it; returns why it could not be."""
    if name in NEEDS and shutil.which(NEEDS[name]) is None:
        return f"it needs {NEEDS[name]} (on Debian: apt install openjdk-17-jre-headless)"
    place = ENVIRONMENTS / name
    print(f"{name}: {place}", flush=True)
    python = place / "bin" / "python"
    if not python.exists():
        venv.create(place, with_pip=True)
    command = [str(python), "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
    done = subprocess.run([*command, "--requirement", str(PEERS / name / "requirements.txt")])
    if done.returncode:
        # Without an interpreter it counts as not installed.
        shutil.rmtree(place, ignore_errors=True)
        return f"pip failed with {done.returncode}"
    return None


if __name__ == "__main__":
    main()
