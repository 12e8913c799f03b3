"""How the page and its files are sent: compressed, kept by browsers, with the chart library or without."""

from __future__ import annotations

import hashlib
import posixpath
import re
import sys
from pathlib import Path

import pytest
from fastapi import FastAPI
from starlette.testclient import TestClient

from app.edge.routes.page import page_router
from app.edge.routes.page_assets import FOLDER, charts_folder, collect_assets
from app.registered import TASKS

PANELS = {task.name: task.page for task in TASKS if task.page is not None}
UPLOT = {
    "js": "2d27e8ad3d228164525ce213f9dc716f39b4e3aee0cc773fb3491c96cf4921a2",
    "css": "df630c6a8d6f8eeaff264b50f73ce5b114f646ffd9a0bb74f049b0a00135fa04",
}
"""SHA-256 of dist/uPlot.iife.min.js and dist/uPlot.min.css in the npm package uplot 1.6.31."""
WITHOUT_GZIP = {"accept-encoding": "identity"}


@pytest.fixture
def page() -> TestClient:
    """The page of this installation."""
    app = FastAPI()
    app.include_router(page_router(PANELS))
    return TestClient(app)


def linked(html: str) -> list[str]:
    """The page's own files that the document names."""
    return re.findall(r'(?:src|href)="(page/[^"]+)"', html)


def test_every_file_that_the_document_names_is_there(page: TestClient) -> None:
    """And every module that a module imports, under the same digest."""
    document = page.get("/")
    assert document.headers["content-type"] == "text/html; charset=utf-8"
    assert "{{" not in document.text
    waiting = linked(document.text)
    seen: set[str] = set()
    while waiting:
        path = waiting.pop()
        if path in seen:
            continue
        seen.add(path)
        answer = page.get(f"/{path}")
        assert answer.status_code == 200, path
        waiting += [
            posixpath.normpath(posixpath.join(posixpath.dirname(path), name))
            for name in re.findall(r'(?:from |new URL\()"(\.[^"]+\.js)"', answer.text)
        ]
    scripts = {f"js/{file.name}" for file in (FOLDER / "js").iterdir()}
    for name, folder in PANELS.items():
        scripts |= {f"panels/{name}/{file.name}" for file in folder.glob("*.js")}
    assert scripts <= {path.split("/", 2)[2] for path in seen}, "a module that nobody imports"


def test_files_are_kept_for_good_and_the_document_is_asked_for(page: TestClient) -> None:
    """A file's address changes with the content of all of them."""
    document = page.get("/")
    assert document.headers["cache-control"] == "no-cache"
    script = linked(document.text)[-1]
    assert "immutable" in page.get(f"/{script}").headers["cache-control"]
    again = page.get("/", headers={"if-none-match": document.headers["etag"]})
    assert (again.status_code, again.content) == (304, b"")
    older = page.get(f"/page/000000000000/{script.split('/', 2)[2]}")
    assert (older.status_code, older.headers["cache-control"]) == (200, "no-cache")


def test_texts_are_compressed_for_those_who_can_read_it(page: TestClient) -> None:
    """The same text either way, and caches are told that there are two."""
    packed, plain = page.get("/"), page.get("/", headers=WITHOUT_GZIP)
    assert packed.headers["content-encoding"] == "gzip"
    assert "content-encoding" not in plain.headers
    assert packed.text == plain.text
    assert int(packed.headers["content-length"]) < int(plain.headers["content-length"]) / 2
    assert packed.headers["vary"] == plain.headers["vary"] == "accept-encoding"
    refused = page.get("/", headers={"accept-encoding": "br, gzip;q=0"})
    assert "content-encoding" not in refused.headers


def test_a_head_says_what_a_get_would_send(page: TestClient) -> None:
    """Without the body."""
    head, get = page.head("/"), page.get("/")
    assert head.content == b""
    assert head.headers["content-length"] == get.headers["content-length"]
    assert head.headers["content-security-policy"] == get.headers["content-security-policy"]


@pytest.mark.parametrize(
    "path",
    [
        "nothing.js",
        "index.html",
        "../page.py",
        "panels/forecast/panel.html",
        "panels/forecast/samples/README.md",
        "panels/forecast/../../../page.py",
        "%2e%2e/page.py",
    ],
)
def test_nothing_else_is_sent(page: TestClient, path: str) -> None:
    """The files are a closed list, read once."""
    digest = linked(page.get("/").text)[0].split("/")[1]
    assert page.get(f"/page/{digest}/{path}").status_code == 404


def test_every_answer_carries_the_policy(page: TestClient) -> None:
    """Files too, for a script or a picture can be opened by itself."""
    for path in ("/", f"/{linked(page.get('/').text)[0]}"):
        headers = page.get(path).headers
        assert headers["content-security-policy"].startswith("default-src 'none'")
        assert "unsafe" not in headers["content-security-policy"]
        assert headers["referrer-policy"] == "no-referrer"


def test_no_file_needs_what_the_policy_forbids() -> None:
    """No style or script in the document, no style attributes, no address of another host."""
    folders = [FOLDER, *PANELS.values()]
    files = [
        file for folder in folders for file in folder.rglob("*") if file.suffix in (".html", ".css", ".js")
    ]
    for file in files:
        if file.suffix == ".html":
            assert not re.search(r"<style|\sstyle=|\son\w+=|<script>|javascript:", file.read_text())
        foreign = re.findall(r"https?://(?!www\.w3\.org/2000/svg)[^\s\"'`)]+", file.read_text())
        assert foreign == [], file.name


def test_what_every_page_has_names_no_task() -> None:
    """A task is added to the page, and taken away, by its folder alone."""
    for file in [FOLDER / "index.html", *FOLDER.glob("css/*"), *FOLDER.glob("js/*")]:
        found = re.findall(r"\b(?:forecast|sentiment|generate)\w*", file.read_text(), re.IGNORECASE)
        assert found == [], file.name


@pytest.mark.parametrize("name", ["forecast", "sentiment", "generate", "sequence"])
def test_without_a_task_its_panel_is_not_there(name: str) -> None:
    """No link, no section, no file; the others are as before, and in their order."""
    panels = {task: folder for task, folder in PANELS.items() if task != name}
    assets = collect_assets(panels=panels)
    document = assets.index.body.decode()
    assert name not in document
    assert not any(path.startswith(f"panels/{name}/") for path in assets.files)
    links = re.findall(r'<a href="#(\w+)">', document)
    assert links == [*panels, "sessions", "models", "now"]
    assert re.findall(r'<section id="panel-(\w+)"', document) == links


def test_a_panel_is_one_folder(tmp_path: Path) -> None:
    """Its heading is its link; a style sheet is linked where there is one."""
    (tmp_path / "panel.html").write_text(
        '<section id="panel-parity" hidden><h1>Odd &amp; even</h1></section>'
    )
    (tmp_path / "panel.js").write_text("export function panel() { return {}; }")
    document = collect_assets(panels={"parity": tmp_path}).index.body.decode()
    assert '<a href="#parity">Odd &amp; even</a>' in document
    assert re.search(
        r'<script type="module" data-panel="parity" src="page/\w+/panels/parity/panel.js">', document
    )
    assert "panel.css" not in document
    (tmp_path / "panel.css").write_text("")
    assert "panels/parity/panel.css" in collect_assets(panels={"parity": tmp_path}).index.body.decode()
    (tmp_path / "panel.html").write_text("<section></section>")
    with pytest.raises(ValueError, match=r"panel\.html of the panel parity has no <h1>"):
        collect_assets(panels={"parity": tmp_path})


def test_without_the_chart_library_the_page_does_without() -> None:
    """The document does not ask for what is not there."""
    bare = collect_assets(charts=None)
    assert b"uPlot" not in bare.index.body
    assert b"vendor" not in bare.index.body
    assert not any(path.startswith("vendor/") for path in bare.files)


def test_the_chart_library_is_found_without_importing_it() -> None:
    """Two files of the extra's package are read, and they are those of uPlot's own release, byte for byte."""
    folder = charts_folder()
    assert folder is not None
    assets = collect_assets(charts=folder)
    assert b"uPlot" in assets.index.body
    assert "youplot" not in sys.modules
    found = {name: hashlib.sha256(assets.files[f"vendor/uPlot.{name}"].body).hexdigest() for name in UPLOT}
    assert found == UPLOT


def test_a_changed_file_changes_every_address(tmp_path: Path) -> None:
    """So that a browser never mixes two versions."""
    for name, text in (
        ("index.html", '<script src="{{assets}}/a.js"></script>'),
        ("a.js", "1"),
        ("b.js", "2"),
    ):
        (tmp_path / name).write_text(text)
    before = collect_assets(tmp_path)
    (tmp_path / "b.js").write_text("3")
    after = collect_assets(tmp_path)
    assert before.digest != after.digest
    assert before.index.body != after.index.body
    assert before.index.etag != after.index.etag
    assert before.files["a.js"].etag == after.files["a.js"].etag
