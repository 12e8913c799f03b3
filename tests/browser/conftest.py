"""One browser a file, and one server with the shipped bundles."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import httpx2
import pytest
from playwright.sync_api import Browser, sync_playwright

from tests.browser.visit import Visit, chromium, visiting
from tests.e2e.server import REPOSITORY, ServerProcess

SHIPPED = REPOSITORY / "models"
HERE = Path(__file__).parent


# Playwright's event loop runs in this thread until it is stopped, and no asynchronous test may follow
# while it does: the browser ends with its file.
@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    """A headless Chromium of the machine; Playwright brings the protocol, not a browser."""
    path = chromium()
    if path is None:
        pytest.skip("no Chromium is installed (on Debian: apt install chromium-headless-shell)")
    with sync_playwright() as playwright:
        # As root, as in a container, Chromium has no sandbox of its own to offer.
        browser = playwright.chromium.launch(executable_path=path, args=["--no-sandbox"])
        try:
            yield browser
        finally:
            browser.close()


@pytest.fixture(scope="module")
def server(browser: Browser) -> Iterator[ServerProcess]:
    """Serves the shipped bundles with sessions in memory."""
    with ServerProcess(SHIPPED) as server:
        yield server


@pytest.fixture
def visit(browser: Browser, server: ServerProcess) -> Iterator[Visit]:
    """A fresh tab on that server."""
    with visiting(browser, server.url) as visit:
        yield visit


@pytest.fixture
def client(server: ServerProcess) -> Iterator[httpx2.Client]:
    """An HTTP client of that server."""
    with server.client() as client:
        yield client
