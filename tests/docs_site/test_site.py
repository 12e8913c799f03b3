"""The site builds without a warning, hangs together, and asks no other host for anything."""

from __future__ import annotations

import inspect
import re
import runpy
import shutil
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

import pytest

from tests.docs_site.site import ROOT, Page, build, read

CONF: dict[str, Any] = runpy.run_path(str(ROOT / "docs/conf.py"))


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The built site."""
    out = tmp_path_factory.mktemp("site") / "html"
    built = build(ROOT, out)
    assert built.returncode == 0, built.stderr
    return out


@pytest.fixture(scope="module")
def pages(site: Path) -> dict[Path, Page]:
    """Every page of it."""
    return {path: read(path) for path in sorted(site.rglob("*.html"))}


def test_every_page_of_docs_is_in_the_site(site: Path) -> None:
    """And so are the README, the change log and the model cards, which they link to."""
    for path in [*ROOT.glob("docs/*.md"), *ROOT.glob("*.md"), *ROOT.glob("models/*/*/README.md")]:
        assert (site / path.relative_to(ROOT)).with_suffix(".html").is_file()
    assert "docs/index.html" in (site / "index.html").read_text()


def test_every_page_of_docs_can_be_reached_from_every_other(pages: dict[Path, Page]) -> None:
    """The navigation has them all."""
    (api,) = [page for path, page in pages.items() if path.name == "api.html"]
    reached = {urlsplit(link).path.removesuffix(".html") for link in api.links}
    assert {path.stem for path in ROOT.glob("docs/*.md")} - {"api"} <= reached


def test_every_link_and_anchor_leads_somewhere(site: Path, pages: dict[Path, Page]) -> None:
    """Of what was built: files that are there, anchors that they have."""
    count = 0
    for path, page in pages.items():
        for link in [*page.links, *page.loaded]:
            parts = urlsplit(link)
            if parts.scheme:
                continue
            target = path if not parts.path else (path.parent / unquote(parts.path)).resolve()
            assert target.is_file(), f"{path.relative_to(site)}: {link}"
            assert site in target.parents
            if parts.fragment and target in pages:
                count += 1
                assert unquote(parts.fragment) in pages[target].ids, f"{path.relative_to(site)}: {link}"
    assert count > 100


def test_nothing_is_loaded_from_another_host(site: Path, pages: dict[Path, Page]) -> None:
    """Neither by a page nor by a style sheet, so the site reads the same without a network."""
    for path, page in pages.items():
        assert page.loaded or path == site / "index.html"
        assert [one for one in page.loaded if urlsplit(one).netloc] == []
    for path in site.rglob("*.css"):
        assert re.findall(r"(?:url\(|@import)\s*[\"']?(?:https?:)?//[^)\"']*", path.read_text()) == []
    for path in site.rglob("*.js"):
        assert re.findall(r"(?:import|fetch)\(\s*[\"'`](?:https?:)?//", path.read_text()) == []


def test_make_site_builds_it_as_this_test_does() -> None:
    """With the same flags."""
    recipe = (ROOT / "Makefile").read_text().partition("\nsite:")[2].partition("\n\n")[0]
    for flag in ("--fail-on-warning", "--nitpicky", "--builder html", "--conf-dir docs"):
        assert flag in recipe
        assert flag.split()[0] in inspect.getsource(build)


def test_broken_links_fail_the_build(tmp_path: Path) -> None:
    """Whether an anchor, a page, or a file beyond ``docs/`` is missing; each is named."""
    docs = tmp_path / "docs"
    docs.mkdir()
    shutil.copy(ROOT / "docs/conf.py", docs)
    shutil.copytree(ROOT / "docs/static", docs / "static")
    (docs / "index.md").write_text("# Home\n\n## Pages\n\n- [One](one.md)\n")
    links = ["one.md#no-anchor", "no-page.md", "../NO-FILE.md"]
    (docs / "one.md").write_text("# One\n\n" + "\n\n".join(f"[link]({link})" for link in links))
    built = build(tmp_path, tmp_path / "html")
    assert built.returncode != 0
    for name in ("no-anchor", "no-page", "NO-FILE"):
        assert name in built.stderr


def test_the_index_makes_the_navigation() -> None:
    """Each section of it, in its order; a page that it does not list comes last, under More."""
    index = "# T\n\n## A\n\n- [x](x.md): text\n- [y](../Y.md)\n\n## B\n\nwords, [z](z.md)\n"
    assert CONF["sections"](index) == {"A": {"docs/x": "x", "Y": "y"}}
    made = CONF["contents"](index, {"docs/index", "docs/x", "docs/z"})
    assert re.findall(r":caption: (\w+)", made) == ["A", "More"]
    assert re.findall(r"^(.*/.*)$", made, re.MULTILINE) == ["x </docs/x>", "y </Y>", "/docs/z"]
