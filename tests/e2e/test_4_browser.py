"""A person with a browser on the deployed site, with production settings, at the address that `make rehearse` prints."""

from __future__ import annotations

import re
import shutil
from collections.abc import Iterator
from io import BytesIO

import pytest
from PIL import Image
from playwright.sync_api import FilePayload, Page, expect, sync_playwright

from tests.e2e.rehearsal import PROJECT, Rehearsal

CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
MEDIA = f"storage.googleapis.com/storage/v1/b/{PROJECT}-polls-media/o"
QUIET = [
    "--no-sandbox",  # Chromium refuses its sandbox to root
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--no-first-run",
]


@pytest.fixture
def page(deployed: Rehearsal) -> Iterator[Page]:
    """A page of a fresh browser, 390 pixels wide like a phone."""
    if CHROMIUM is None:
        pytest.skip("no Chromium is installed; install the package chromium")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=QUIET)
        yield browser.new_page(viewport={"width": 390, "height": 844})
        browser.close()


def picture(name: str, color: str) -> FilePayload:
    """A JPEG of one colour."""
    data = BytesIO()
    Image.new("RGB", (640, 480), color).save(data, "JPEG")
    return {"name": name, "mimeType": "image/jpeg", "buffer": data.getvalue()}


def objects(rehearsal: Rehearsal) -> set[str]:
    """The names in the media bucket."""
    return {item["name"] for item in rehearsal.api(MEDIA).get("items", [])}


def log_in(page: Page, rehearsal: Rehearsal) -> None:
    """Logs in to the admin with the generated password."""
    page.goto(rehearsal.browser_url("polls") + "/admin/")
    page.get_by_label(re.compile("e-?mail", re.IGNORECASE)).fill("admin@example.com")
    page.get_by_label("Password").fill(rehearsal.secret("polls-superuser-password"))
    page.get_by_role("button", name="Log in").click()
    expect(page).to_have_url(rehearsal.browser_url("polls") + "/admin/")


def test_the_admin_opens_with_the_generated_password(page: Page, deployed: Rehearsal) -> None:
    log_in(page, deployed)
    expect(page.get_by_role("link", name="Questions").first).to_be_visible()


def test_a_vote_counts(page: Page, deployed: Rehearsal) -> None:
    page.goto(deployed.browser_url("polls") + "/polls/")
    page.get_by_role("main").get_by_role("link").first.click()
    page.get_by_role("radio").first.check()
    page.get_by_role("button", name="Vote").click()
    expect(page.get_by_text(re.compile(r"\d+ votes? in all\."))).to_be_visible()


def test_three_pictures_are_uploaded_at_once_shown_and_one_is_deleted(
    page: Page, deployed: Rehearsal
) -> None:
    log_in(page, deployed)
    before = objects(deployed)
    page.goto(deployed.browser_url("polls") + "/gallery/upload/")
    page.get_by_label("Pictures").set_input_files(
        [picture("red.jpg", "red"), picture("green.jpg", "green"), picture("blue.jpg", "blue")]
    )
    page.get_by_role("button", name="Upload").click()

    page.goto(deployed.browser_url("polls") + "/gallery/")
    thumbnails = page.locator("main img")
    expect(thumbnails).to_have_count(3)
    page.wait_for_function(
        "[...document.querySelectorAll('main img')].every(i => i.complete && i.naturalWidth > 0)"
    )
    uploaded = objects(deployed) - before
    assert len(uploaded) == 6, "three pictures with a thumbnail each"

    page.locator("main li a").first.click()
    page.get_by_role("link", name="Delete").click()
    page.get_by_role("button", name="Delete").click()
    page.goto(deployed.browser_url("polls") + "/gallery/")
    expect(page.locator("main img")).to_have_count(2)
    assert len(uploaded & objects(deployed)) == 4, "the picture and its thumbnail are gone from the bucket"


def test_a_phone_needs_no_sideways_scrolling(page: Page, deployed: Rehearsal) -> None:
    for path in ("/", "/polls/", "/gallery/", "/accounts/login/"):
        page.goto(deployed.browser_url("polls") + path)
        assert page.evaluate("document.documentElement.scrollWidth <= window.innerWidth"), path


def test_the_timeline_of_a_deploy_fits_a_phone(page: Page, deployed: Rehearsal) -> None:
    complaints: list[str] = []
    page.on("console", lambda message: complaints.append(message.text))
    newest = max((deployed.home / "timelines").glob("*-deploy.html"))
    page.goto(newest.as_uri())
    expect(page.get_by_role("heading", name="deploy.yml")).to_be_visible()
    expect(page.get_by_role("heading", name="What decided how long it took")).to_be_visible()
    assert page.evaluate("document.documentElement.scrollWidth <= window.innerWidth")
    assert complaints == []
