"""The files of the page: read once, named by their content, compressed beforehand.

    app/page/**, the panels' folders, the chart library --collect_assets--> {path: Asset} under one digest

The digest is part of each address, so that a browser may keep an asset for good and never mixes
two versions. The chart library is not part of this repository: the extra ``page`` installs a
package that carries it, and without it the page shows its figures as tables.

The folder of a panel holds ``panel.html``, its section of the document; ``panel.js``, a module that exports
``panel()``; ``panel.css`` where it needs one; and whatever these load.
"""

from __future__ import annotations

import gzip
import hashlib
import importlib.util
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

FOLDER = Path(__file__).parents[2] / "page"
INDEX = "index.html"
SECTION = "panel.html"

_CHARTS_PACKAGE = "youplot"
_CHARTS = {"vendor/uPlot.js": "vendor/uplot.iife.min.js", "vendor/uPlot.css": "vendor/uplot.min.css"}
_TYPES = {
    ".css": "text/css; charset=utf-8",
    ".csv": "text/csv; charset=utf-8",
    ".html": "text/html; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".svg": "image/svg+xml",
}
_DIGEST_CHARS = 12
_BASE = b"{{assets}}"
_LINKS = b"<!-- links -->"
_FILES = b"<!-- files of the panels -->"
_SECTIONS = b"<!-- panels -->"
_LIBRARY = b"<!-- charts -->"
_LIBRARY_TAGS = (
    b'<link rel="stylesheet" href="{{assets}}/vendor/uPlot.css">\n'
    b'  <script defer src="{{assets}}/vendor/uPlot.js"></script>'
)


@dataclass(frozen=True, slots=True, eq=False)
class Asset:
    """One file as it is sent.

    Attributes:
        content_type: with its charset.
        body: as it is.
        packed: with gzip, where that is smaller.
        etag: weak, since the packed body shares it.
    """

    content_type: str
    body: bytes
    packed: bytes | None
    etag: str

    @classmethod
    def of(cls, path: str, body: bytes) -> Asset:
        """The asset of a file with this name and content."""
        packed = gzip.compress(body, 9, mtime=0)
        return cls(
            content_type=_TYPES[Path(path).suffix],
            body=body,
            packed=packed if len(packed) < len(body) else None,
            etag=f'W/"{hashlib.sha256(body).hexdigest()[:32]}"',
        )


@dataclass(frozen=True, slots=True, eq=False)
class PageAssets:
    """The page and what it loads.

    Attributes:
        index: the document.
        files: by path below the digest.
        digest: of all files together.
        charts: whether the chart library is installed.
    """

    index: Asset
    files: Mapping[str, Asset]
    digest: str
    charts: bool


def charts_folder() -> Path | None:
    """Where the package with the chart library is, found without importing it."""
    spec = importlib.util.find_spec(_CHARTS_PACKAGE)
    if spec is None or not spec.submodule_search_locations:
        return None
    folder = Path(next(iter(spec.submodule_search_locations)))
    return folder if all((folder / source).is_file() for source in _CHARTS.values()) else None


def collect_assets(
    folder: Path = FOLDER, panels: Mapping[str, Path] | None = None, charts: Path | None = None
) -> PageAssets:
    """Read the page.

    Args:
        folder: of what every page has.
        panels: folders of further panels by name, in the order in which they are shown, before the others.
        charts: folder of the package with the chart library, or ``None`` to do without.

    Raises:
        OSError: a file cannot be read.
        ValueError: the section of a panel has no heading by which it can be linked.
    """
    panels = panels or {}
    contents = _contents(folder)
    for name, of_panel in panels.items():
        contents |= {f"panels/{name}/{path}": body for path, body in _contents(of_panel).items()}
    if charts is not None:
        contents |= {name: (charts / source).read_bytes() for name, source in _CHARTS.items()}
    index = _document((folder / INDEX).read_bytes(), panels, contents)
    index = index.replace(_LIBRARY, _LIBRARY_TAGS if charts is not None else b"")
    whole = hashlib.sha256(index)
    for name, content in contents.items():
        whole.update(name.encode() + b"\0" + hashlib.sha256(content).digest())
    digest = whole.hexdigest()[:_DIGEST_CHARS]
    # Relative, so that the page also works below a path of a reverse proxy.
    index = index.replace(_BASE, f"page/{digest}".encode())
    files = {name: Asset.of(name, content) for name, content in contents.items()}
    return PageAssets(Asset.of(INDEX, index), files, digest, charts is not None)


def _contents(folder: Path) -> dict[str, bytes]:
    """What is sent of a folder, by path within it."""
    return {
        path.relative_to(folder).as_posix(): path.read_bytes()
        for path in sorted(folder.rglob("*"))
        if path.suffix in _TYPES and path.name not in (INDEX, SECTION)
    }


def _document(index: bytes, panels: Mapping[str, Path], contents: Mapping[str, bytes]) -> bytes:
    """The document with the panels' links, files and sections put in."""
    links, files, sections = [], [], []
    for name, folder in panels.items():
        section = (folder / SECTION).read_bytes()
        heading = re.search(rb"<h1[^>]*>([^<]+)</h1>", section)
        if heading is None:
            raise ValueError(f"{SECTION} of the panel {name} has no <h1>")
        links.append(b'<a href="#%s">%s</a>' % (name.encode(), heading[1]))
        sections.append(section)
        base = b"%s/panels/%s" % (_BASE, name.encode())
        if f"panels/{name}/panel.css" in contents:
            files.append(b'<link rel="stylesheet" href="%s/panel.css">' % base)
        files.append(
            b'<script type="module" data-panel="%s" src="%s/panel.js"></script>' % (name.encode(), base)
        )
    for place, parts in ((_LINKS, links), (_FILES, files), (_SECTIONS, sections)):
        index = index.replace(place, b"\n".join(parts))
    return index
