"""The explorer over a running demo, in a real browser."""

import os
import pathlib
import re
import shutil
import signal
import subprocess
import sys
import time

import pytest
from playwright import sync_api

FLOWLEDGER = [sys.executable, "-m", "cli.main"]
QUIET = ["--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-sync",
         "--disable-background-networking", "--disable-component-update"]  # fmt: skip
FIRST_SCREEN_SECONDS = 15
pytestmark = [pytest.mark.net, pytest.mark.e2e]


@pytest.fixture(scope="module")
def demo(tmp_path_factory, free_ports):
    """A demo with its app: the address of the page, and when the lab's traffic began to flow."""
    place = {**os.environ, "XDG_RUNTIME_DIR": str(tmp_path_factory.mktemp("run"))}
    pipes = {"stdout": subprocess.DEVNULL, "stderr": subprocess.PIPE, "text": True}
    with subprocess.Popen([*FLOWLEDGER, "demo", *free_ports], env=place, **pipes) as process:
        said = []
        for line in process.stderr:
            said.append(line)
            if found := re.search(r"Flowledger is at (http://\S+)", line):
                yield found[1], time.monotonic()
                break
        else:
            pytest.fail("".join(said))
        process.send_signal(signal.SIGINT)
        process.stderr.read()
        assert process.wait(20) == 0


@pytest.fixture(scope="module")
def browser():
    path = shutil.which("chromium") or shutil.which("google-chrome")
    with sync_api.sync_playwright() as playwright:
        opened = playwright.chromium.launch(executable_path=path, args=QUIET)
        yield opened
        opened.close()


@pytest.fixture
def page(browser, demo):
    """The overview, with its first denied edge on the screen."""
    opened = browser.new_page(viewport={"width": 1440, "height": 2300})
    failed = []
    opened.on("pageerror", lambda error: failed.append(str(error)))
    opened.goto(demo[0])
    _flow_links(opened).first.wait_for(timeout=30_000)
    yield opened
    assert failed == []
    opened.close()


def _flow_links(page: sync_api.Page) -> sync_api.Locator:
    return page.get_by_test_id("stPageLink").get_by_role("link")


def _map(page: sync_api.Page) -> sync_api.Locator:
    return page.locator(".st-key-map").get_by_test_id("stGraphVizChart").locator("svg").first


def test_first_data_is_there_soon(page, demo):
    """Within seconds after the lab is up somebody sees what was denied."""
    assert time.monotonic() - demo[1] < FIRST_SCREEN_SECONDS


def test_a_denied_edge_leads_to_its_flows(page, tmp_path):
    """Two clicks from the overview: the edge, its rule in words, its flows, one flow's whole story."""
    page.wait_for_function("document.body.innerText.includes('guest/intruder')", timeout=30_000)
    rows = (
        page.locator("[class*='st-key-edge-']").filter(has_text="guest/intruder").filter(has_text="shop/cart")
    )
    row = rows.first
    sync_api.expect(row).to_contain_text("GlobalNetworkPolicy security.no-strangers of tier security, rule 0")
    row.get_by_role("link").click()

    page.get_by_test_id("stDataFrame").wait_for(timeout=20_000)
    expression = page.get_by_label("Filter").first.input_value()
    assert "verdict = denied" in expression
    assert "src.workload = intruder" in expression
    story = page.locator(".st-key-story")
    sync_api.expect(story).to_contain_text(
        "GlobalNetworkPolicy security.no-strangers of tier security, rule 0"
    )
    sync_api.expect(story).to_contain_text("guest/intruder")


def test_a_filter_narrows_the_flows(page, demo):
    page.goto(f"{demo[0]}/flows")
    page.get_by_test_id("stDataFrame").wait_for(timeout=20_000)
    field = page.get_by_label("Filter").first
    field.fill("src.workload = coupons and verdict = denied and egress_action = deny")
    field.press("Enter")
    story = page.locator(".st-key-story")
    sync_api.expect(story).to_contain_text("shop/coupons", timeout=20_000)
    sync_api.expect(story).to_contain_text("security.quarantine")
    sync_api.expect(page).to_have_url(re.compile("coupons"))


def test_a_wrong_filter_says_where(page, demo):
    page.goto(f"{demo[0]}/flows?q=verdict%20%3D")
    sync_api.expect(page.locator(".st-key-wrong")).to_be_visible(timeout=20_000)
    assert "Traceback" not in page.inner_text("body")


def test_the_map_shows_who_talks_to_whom(page):
    drawing = _map(page)
    sync_api.expect(drawing).to_contain_text("checkout", timeout=30_000)
    for name in ("web", "cart", "payments", "postgres", "intruder"):
        sync_api.expect(drawing).to_contain_text(name)


def test_screenshots_are_taken(page, demo):
    """For people to look at: build/screenshots."""
    folder = pathlib.Path("build/screenshots")
    folder.mkdir(parents=True, exist_ok=True)
    _map(page).wait_for(timeout=30_000)
    page.screenshot(path=folder / "overview.png")
    page.goto(f"{demo[0]}/flows?q=verdict%20%3D%20denied")
    page.locator(".st-key-story").wait_for(timeout=20_000)
    page.screenshot(path=folder / "flows.png")
    assert all((folder / name).stat().st_size > 50_000 for name in ("overview.png", "flows.png"))
