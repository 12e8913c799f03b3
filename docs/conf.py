"""The site's build: Sphinx reads the repository's Markdown; ``docs/index.md`` gives the navigation.

    python -m sphinx -b html -c docs . build/site        (or: make site)

The pages are plain Markdown, so that they read the same on a code host, and links between them are
relative paths. The source folder is therefore the repository itself. What Sphinx needs beside the
pages is added here while it reads.
"""

from __future__ import annotations

import posixpath
import re
from pathlib import Path

from sphinx.application import Sphinx

ROOT = Path(__file__).parent.parent
INDEX = "docs/index"

project = "rnnserve"
copyright = "the rnnserve authors"
root_doc = INDEX
extensions = ["myst_parser"]
include_patterns = ["*.md", "*/*.md", "models/*/*/README.md"]
exclude_patterns = [".*", "build", "dist", "data", "state", "tests", "**/__pycache__"]
nitpicky = True

# A code host gives each heading an anchor; so does this, by the same rule.
myst_heading_anchors = 4
# An example may leave out parts of a JSON document, which is then shown without colours.
suppress_warnings = ["misc.highlighting_failure"]

html_theme = "furo"
html_title = "rnnserve"
html_static_path = ["static"]
html_css_files = ["site.css"]
html_copy_source = False
html_show_sphinx = False
html_use_index = False
html_domain_indices = False

_SECTION = re.compile(r"^## (.+)$", re.MULTILINE)
_ENTRY = re.compile(r"^- \[([^\]]+)\]\(([^)#]+)\.md\)", re.MULTILINE)
_LINK = re.compile(r"\[([^\]]*)\]\(([^)#:\s]+)\)")
_CONTENTS = """
```{{toctree}}
:hidden:
:caption: {caption}

{pages}
```
"""
_REDIRECT = '<!doctype html><meta charset="utf-8"><meta http-equiv="refresh" content="0; url={url}">\n'


def sections(index: str) -> dict[str, dict[str, str]]:
    """The pages that each section of the index lists: path from the root without suffix, and title."""
    _, *parts = _SECTION.split(index)
    found: dict[str, dict[str, str]] = {}
    for caption, body in zip(parts[::2], parts[1::2], strict=True):
        pages = {posixpath.normpath(f"docs/{path}"): title for title, path in _ENTRY.findall(body)}
        if pages:
            found[caption] = pages
    return found


def contents(index: str, present: set[str]) -> str:
    """The tables of contents of the index. Pages of ``docs/`` that it does not list come last."""
    listed = sections(index)
    others = present - {INDEX} - {page for pages in listed.values() for page in pages}
    made = [
        _CONTENTS.format(
            caption=caption, pages="\n".join(f"{title} </{page}>" for page, title in pages.items())
        )
        for caption, pages in listed.items()
    ]
    if others:
        made.append(_CONTENTS.format(caption="More", pages="\n".join(f"/{page}" for page in sorted(others))))
    return "".join(made)


def _listed() -> set[str]:
    index = (ROOT / INDEX).with_suffix(".md").read_text()
    return {page for pages in sections(index).values() for page in pages}


def _prepare(app: Sphinx, name: str, source: list[str]) -> None:
    """What a page is for Sphinx."""
    text = source[0]
    if name == INDEX:
        text += contents(text, {f"docs/{path.stem}" for path in ROOT.glob("docs/*.md")})
    elif not name.startswith("docs/") and name not in _listed():
        # In the site because something links to it.
        text = f"---\norphan: true\n---\n\n{text}"
    source[0] = _LINK.sub(lambda link: link[1] if _is_folder(name, link[2]) else link[0], text)


def _is_folder(name: str, target: str) -> bool:
    """Whether a link leads to a folder, of which a code host shows a listing and the site has none."""
    return ((ROOT / name).parent / target).is_dir()


def _finish(app: Sphinx, error: Exception | None) -> None:
    """An ``index.html`` at the top of the site."""
    if error is None and app.builder.format == "html":
        url = app.builder.get_target_uri(INDEX)
        (Path(app.outdir) / "index.html").write_text(_REDIRECT.format(url=url))


def setup(app: Sphinx) -> dict[str, bool]:
    """Called by Sphinx."""
    app.connect("source-read", _prepare)
    app.connect("build-finished", _finish)
    return {"parallel_read_safe": True}
