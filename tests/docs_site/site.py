"""Building the site as ``make site`` does, and reading what was built."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import dataclass, field
from html.parser import HTMLParser
from pathlib import Path

ROOT = Path(__file__).parent.parent.parent


def build(root: Path, out: Path) -> subprocess.CompletedProcess[str]:
    """The site of a repository's folder, with warnings as errors."""
    command = [
        sys.executable,
        "-m",
        "sphinx",
        "--fail-on-warning",
        "--nitpicky",
        "--quiet",
        "--builder",
        "html",
    ]
    command += ["--conf-dir", str(root / "docs"), "--doctree-dir", str(out.parent / f"{out.name}-trees")]
    return subprocess.run([*command, str(root), str(out)], capture_output=True, text=True, timeout=120)


@dataclass
class Page(HTMLParser):
    """What a page of the site refers to.

    Attributes:
        ids: anchors that others may name.
        links: targets of ``a``.
        loaded: what a browser fetches by itself: scripts, styles, images.
    """

    ids: set[str] = field(default_factory=set)
    links: list[str] = field(default_factory=list)
    loaded: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        super().__init__()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Called by the parser."""
        found = {name: value for name, value in attrs if value is not None}
        self.ids |= {found[name] for name in ("id", "name") if name in found}
        if tag == "a" and "href" in found:
            self.links.append(found["href"])
        elif tag == "link" and found.get("rel") in ("stylesheet", "icon", "preload", "prefetch"):
            self.loaded.append(found["href"])
        elif "src" in found:
            self.loaded.append(found["src"])


def read(path: Path) -> Page:
    """One page."""
    page = Page()
    page.feed(path.read_text(encoding="utf-8"))
    return page
