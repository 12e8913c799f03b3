"""A browser tab on the page, which notes everything that a clean page does not do."""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any
from urllib.parse import urlsplit

from playwright.sync_api import Browser, ConsoleMessage, Error, Locator, Page, Request, expect

WAIT_MS = 30_000
"""For a condition on the document; a busy machine is slow, and a broken page never gets there."""

PANELS = (
    "forecast",
    "sentiment",
    "generate",
    "sequence",
    "compose",
    "transcribe",
    "translate",
    "caption",
    "sessions",
    "models",
    "now",
)

expect.set_options(timeout=WAIT_MS)


def chromium() -> str | None:
    """A Chromium on the path, or ``None``.

    One that has no windows is taken first: what Chromium draws around a page is a third of its work.
    """
    for name in ("chromium-headless-shell", "chromium", "chromium-browser", "google-chrome"):
        if (found := shutil.which(name)) is not None:
            return found
    return None


class Visit:
    """One tab.

    Args:
        page: of the browser.
        url: of the server.
    """

    def __init__(self, page: Page, url: str) -> None:
        self.page = page
        self.url = url
        self.complaints: list[str] = []
        self.requested: list[str] = []
        page.on("console", self._console)
        page.on("pageerror", self._uncaught)
        page.on("request", self._request)

    def _console(self, message: ConsoleMessage) -> None:
        if message.type in ("error", "warning"):
            self.complaints.append(message.text)

    def _uncaught(self, error: Error) -> None:
        self.complaints.append(str(error))

    def _request(self, request: Request) -> None:
        self.requested.append(request.url)

    def open(self, panel: str = "forecast") -> None:
        """Load the page at a panel, and wait until it knows the server."""
        self.page.goto(f"{self.url}/#{panel}")
        expect(self.page.locator("#status")).to_have_attribute("data-state", "ready")
        expect(self.at(f"panel-{panel}")).to_be_visible()

    def at(self, id: str) -> Locator:
        """The element of an id."""
        return self.page.locator(f"#{id}")

    def text(self, id: str) -> str:
        """What an element says."""
        return self.at(id).text_content() or ""

    def rows(self, id: str) -> list[list[str]]:
        """The cells of a table's body."""
        found: list[list[str]] = self.at(id).evaluate(
            "table => [...table.querySelectorAll('tr')].filter(row => row.querySelector('td'))"
            ".map(row => [...row.children].map(cell => cell.dataset.value ?? cell.textContent))"
        )
        return found

    def says(self, id: str, pattern: str) -> None:
        """Wait until an element says something."""
        expect(self.at(id)).to_have_text(re.compile(pattern, re.DOTALL))

    def check_clean(self, *allowed: str) -> None:
        """Nothing was complained of, but what is allowed; and nobody else was asked for anything."""
        found = [one for one in self.complaints if not any(re.search(each, one) for each in allowed)]
        assert not found, found
        host = urlsplit(self.url).netloc
        foreign = [one for one in self.requested if urlsplit(one).scheme not in ("data", "blob")]
        assert [one for one in foreign if urlsplit(one).netloc != host] == []


@contextmanager
def visiting(browser: Browser, url: str, **options: Any) -> Iterator[Visit]:
    """A tab in a profile of its own."""
    context = browser.new_context(reduced_motion="reduce", accept_downloads=True, **options)
    context.set_default_timeout(WAIT_MS)
    try:
        yield Visit(context.new_page(), url)
    finally:
        context.close()


def inked(canvas: Locator) -> int:
    """How many different colours a canvas shows."""
    count: int = canvas.evaluate(
        "canvas => new Set(new Uint32Array(canvas.getContext('2d')"
        ".getImageData(0, 0, canvas.width, canvas.height).data.buffer)).size"
    )
    return count


def parsed(text: str | None) -> Any:
    """JSON."""
    return json.loads(text or "")
