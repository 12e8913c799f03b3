"""Pictures of every panel for the documentation: ``make screenshots``.

Each at the width of a phone, a laptop and a wide screen, light and dark, as small PNGs in
docs/images/page/. Times and sessions' ids differ from run to run, so the pictures do.
"""

from __future__ import annotations

import io
import re
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from pathlib import Path
from typing import Literal

import httpx2
from PIL import Image
from playwright.sync_api import Browser, expect, sync_playwright

from tests.browser.visit import PANELS, Visit, chromium, visiting
from tests.e2e.server import REPOSITORY, ServerProcess

OUT = REPOSITORY / "docs/images/page"
WIDTHS = (390, 1280, 1920)
SCHEMES: tuple[Literal["light", "dark"], ...] = ("light", "dark")
SECONDS_OF_NOW = 14
HEIGHTS = {390: 844, 1280: 800, 1920: 1080}
COLOURS = 224


def main() -> None:
    """Take them all."""
    path = chromium()
    if path is None:
        sys.exit("no Chromium is installed (on Debian: apt install chromium-headless-shell)")
    OUT.mkdir(parents=True, exist_ok=True)
    with (
        ServerProcess(REPOSITORY / "models") as server,
        server.client() as client,
        sync_playwright() as playwright,
    ):
        furnish(client)
        browser = playwright.chromium.launch(executable_path=path, args=["--no-sandbox"])
        for scheme in SCHEMES:
            for width in WIDTHS:
                shoot(browser, server, scheme, width)
        browser.close()
    total = sum(file.stat().st_size for file in OUT.glob("*.png"))
    print(f"{len(list(OUT.glob('*.png')))} pictures in {OUT.relative_to(REPOSITORY)}, {total / 1e6:.1f} MB")


def furnish(client: httpx2.Client) -> None:
    """Sessions as somebody might have them."""
    client.post("/sessions", json={"id": "boiler-7", "task": "forecast", "options": {"freq": "h"}})
    client.post(
        "/sessions/boiler-7/steps", json={"inputs": [112, 118, 132, 129, 121, 135, 148, 148, 136, 119]}
    )
    client.post("/sessions", json={"id": "ticket-2041", "task": "sentiment"})
    client.post("/sessions/ticket-2041/steps", json={"inputs": "Thank you, that solved it at once!"})
    client.post("/sessions", json={"id": "play", "task": "generate"})
    client.post("/sessions/play/steps", json={"inputs": "ROMEO:\n"})
    client.post("/sessions/play/snapshots", json={"name": "prompt"})
    client.post("/sessions/play/generate", json={"max_tokens": 60, "seed": 1, "advance": True})
    client.post("/sessions/play/snapshots", json={"name": "first-verse"})
    for id, parent, step in (
        ("play-merry", "play", 67),
        ("play-sad", "play", 67),
        ("play-sad-2", "play-sad", 107),
    ):
        client.post(
            f"/sessions/{parent}/fork", json={"id": id, "metadata": {"parent": parent, "at_step": step}}
        )
        client.post(f"/sessions/{id}/generate", json={"max_tokens": 40, "seed": len(id), "advance": True})


@contextmanager
def busy(server: ServerProcess) -> Iterator[None]:
    """Some traffic, so that there is something to see."""
    over = threading.Event()

    def ask() -> None:
        turn = 0
        with server.client() as client:
            while not over.wait(0.05):
                turn += 1
                client.post("/forecast", json={"values": list(range(40 + turn % 60)), "horizon": 12})
                if turn % 3 == 0:
                    client.post("/sentiment", json={"text": "a warm, funny and charming film"})
                if turn % 10 == 0:
                    client.post("/generate", json={"max_tokens": 40 + turn % 80})

    threads = [threading.Thread(target=ask) for _ in range(3)]
    for thread in threads:
        thread.start()
    try:
        yield
    finally:
        over.set()
        for thread in threads:
            thread.join()


def shoot(browser: Browser, server: ServerProcess, scheme: Literal["light", "dark"], width: int) -> None:
    """Every panel at one width, in one scheme."""
    size = {"width": width, "height": HEIGHTS[width]}
    with visiting(browser, server.url, color_scheme=scheme, viewport=size) as visit:
        for panel in PANELS:
            visit.open(panel)
            with busy(server) if panel == "now" else nullcontext():
                pose(visit, panel)
                save(visit, f"{panel}-{width}-{scheme}")
        if width == WIDTHS[1]:
            stream(visit)
            save(visit, f"stream-{width}-{scheme}")


def pose(visit: Visit, panel: str) -> None:
    """Show what the panel is for."""
    match panel:
        case "forecast":
            visit.says("forecast-meta", "answered in")
        case "sentiment":
            visit.page.locator("#mood-samples button").first.click()
            visit.says("mood-label", "positive")
            expect(visit.page.locator("#mood-words .waiting")).to_have_count(0)
        case "generate":
            write_and_fork(visit)
        case "sequence":
            visit.page.get_by_role("button", name="Papadopoulos").click()
            visit.says("sequence-meta", "12 steps read")
        case "sessions":
            visit.page.locator("#session-rows tr[data-id='play-sad'] button").click()
            visit.says("fork-tree", "play-sad-2")
        case "models":
            expect(visit.page.locator("#model-cards article")).not_to_have_count(0)
        case _:
            visit.says("now-since", "Read")
            # A line needs some points; they come every two seconds.
            visit.page.wait_for_timeout(SECONDS_OF_NOW * 1000)


def write_and_fork(visit: Visit) -> None:
    """A text, a fork of it, and the caret on a character."""
    visit.at("seed").fill("8")
    visit.at("max-tokens").fill("150")
    visit.at("generate-run").click()
    visit.says("g-end", "its length")
    visit.at("tokens").focus()
    visit.page.keyboard.press("End")
    for _ in range(5):
        visit.page.keyboard.press("ArrowUp")
    visit.at("fork-here").click()
    visit.says("g-end", "forked")
    visit.at("seed").fill("21")
    visit.at("max-tokens").fill("90")
    visit.at("generate-more").click()
    visit.says("g-end", "its length")
    visit.at("tokens").focus()
    visit.page.keyboard.press("End")
    visit.page.keyboard.press("ArrowUp")


def stream(visit: Visit) -> None:
    """The taxis through a session, up to New Year."""
    visit.open("forecast")
    visit.page.get_by_role("button", name="Taxis").click()
    visit.at("stream-switch").check(force=True)
    visit.at("stream-pace").select_option("0")
    visit.at("forecast-run").click()
    visit.says("forecast-meta", "672 of 672 points fed to session")


def save(visit: Visit, name: str) -> None:
    """The whole panel, with few colours."""
    page = visit.page
    page.evaluate("() => document.activeElement.id === 'tokens' || document.activeElement.blur()")
    page.evaluate("() => scrollTo(0, 0)")
    width = page.viewport_size["width"] if page.viewport_size else WIDTHS[1]
    height = page.evaluate("() => document.scrollingElement.scrollHeight")
    # A picture beyond the window would repeat the sticky header in its middle.
    page.set_viewport_size({"width": width, "height": height})
    page.wait_for_timeout(300)
    shot = page.screenshot(animations="disabled")
    page.set_viewport_size({"width": width, "height": HEIGHTS[width]})
    picture = Image.open(io.BytesIO(shot)).convert("RGB")
    picture.quantize(palette=palette(picture), dither=Image.Dither.NONE).save(path_of(name), optimize=True)


def palette(picture: Image.Image) -> Image.Image:
    """The page's own colours, of which some are rare in a picture, and the most frequent others."""
    css = (REPOSITORY / "app/page/css/base.css").read_text()
    own = [tuple(bytes.fromhex(one)) for one in re.findall(r"#([0-9a-f]{6})\b", css)]
    counted = picture.getcolors(picture.width * picture.height) or []
    frequent = [colour for _, colour in sorted(counted, key=lambda one: one[0], reverse=True)]
    chosen: list[tuple[int, ...]] = list(dict.fromkeys([*own, *map(as_rgb, frequent)]))[:COLOURS]
    made = Image.new("P", (1, 1))
    made.putpalette([part for colour in chosen for part in colour])
    return made


def as_rgb(colour: object) -> tuple[int, ...]:
    """A pixel of an RGB picture."""
    assert isinstance(colour, tuple)
    return colour


def path_of(name: str) -> Path:
    """Where a picture goes."""
    return OUT / f"{name}.png"


if __name__ == "__main__":
    main()
