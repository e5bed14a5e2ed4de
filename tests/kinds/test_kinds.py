"""Projects as the tools make them, deployed unedited: what an owner would look at, in the order in which one does."""

from __future__ import annotations

import json
import re
import tomllib
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page, expect

from tests.e2e.rehearsal import PROJECT, REGION, Run
from tests.e2e.test_4_browser import picture
from tests.e2e.test_7_destroy import NO_DATA, NOTHING_RUNS, data, what_runs
from tests.kinds.browser import LOGIN_WIDTH, STYLED_WIDTH, visitor
from tests.kinds.conftest import Sites, files
from tests.kinds.kinds import KINDS
from tests.kinds.tools import DJANGO

every_kind = pytest.mark.parametrize("name", KINDS)
#: It is destroyed at the end.
DESTROYED = "plain"


def _recap(run: Run, name: str) -> dict[str, int]:
    counts = run.counts(name)
    assert counts["failed"] == 0, run.output
    return counts


@every_kind
def test_it_is_deployed_and_no_file_of_it_is_changed(site: Sites, name: str) -> None:
    assert _recap(site.run, name)["changed"] > 0
    assert files(site.sources[name]) == site.made[name]


@every_kind
def test_its_first_page_opens_with_its_styles(chromium: Browser, site: Sites, name: str) -> None:
    path, text = KINDS[name].page
    with visitor(chromium, site, name) as context:
        page = context.new_page()
        page.goto(path)
        expect(page.get_by_text(text).first).to_be_visible()
        assert page.evaluate("[...document.styleSheets].filter(sheet => sheet.href).length") > 0


@every_kind
def test_the_superuser_logs_in(chromium: Browser, site: Sites, name: str) -> None:
    with visitor(chromium, site, name) as context:
        page = context.new_page()
        page.goto(admin_path(name))
        assert page.evaluate(LOGIN_WIDTH) == STYLED_WIDTH
        log_in(page, site, name)
        expect(page).to_have_url(site.rehearsal.browser_url(name) + admin_path(name))
        expect(page.get_by_role("heading", name="Site administration")).to_be_visible()


def admin_path(name: str) -> str:
    """Where Django's admin of a kind is."""
    return str(KINDS[name].variables.get("djangogcp_admin_path", "/admin/"))


def log_in(page: Page, site: Sites, name: str) -> None:
    """Types the superuser's name and its generated password on a page that asks for them."""
    page.locator("input[name=username]").fill("admin")
    page.locator("input[name=password]").fill(site.rehearsal.secret(f"{name}-superuser-password"))
    page.get_by_role("button", name=re.compile("Log in|Sign in")).click()


@pytest.mark.parametrize("name", [name for name, kind in KINDS.items() if kind.lock])
def test_what_is_locked_is_what_was_installed(site: Sites, name: str) -> None:
    locked = _locked(site.sources[name] / KINDS[name].lock)
    assert f"django=={locked['django']}" == DJANGO
    # A lock file holds also what other systems need.
    [installed] = [found for found in _installed(site, name) if "django" in found]
    assert installed.items() <= locked.items()


def _locked(path: Path) -> dict[str, str]:
    """The distributions of a lock file with their versions."""
    if path.name == "Pipfile.lock":
        default = json.loads(path.read_text("utf-8"))["default"]
        return {name: entry["version"].removeprefix("==") for name, entry in default.items()}
    return {one["name"]: one["version"] for one in tomllib.loads(path.read_text("utf-8"))["package"]}


def _installed(site: Sites, name: str) -> list[dict[str, str]]:
    """What each `pip install` of the site's build says that it installed."""
    builds = site.rehearsal.api(f"cloudbuild.googleapis.com/v1/projects/{PROJECT}/locations/{REGION}/builds")
    [build] = [one["id"] for one in builds["builds"] if f"/{name}/{name}:" in one["images"][0]]
    entries = site.rehearsal.api(
        "logging.googleapis.com/v2/entries:list",
        method="POST",
        body={
            "resourceNames": [f"projects/{PROJECT}"],
            "filter": f'resource.labels.build_id="{build}" AND textPayload:"Successfully installed"',
        },
    )["entries"]
    words = [entry["textPayload"].partition("Successfully installed ")[2].split() for entry in entries]
    return [
        {name: version for name, _dash, version in (word.rpartition("-") for word in line)} for line in words
    ]


def _upload_to_wagtail(page: Page, site: Sites) -> str:
    page.goto("/admin/images/")
    log_in(page, site, "wagtail")
    page.get_by_role("link", name="Add an image").click()
    page.locator("input[type=file]").set_input_files(picture("red.jpg", "red"))
    expect(page.get_by_text("Upload successful. Please update")).to_be_visible()
    page.goto("/admin/images/")
    return "main img"


def _upload_to_filer(page: Page, site: Sites) -> str:
    page.goto("/admin/filer/folder/")
    log_in(page, site, "djangocms")
    page.get_by_role("link", name="Unsorted Uploads").first.click()
    with page.expect_file_chooser() as chooser:
        page.get_by_role("link", name="Upload Files").click()
    chooser.value.set_files(picture("red.jpg", "red"))
    expect(page.get_by_role("link", name="red.jpg").first).to_be_visible()
    return "img[src*='/filer/file/icon/']"


#: By kind that has something of its own to upload to: uploads a picture, and tells how the images are found that the page then shows.
UPLOADS = {"djangocms": _upload_to_filer, "wagtail": _upload_to_wagtail}


@pytest.mark.parametrize("name", UPLOADS)
def test_an_uploaded_image_is_in_the_private_bucket_and_shown(
    chromium: Browser, site: Sites, name: str
) -> None:
    with visitor(chromium, site, name) as context:
        page = context.new_page()
        fetched: list[str] = []
        page.on("response", lambda response: fetched.append(response.url))
        shown = UPLOADS[name](page, site)
        page.wait_for_function(
            "shown => [...document.querySelectorAll(shown)].some(i => i.complete && i.naturalWidth > 0)",
            arg=shown,
        )
    bucket = f"{PROJECT}-{name}-media"
    stored = {address.partition("?")[0].partition(f"{bucket}/")[2] for address in fetched} - {""}
    assert stored, fetched
    for place in stored:
        address = f"https://storage.googleapis.com/{bucket}/{place}"
        assert site.rehearsal.session().get(address, timeout=30).status_code == 403


@pytest.mark.parametrize("name", ["channels"])
def test_what_one_says_in_a_chat_another_reads(chromium: Browser, site: Sites, name: str) -> None:
    with visitor(chromium, site, name) as one, visitor(chromium, site, name) as other:
        pages = [context.new_page() for context in (one, other)]
        for page in pages:
            page.goto("/chat/")
            # Until the socket is open.
            expect(page.get_by_role("button", name="Send")).to_be_enabled()
        pages[0].get_by_label("Message").fill("hello")
        pages[0].get_by_role("button", name="Send").click()
        for page in pages:
            expect(page.get_by_role("listitem")).to_have_text("hello")


@pytest.mark.parametrize("name", ["channels"])
def test_a_page_of_another_site_does_not_get_a_websocket(chromium: Browser, site: Sites, name: str) -> None:
    page = chromium.new_page()
    page.goto(site.rehearsal.browser_url("uv") + "/admin/login/")
    address = site.rehearsal.browser_url(name).replace("http:", "ws:") + "/ws/chat/lobby/"
    said = page.evaluate(
        """address => new Promise(resolve => {
            const socket = new WebSocket(address)
            socket.onopen = () => resolve("open")
            socket.onerror = () => resolve("refused")
        })""",
        address,
    )
    page.close()
    assert said == "refused"


@every_kind
def test_a_changed_line_is_deployed(site: Sites, changed: Run, name: str) -> None:
    assert _recap(changed, name)["changed"] > 0
    pages = (KINDS[name].page[0], admin_path(name) + "login/")
    assert any("Changed" in site.rehearsal.get(name, page).text for page in pages)


def _destroy(sites: Sites, name: str) -> None:
    run = sites.rehearsal.playbook(
        "playbooks/destroy.yml",
        *("--limit", name, "-e", f"destroy_confirm={name}", "-e", "destroy_data=true"),
        inventory=sites.inventory,
    )
    assert run.status == 0, run.output


def test_one_is_destroyed_and_the_others_go_on(sites: Sites, changed: Run) -> None:
    _destroy(sites, DESTROYED)
    assert sites.rehearsal.get(DESTROYED, "/admin/login/").status_code == 404
    left = [name for name in sites.sources if name != DESTROYED]
    answers = {name: sites.rehearsal.get(name, KINDS[name].page[0]) for name in left}
    assert {name: answer.text for name, answer in answers.items() if answer.status_code != 200} == {}


@pytest.mark.parametrize("name", [name for name in KINDS if name != DESTROYED])
def test_nothing_of_it_is_left_when_it_is_destroyed(site: Sites, changed: Run, name: str) -> None:
    rehearsal = site.rehearsal
    assert [] not in (what_runs(rehearsal, name) | data(rehearsal, name)).values()
    _destroy(site, name)
    assert what_runs(rehearsal, name) == NOTHING_RUNS
    assert data(rehearsal, name) == NO_DATA


def test_no_call_was_left_unanswered(sites: Sites) -> None:
    assert sites.rehearsal.unhandled() == []
