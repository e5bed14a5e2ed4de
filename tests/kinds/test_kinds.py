"""Projects as the tools make them, deployed unedited: what an owner would look at, in the order in which one does."""

from __future__ import annotations

import html
import json
import re
import socket
import tomllib
from io import BytesIO
from pathlib import Path
from urllib.parse import urljoin, urlsplit

import pytest
from PIL import Image

from tests.e2e import projects
from tests.e2e.rehearsal import PROJECT, REGION, Run
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
def test_its_first_page_is_served_with_a_style_sheet_that_it_links(site: Sites, name: str) -> None:
    path, text = KINDS[name].page
    page = site.rehearsal.get(name, path)
    assert page.status_code == 200
    assert text in page.text
    link = re.search(r'<link[^>]+href="([^"]+\.css)"', page.text)
    assert link is not None, page.text
    sheet = site.rehearsal.session().get(urljoin(page.url, link[1]), timeout=60)
    assert sheet.status_code == 200
    assert sheet.headers["Content-Type"].startswith("text/css")


@every_kind
def test_the_superuser_logs_in(site: Sites, name: str) -> None:
    admin = str(KINDS[name].variables.get("djangogcp_admin_path", "/admin/"))
    session = projects.logged_in(site.rehearsal, name, f"{admin}login/")
    assert "Site administration" in session.get(site.rehearsal.url(name) + admin, timeout=60).text


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


@pytest.mark.parametrize("name", ["wagtail"])
def test_an_uploaded_image_is_in_the_private_bucket_and_shown(site: Sites, name: str) -> None:
    session = projects.logged_in(site.rehearsal, name, "/django-admin/login/")
    form = site.rehearsal.url(name) + "/admin/images/add/"
    picture = BytesIO()
    Image.new("RGB", (64, 48), "red").save(picture, "PNG")
    answer = session.post(
        form,
        data={
            "csrfmiddlewaretoken": projects.csrf_token(session.get(form, timeout=60)),
            "title": "Red",
        },
        files={"file": ("red.png", picture.getvalue(), "image/png")},
        headers={"Referer": form},
        timeout=60,
    )
    assert answer.status_code == 200
    shown = re.search(
        rf'<img[^>]+src="(https://storage\.googleapis\.com/{PROJECT}-{name}-media/[^"]+)"', answer.text
    )
    assert shown is not None, answer.text
    signed = html.unescape(shown[1])
    assert site.rehearsal.session().get(signed, timeout=30).headers["Content-Type"] == "image/png"
    assert site.rehearsal.session().get(signed.partition("?")[0], timeout=30).status_code == 403


@pytest.mark.parametrize("name", ["channels"])
@pytest.mark.parametrize(("origin", "status"), [("", 101), ("https://other.example.com", 403)])
def test_a_websocket_is_open_to_the_sites_own_pages(site: Sites, name: str, origin: str, status: int) -> None:
    address = urlsplit(site.rehearsal.browser_url(name))
    with socket.create_connection(("127.0.0.1", site.rehearsal.port), timeout=60) as connection:
        connection.sendall(
            (
                f"GET /ws/chat/lobby/ HTTP/1.1\r\nHost: {address.netloc}\r\nOrigin: {origin or address.geturl()}\r\n"
                "Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n"
                "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
            ).encode()
        )
        stream = connection.makefile("rb")
        assert stream.readline().split()[1] == str(status).encode()
        if status == 101:
            while stream.readline() != b"\r\n":
                pass
            said = b'{"message": "hello"}'
            # One whole text, masked as a client's has to be (RFC 6455, 5.2), by zeros.
            connection.sendall(bytes([0x81, 0x80 | len(said), 0, 0, 0, 0]) + said)
            first, length = stream.read(2)
            assert first == 0x81
            assert json.loads(stream.read(length)) == {"message": "hello", "path": "/ws/chat/lobby/"}


@pytest.mark.parametrize("name", [name for name, kind in KINDS.items() if kind.change])
def test_a_changed_line_is_deployed(site: Sites, changed: Run, name: str) -> None:
    assert _recap(changed, name)["changed"] > 0
    assert "Changed" in site.rehearsal.get(name, KINDS[name].page[0]).text


def test_one_is_destroyed_and_the_others_go_on(sites: Sites, changed: Run) -> None:
    run = sites.rehearsal.playbook(
        "playbooks/destroy.yml",
        *("--limit", DESTROYED, "-e", f"destroy_confirm={DESTROYED}", "-e", "destroy_data=true"),
        inventory=sites.inventory,
    )
    assert run.status == 0, run.output
    assert sites.rehearsal.get(DESTROYED, "/admin/login/").status_code == 404
    left = [name for name in sites.sources if name != DESTROYED]
    assert {sites.rehearsal.get(name, KINDS[name].page[0]).status_code for name in left} == {200}


def test_no_call_was_left_unanswered(sites: Sites) -> None:
    assert sites.rehearsal.unhandled() == []
