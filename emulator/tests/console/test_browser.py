"""The state page in Chromium, as wide as a phone and as a desktop."""

from __future__ import annotations

import shutil
from collections.abc import Iterator

import pytest
from playwright.sync_api import Browser, Page, expect, sync_playwright

from emulator.tests.console.test_site import make_object, make_secret
from emulator.tests.running import PROJECT, RunningEmulator

CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
QUIET = [
    "--no-sandbox",  # Chromium refuses its sandbox to root
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--no-first-run",
]
SIZES = {"phone": (390, 844), "desktop": (1280, 900)}
LONG = "a-name-without-any-place-to-break-it-" * 6


@pytest.fixture(scope="module")
def chromium() -> Iterator[Browser]:
    if CHROMIUM is None:
        pytest.skip("no Chromium is installed; install the package chromium")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=QUIET)
        yield browser
        browser.close()


@pytest.fixture(params=SIZES)
def page(chromium: Browser, emulator: RunningEmulator, request: pytest.FixtureRequest) -> Iterator[Page]:
    """A page of this width at the emulator's address; what it complains about fails the test."""
    width, height = SIZES[request.param]
    context = chromium.new_context(
        base_url=emulator.proxy, viewport={"width": width, "height": height}, color_scheme="dark"
    )
    page = context.new_page()
    complaints: list[str] = []
    page.on("console", lambda message: complaints.append(message.text))
    page.on("pageerror", lambda error: complaints.append(str(error)))
    yield page
    context.close()
    assert complaints == [], "scripts, styles and the content security policy agree"


def test_every_page_fits_and_can_be_reached_from_the_menu(page: Page, emulator: RunningEmulator) -> None:
    make_secret(emulator, LONG[:200], "value")
    make_object(emulator, "long-names", LONG)
    emulator.call(emulator.context.logs.write, PROJECT, "stdout", {"type": "global", "labels": {}}, LONG * 3)
    page.goto("/")
    for address, title in emulator.emulator.console.menu.items():
        page.get_by_role("navigation").get_by_role("link", name=title, exact=True).click()
        expect(page).to_have_url(emulator.proxy + address)
        expect(page.locator("h1")).to_be_visible()
        assert page.evaluate("document.documentElement.scrollWidth <= window.innerWidth"), address
    page.goto("/storage/long-names")
    assert page.evaluate("document.documentElement.scrollWidth <= window.innerWidth")


def test_long_methods_and_callers_fit_every_width(page: Page, emulator: RunningEmulator) -> None:
    caller = f"serviceAccount:{'a-long-name-' * 2}x@{PROJECT}.iam.gserviceaccount.com"
    service = f"run.googleapis.com/v2/projects/{PROJECT}/locations/us-central1/services/{'s' * 49}"
    emulator.session(caller).get(f"https://{service}/revisions/{'r' * 60}")
    page.goto("/requests")
    expect(page.get_by_text("run.projects.locations.services.revisions.get")).to_be_visible()
    for width in (320, 390, 800, 1090, 1280):
        page.set_viewport_size({"width": width, "height": 800})
        assert page.evaluate("document.documentElement.scrollWidth <= window.innerWidth"), width
        assert page.evaluate(
            "document.querySelector('table').getBoundingClientRect().right <= window.innerWidth"
        ), width


def test_requests_appear_as_they_happen_until_they_are_paused(page: Page, emulator: RunningEmulator) -> None:
    url = f"https://secretmanager.googleapis.com/v1/projects/{PROJECT}/secrets"
    session = emulator.session()
    page.goto("/requests")
    expect(page.get_by_role("status")).to_have_text("live")
    rows = page.locator("tbody tr")
    expect(rows).to_have_count(0)
    session.get(url)
    expect(rows).to_have_count(1)
    expect(rows.first).to_contain_text("secretmanager.projects.secrets.list")

    page.get_by_role("button", name="Pause").click()
    expect(page.get_by_role("status")).to_have_text("paused")
    session.get(url + "/none")
    page.get_by_role("button", name="Go on").click()
    expect(rows).to_have_count(2)
    expect(rows.first).to_contain_text("404")
