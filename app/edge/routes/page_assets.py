"""The files of the page: read once, named by the digest of their content, compressed beforehand.

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
    """``packed``: with gzip, where that is smaller. ``etag`` is weak, since the packed body shares it."""

    content_type: str
    body: bytes
    packed: bytes | None
    etag: str

    @classmethod
    def of(cls, path: str, body: bytes) -> Asset:
        packed = gzip.compress(body, 9, mtime=0)
        return cls(
            content_type=_TYPES[Path(path).suffix],
            body=body,
            packed=packed if len(packed) < len(body) else None,
            etag=f'W/"{hashlib.sha256(body).hexdigest()[:32]}"',
        )


@dataclass(frozen=True, slots=True, eq=False)
class PageAssets:
    """``files`` by path below ``digest``, which is that of all files together."""

    index: Asset
    files: Mapping[str, Asset]
    digest: str


def charts_folder() -> Path | None:
    """Where the chart library's package is, found without importing it."""
    spec = importlib.util.find_spec(_CHARTS_PACKAGE)
    if spec is None or not spec.submodule_search_locations:
        return None
    folder = Path(next(iter(spec.submodule_search_locations)))
    return folder if all((folder / source).is_file() for source in _CHARTS.values()) else None


def collect_assets(
    folder: Path = FOLDER, panels: Mapping[str, Path] | None = None, charts: Path | None = None
) -> PageAssets:
    """Read the page; ``panels`` are folders by name, in the order in which they are shown."""
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
    return PageAssets(Asset.of(INDEX, index), files, digest)


def _contents(folder: Path) -> dict[str, bytes]:
    return {
        path.relative_to(folder).as_posix(): path.read_bytes()
        for path in sorted(folder.rglob("*"))
        if path.suffix in _TYPES and path.name not in (INDEX, SECTION)
    }


def _document(index: bytes, panels: Mapping[str, Path], contents: Mapping[str, bytes]) -> bytes:
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
