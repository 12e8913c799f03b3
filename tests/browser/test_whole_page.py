"""What holds for the page as a whole: its policy, weight, reach, access for everybody, and bad times."""

from __future__ import annotations

import signal
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Browser, Route, expect

from app.access.api_key import new_key, shown_digest
from tests.browser.conftest import SHIPPED
from tests.browser.visit import PANELS, Visit, visiting
from tests.e2e.server import REPOSITORY, ServerProcess
from tests.parity.network import export_parity

pytestmark = pytest.mark.long
MAX_TRANSFER = 1_500_000
WIDTHS = (390, 1280, 1920)
SEVERE = ("serious", "critical")
FIRST_PAINT = """() => performance.getEntriesByType("paint")
    .find(one => one.name === "first-contentful-paint").startTime"""
CUT = """width => [...document.querySelectorAll(
        "main button, main input:not([type=file]), main select, main textarea, main h1, main h2, .tabs a")]
    .filter(one => one.offsetParent && !one.closest(".scroll"))
    .filter(one => { const box = one.getBoundingClientRect(); return box.left < 0 || box.right > width; })
    .map(one => one.id || one.textContent)"""
INLINE = """() => { const script = document.createElement("script"); script.textContent = "window.ran = true";
    document.body.append(script); return window.ran === true; }"""
CLIENT = """async ([label, values]) => {
    const { Client, Problem } = await import("/static/client.js");
    const client = new Client(location.origin);
    const session = await client.create({ task: "forecast", metadata: { made_by: label } });
    const line = session.connect();
    const quick = await Promise.all(values.map((value) => line.feed(value)));
    line.close();
    await session.refresh();
    const fed = await session.feed(values[0]);
    let text = "";
    const asked = { prompt: "A", max_tokens: 9, seed: 3 };
    for await (const frame of client.stream("generate", asked)) text += frame.text ?? "";
    const problem = await client.answer("forecast", {}).catch((error) => error);
    await session.close();
    return [quick.map((one) => one.step), fed.step, text.length, problem instanceof Problem && problem.kind];
}"""
KEPT = "() => JSON.stringify([{...localStorage}, {...sessionStorage}, document.cookie])"


def settle(visit: Visit, panel: str) -> None:
    """Wait until a panel shows what it shows by itself, or with one click."""
    visit.open(panel)
    match panel:
        case "forecast":
            visit.says("forecast-meta", "answered in")
        case "sentiment":
            visit.page.locator("#mood-samples button").first.click()
            visit.says("mood-label", "positive")
        case "generate":
            visit.at("max-tokens").fill("20")
            visit.at("generate-run").click()
            visit.says("g-end", "its length")
        case "sequence":
            visit.page.locator("#sequence-samples button").first.click()
            visit.says("sequence-meta", "steps read by")
        case "compose":
            expect(visit.at("music-run")).to_be_enabled()
        case "transcribe":
            visit.at("hear-file").set_input_files(REPOSITORY / "examples/digits.wav")
            visit.says("hear-meta", "finished")
        case "translate":
            visit.at("translate-run").click()
            visit.says("translate-meta", "tokens in")
        case "caption":
            visit.at("caption-file").set_input_files(REPOSITORY / "examples/photographer.jpg")
            visit.says("caption-meta", "Score")
        case "sessions":
            visit.page.locator("#session-rows button").first.click()
            visit.says("session-figures", "Model")
        case "models":
            expect(visit.page.locator("#model-cards article")).not_to_have_count(0)
        case _:
            visit.says("now-since", "Read")


def test_every_panel_is_clean_light_and_of_one_host(
    visit: Visit, record_property: Callable[[str, object], None], capsys: pytest.CaptureFixture[str]
) -> None:
    """No complaint in the console, nothing from elsewhere, and under 1.5 MB for all of them together."""
    devtools = visit.page.context.new_cdp_session(visit.page)
    devtools.send("Network.enable")
    sizes: list[float] = []
    devtools.on("Network.loadingFinished", lambda event: sizes.append(event["encodedDataLength"]))
    settle(visit, "forecast")
    paint = visit.page.evaluate(FIRST_PAINT)
    transferred = sum(sizes)
    for panel in PANELS[1:]:
        settle(visit, panel)
    assert len(sizes) > 20, "the transfers were seen"
    assert sum(sizes) < MAX_TRANSFER
    visit.check_clean()
    record_property("first_contentful_paint_ms", paint)
    record_property("transferred_bytes", transferred)
    with capsys.disabled():
        print(
            f"\nfirst paint {paint:.0f} ms, {transferred / 1e3:.0f} kB; all panels {sum(sizes) / 1e3:.0f} kB"
        )


def test_a_strict_policy_is_sent_and_in_force(visit: Visit) -> None:
    """Nothing by default, scripts and styles from here alone; a script in the document does not run."""
    answer = visit.page.goto(visit.url)
    assert answer is not None
    header = answer.header_value("content-security-policy") or ""
    policy = dict(part.split(" ", 1) for part in header.split("; "))
    assert policy["default-src"] == policy["base-uri"] == policy["frame-ancestors"] == "'none'"
    assert answer.header_value("x-content-type-options") == "nosniff"
    assert policy["script-src"] == policy["style-src"] == policy["connect-src"] == "'self'"
    expect(visit.at("status")).to_have_attribute("data-state", "ready")
    visit.check_clean()
    assert visit.page.evaluate(INLINE) is False
    assert any("Content Security Policy" in one for one in visit.complaints)


def test_axe_finds_nothing_serious(browser: Browser, server: ServerProcess) -> None:
    """On any panel, and around them; in the dark nothing differs but colours."""
    with visiting(browser, server.url, color_scheme="light") as visit:
        for panel in PANELS:
            settle(visit, panel)
            inside = "body" if panel == PANELS[0] else f"#panel-{panel}"
            assert severe(visit, inside) == [], panel
            visit.page.emulate_media(color_scheme="dark")
            expect(visit.page.locator("html")).to_have_attribute("data-theme", "dark")
            assert severe(visit, inside, runOnly=["color-contrast"]) == [], panel
            visit.page.emulate_media(color_scheme="light")


def severe(visit: Visit, inside: str, **options: Any) -> list[tuple[str, list[str]]]:
    """What axe finds, and where."""
    return [
        (one["id"], [node["html"][:120] for node in one["nodes"][:3]])
        for one in Axe()
        .run(visit.page, inside, {"resultTypes": ["violations"], **options})
        .response["violations"]
        if one["impact"] in SEVERE
    ]


def test_nothing_is_wider_than_the_window(browser: Browser, server: ServerProcess) -> None:
    """On a phone and on a wide screen: no panel scrolls sideways, and no button or field is cut."""
    with visiting(browser, server.url, viewport={"width": WIDTHS[0], "height": 900}) as visit:
        for panel in PANELS:
            settle(visit, panel)
            for width in (*WIDTHS, WIDTHS[0]):
                visit.page.set_viewport_size({"width": width, "height": 900})
                assert visit.page.evaluate("() => document.scrollingElement.scrollWidth") <= width, panel
                assert visit.page.evaluate(CUT, width) == [], panel


def test_the_keyboard_alone_reaches_every_panel(visit: Visit) -> None:
    """The first stop skips to the content; each link opens its panel and takes the focus there."""
    visit.open()
    visit.page.keyboard.press("Tab")
    expect(visit.page.locator(".skip")).to_be_focused()
    for panel in PANELS[1:]:
        visit.page.locator(f'.tabs a[href="#{panel}"]').focus()
        visit.page.keyboard.press("Enter")
        expect(visit.at(f"panel-{panel}")).to_be_visible()
        expect(visit.at("main")).to_be_focused()
        expect(visit.page.locator('.tabs a[aria-current="page"]')).to_have_attribute("href", f"#{panel}")


def test_the_colours_follow_the_system_and_the_switch(browser: Browser, server: ServerProcess) -> None:
    """And the choice is kept when the page is loaded again."""
    with visiting(browser, server.url, color_scheme="dark") as visit:
        visit.open()
        root = visit.page.locator("html")
        expect(root).to_have_attribute("data-theme", "dark")
        visit.at("theme").select_option("light")
        expect(root).to_have_attribute("data-theme", "light")
        visit.page.reload()
        expect(root).to_have_attribute("data-theme", "light")


def test_without_the_chart_library_the_values_are_tables(visit: Visit) -> None:
    """And the page says what is missing."""

    def missing(route: Route) -> None:
        route.fulfill(status=200, content_type="text/javascript", body="")

    visit.page.route("**/vendor/uPlot.js", missing)
    visit.open()
    visit.says("forecast-chart", "Charts are not installed on this server.*\\.\\[page\\]")
    expect(visit.at("forecast-table")).to_be_visible()
    assert len(visit.rows("forecast-table")) == 24
    visit.check_clean()


@pytest.fixture
def mortal(browser: Browser) -> Iterator[ServerProcess]:
    """A server that a test may end."""
    with ServerProcess(SHIPPED) as server:
        yield server


def test_a_dead_server_is_told_in_words(browser: Browser, mortal: ServerProcess) -> None:
    """In the panel that asked, with a way to try again, and in the header."""
    with visiting(browser, mortal.url) as visit:
        settle(visit, "forecast")
        mortal.signal(signal.SIGTERM)
        mortal.wait()
        visit.at("forecast-run").click()
        visit.says("forecast-error", "The server does not answer.*try again")
        expect(visit.page.locator("#forecast-error").get_by_role("button", name="Try again")).to_be_visible()
        visit.says("status", "does not answer")
        visit.page.locator('.tabs a[href="#sentiment"]').click()
        visit.says("mood-error", "The server does not answer")
        visit.check_clean("ERR_CONNECTION_REFUSED", "ERR_CONNECTION_RESET", "WebSocket connection")


def test_the_page_asks_for_a_key_and_says_when_it_is_refused(browser: Browser, tmp_path: Path) -> None:
    """The key is kept in memory alone; with the right one requests, streams and sockets work."""
    key = new_key()
    file = tmp_path / "keys.toml"
    file.write_text(f'[keys.reader]\nhash = "{shown_digest(key)}"\n')
    with ServerProcess(SHIPPED, keys=file) as server, visiting(browser, server.url) as visit:
        visit.open()
        expect(visit.at("key-form")).to_be_visible()
        visit.at("key-input").fill("not the key")
        visit.page.get_by_role("button", name="Use this key").click()
        visit.says("key-error", "The server refused this key")
        visit.at("key-input").fill(key)
        visit.page.get_by_role("button", name="Use this key").click()
        expect(visit.at("key-form")).to_be_hidden()
        visit.says("forecast-meta", "answered in")
        visit.page.locator('.tabs a[href="#sentiment"]').click()
        visit.page.locator("#mood-samples button").first.click()
        visit.says("mood-label", "positive")
        visit.page.locator('.tabs a[href="#generate"]').click()
        visit.at("pace").select_option("full")
        visit.at("max-tokens").fill("20")
        visit.at("generate-run").click()
        visit.says("g-end", "its length")
        kept = visit.page.evaluate(KEPT)
        assert key not in kept
        visit.check_clean("status of 401")
        visit.page.reload()
        expect(visit.at("key-form")).to_be_visible()


def test_without_sessions_the_panels_that_need_them_say_so(browser: Browser) -> None:
    """In the server's words; forecasts need none."""
    with ServerProcess(SHIPPED, sessions="off") as server, visiting(browser, server.url) as visit:
        settle(visit, "forecast")
        for panel, notice in (("sentiment", "mood"), ("generate", "generate"), ("sessions", "sessions")):
            visit.page.locator(f'.tabs a[href="#{panel}"]').click()
            visit.says(f"{notice}-error", "sessions are turned off on this server")
        visit.check_clean("status of 404")


@pytest.mark.parametrize("tasks", [("forecast", "parity"), ("parity",)])
def test_a_task_without_a_panel_is_seen_where_every_task_is(
    browser: Browser, tmp_path: Path, tasks: tuple[str, ...]
) -> None:
    """Its models and sessions are there, and of tasks that are not registered there is nothing."""
    export_parity(tmp_path)
    panels = [task for task in tasks if task != "parity"]
    with (
        ServerProcess(f"{SHIPPED},{tmp_path}", tasks=",".join(tasks), skip_bad_models=True) as server,
        visiting(browser, server.url) as visit,
    ):
        for panel in (*panels, "sessions", "models", "now"):
            visit.open(panel)
        links = visit.page.locator(".tabs a").evaluate_all("links => links.map(one => one.hash.slice(1))")
        assert links == [*panels, "sessions", "models", "now"]
        visit.page.locator('.tabs a[href="#models"]').click()
        expect(visit.page.get_by_role("article", name="parity@1")).to_contain_text("max bits")
        expect(visit.page.get_by_role("article", name="sentiment@1")).to_contain_text("broken")
        visit.page.locator('.tabs a[href="#sessions"]').click()
        visit.at("session-model").select_option("parity@1")
        visit.at("session-id").fill("bits")
        visit.page.locator("#session-form").get_by_role("button", name="Open", exact=True).click()
        visit.says("session-title", "^bits$")
        visit.page.locator(".brand").click()
        expect(visit.at(f"panel-{links[0]}")).to_be_visible()
        visit.check_clean()


def test_a_panel_whose_script_is_missing_leaves_the_others(visit: Visit) -> None:
    """It says so, and the rest of the page works."""
    visit.page.route("**/panels/sentiment/panel.js", lambda route: route.fulfill(status=404))
    visit.open("sentiment")
    expect(visit.at("panel-sentiment")).to_contain_text("The script of this panel could not be loaded")
    settle(visit, "forecast")
    visit.check_clean("status of 404", "Failed to fetch dynamically imported module")


def test_the_page_can_be_left_out() -> None:
    """Then there is nothing at its address, and the API is as before."""
    with ServerProcess(SHIPPED, page="off") as server, server.client() as client:
        assert client.get("/").status_code == 404
        assert client.get("/models").status_code == 200
        assert client.get("/static/client.js").status_code == 200


def test_a_page_uses_the_client_as_it_stands(visit: Visit) -> None:
    """Requests, streams, sessions over HTTP and over a socket, in the browser's own JavaScript."""
    visit.open()
    answer = visit.page.evaluate(CLIENT, ["a program", [112, None, 129]])
    assert answer == [[1, 2, 3], 4, 9, "invalid-input"]
    visit.check_clean("status of 422")
