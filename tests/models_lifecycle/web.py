"""A web server on a folder that can be told to fail, with listings and the routes of a Hub."""

from __future__ import annotations

import json
import re
import threading
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit


class Web:
    """What it serves and how it behaves.

    Attributes:
        folder: that is served.
        listing: whether folders are listed.
        broken: answers that are 503 before the next good one.
        cut: files by path that break off half way, so many times.
        fails_on: paths that begin so are answered with 503.
        hangs_up: or not at all.
        asked: requests by path.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.listing = True
        self.broken = 0
        self.fails_on: str | None = None
        self.hangs_up = False
        self.cut: Counter[str] = Counter()
        self.asked: Counter[str] = Counter()
        self.url = ""


class _Handler(SimpleHTTPRequestHandler):
    web: Web
    protocol_version = "HTTP/1.1"

    def log_message(self, format: str, *arguments: Any) -> None:
        """Keep quiet."""

    def do_GET(self) -> None:
        """A file, a listing, or a failure."""
        path = unquote(urlsplit(self.path).path)
        self.web.asked[path] += 1
        if self.web.broken > 0:
            self.web.broken -= 1
            self.send_error(503)
            return
        if self._failed(path):
            return
        found = re.fullmatch(r"/api/models/([^/]+/[^/]+)", path)
        if found and (self.web.folder / found[1]).is_dir():
            self._json({"id": found[1], "sha": "0" * 40, "siblings": [], "private": False})
            return
        if found := re.fullmatch(r"/api/models/([^/]+/[^/]+)/tree/[^/]+(/.*)?", path):
            self._tree(self.web.folder / found[1], (found[2] or "").strip("/"))
            return
        if found := re.fullmatch(r"/([^/]+/[^/]+)/resolve/[^/]+/(.*)", path):
            path = f"/{found[1]}/{found[2]}"
        file = self.web.folder / path.strip("/")
        if self.web.cut[path] > 0 and file.is_file():
            self.web.cut[path] -= 1
            data = file.read_bytes()
            self.send_response(200)
            self.send_header("content-length", str(len(data)))
            self.end_headers()
            self.wfile.write(data[: len(data) // 2])
            self.close_connection = True
            return
        if file.is_dir() and not self.web.listing:
            self.send_error(404)
            return
        self.path = path
        super().do_GET()

    def do_HEAD(self) -> None:
        """As GET, for what a client asks about a file."""
        path = unquote(urlsplit(self.path).path)
        if self.web.broken > 0:
            self.send_error(503)
            return
        if self._failed(path):
            return
        if found := re.fullmatch(r"/([^/]+/[^/]+)/resolve/[^/]+/(.*)", path):
            self.path = f"/{found[1]}/{found[2]}"
        super().do_HEAD()

    def do_POST(self) -> None:
        """The Hub's question about paths."""
        data = self.rfile.read(int(self.headers.get("content-length", 0)))
        path = unquote(urlsplit(self.path).path)
        found = re.fullmatch(r"/api/models/([^/]+/[^/]+)/paths-info/[^/]+", path)
        if found is None:
            self.send_error(404)
            return
        wanted = json.loads(data)["paths"] if data.startswith(b"{") else [unquote(data.decode())[6:]]
        root = self.web.folder / found[1]
        self._json([_entry(root, root / one) for one in wanted if (root / one).exists()])

    def _failed(self, path: str) -> bool:
        if self.web.fails_on is None or not path.startswith(self.web.fails_on):
            return False
        if self.web.hangs_up:
            self.close_connection = True
        else:
            self.send_error(503)
        return True

    def _tree(self, root: Path, below: str) -> None:
        folder = root / below
        if not folder.is_dir():
            self.send_response(404)
            self.send_header("x-error-code", "EntryNotFound" if root.is_dir() else "RepoNotFound")
            self.send_header("content-length", "0")
            self.end_headers()
            return
        self._json([_entry(root, path) for path in sorted(folder.iterdir())])

    def _json(self, value: object) -> None:
        data = json.dumps(value).encode()
        self.send_response(200)
        self.send_header("content-type", "application/json")
        self.send_header("content-length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)


def _entry(root: Path, path: Path) -> dict[str, object]:
    kind = "directory" if path.is_dir() else "file"
    return {"type": kind, "oid": "0", "size": path.stat().st_size, "path": str(path.relative_to(root))}


@contextmanager
def serving(folder: Path) -> Iterator[Web]:
    """The server, on a free port."""
    web = Web(folder)
    handler = type("Handler", (_Handler,), {"web": web})
    with ThreadingHTTPServer(
        ("127.0.0.1", 0), lambda *arguments: handler(*arguments, directory=str(folder))
    ) as server:
        web.url = f"http://127.0.0.1:{server.server_address[1]}"
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True)
        thread.start()
        try:
            yield web
        finally:
            server.shutdown()
            thread.join(10)
