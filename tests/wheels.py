"""Wheels of the checkout, in environments that have what they declare and nothing else."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from importlib.metadata import Distribution, distribution
from pathlib import Path

from packaging.requirements import Requirement

ROOT = Path(__file__).parent.parent
_PIP = [sys.executable, "-m", "pip", "--disable-pip-version-check", "--quiet"]
_LEFT_OUT = shutil.ignore_patterns("__pycache__", "*.egg-info", "build")


def build(source: Path, names: list[str], folder: Path) -> Path:
    """The wheel of a project whose files have these names, without the network and beside the checkout."""
    copy = folder / "source"
    for name in names:
        if (source / name).is_dir():
            shutil.copytree(source / name, copy / name, ignore=_LEFT_OUT)
        else:
            copy.mkdir(parents=True, exist_ok=True)
            shutil.copy(source / name, copy / name)
    command = [*_PIP, "wheel", "--no-deps", "--no-index", "--no-build-isolation", "--wheel-dir", str(folder)]
    done = subprocess.run([*command, str(copy)], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    (wheel,) = folder.glob("*.whl")
    return wheel


class Environment:
    """A virtual environment with a wheel and, linked from here, the distributions that it requires.

    Args:
        extras: of the wheel that are installed as well.
    """

    def __init__(self, folder: Path, wheel: Path, extras: frozenset[str] = frozenset()) -> None:
        self.folder = folder
        subprocess.run([sys.executable, "-m", "venv", "--without-pip", str(folder)], check=True)
        (site,) = folder.glob("lib/python*/site-packages")
        command = [*_PIP, "--python", str(folder / "bin/python"), "install", "--no-deps", "--no-index"]
        subprocess.run([*command, "--no-compile", str(wheel)], check=True)
        (info,) = site.glob("*.dist-info")
        self.requires = sorted(_closure(Distribution.at(info), extras))
        linked = folder / "linked"
        linked.mkdir()
        for name in self.requires:
            _link(distribution(name), linked)
        (site / "linked.pth").write_text(f"{linked}\n")

    def run(
        self, *arguments: str, cwd: Path | None = None, **variables: str
    ) -> subprocess.CompletedProcess[str]:
        """Python in it, with nothing of the checkout on its path."""
        return subprocess.run(
            [str(self.folder / "bin/python"), *arguments],
            cwd=cwd or self.folder,
            env=self.variables(**variables),
            capture_output=True,
            text=True,
            timeout=120,
        )

    def variables(self, **more: str) -> dict[str, str]:
        """Of its processes."""
        kept = {
            name: value for name, value in os.environ.items() if not name.startswith(("RNNSERVE_", "PYTHON"))
        }
        return kept | more


def _closure(made: Distribution, extras: frozenset[str]) -> set[str]:
    """Names of all that it needs, of all that this needs, and so on."""
    found: set[str] = set()
    left = [(made, extras)]
    while left:
        each, wanted = left.pop()
        for text in each.requires or ():
            required = Requirement(text)
            if required.marker and not any(
                required.marker.evaluate({"extra": extra}) for extra in wanted or {""}
            ):
                continue
            needed = distribution(required.name)
            assert required.specifier.contains(needed.version, prereleases=True), text
            if needed.name not in found or required.extras:
                found.add(needed.name)
                left.append((needed, frozenset(required.extras)))
    return found


def _link(installed: Distribution, folder: Path) -> None:
    """What it put at the top of site-packages, its metadata included."""
    tops = {file.parts[0] for file in installed.files or () if file.parts[0] not in ("..", "__pycache__")}
    for top in tops:
        target = folder / top
        if not target.exists():  # a namespace that another one has linked
            target.symlink_to(Path(str(installed.locate_file(top))))
