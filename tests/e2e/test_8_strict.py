"""Sites in an organisation that allows little: refused in one message, and deployed with the variables that the message names.

The model site, and a project that is as the handbook tells.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from io import BytesIO
from pathlib import Path

import pytest
from PIL import Image

from tests.e2e import projects
from tests.e2e.rehearsal import BIN, OPERATOR, PROJECT, REGION, ROOT, Rehearsal, Run

CURES = ("-e", "djangogcp_static=image", "-e", '{"djangogcp_secret_locations": ["us-central1"]}')
SITES = ("polls", "stock")
SOURCE = f"{PROJECT}-djangogcp-source"
BUCKETS = f"storage.googleapis.com/storage/v1/b?project={PROJECT}"
SECRETS = f"secretmanager.googleapis.com/v1/projects/{PROJECT}/secrets"


@pytest.fixture(scope="module")
def strict(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Rehearsal]:
    """An empty project in a strict organisation."""
    found = Rehearsal(
        tmp_path_factory.mktemp("strict"), REHEARSAL_SCALE="0.01", REHEARSAL_SEED="rehearsal/strict.yaml"
    )
    started = found._run([str(BIN / "python"), str(ROOT / "tools" / "rehearse.py"), "env"], 90)
    assert started.status == 0, started.output
    try:
        yield found
    finally:
        found.make("rehearse-clean")


@pytest.fixture(scope="module")
def inventory(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The two sites, with no variable for a strict organisation."""
    folder = tmp_path_factory.mktemp("sites")
    stock = projects.startproject(folder / "stock")
    with (stock / "requirements.txt").open("a", encoding="utf-8") as requirements:
        requirements.write(projects.pinned("whitenoise"))
    sites = {
        "polls": {"djangogcp_source_dir": str(ROOT / "app"), "djangogcp_max_instances": 1},
        "stock": projects.small_site(stock),
    }
    return projects.inventory(folder / "hosts.yml", sites)


@pytest.fixture(scope="module")
def refused(strict: Rehearsal, inventory: Path) -> Run:
    """A deploy without the variables, before anything is there."""
    return strict.playbook("deploy.yml", inventory=inventory)


@pytest.fixture(scope="module")
def deployed(strict: Rehearsal, refused: Run, inventory: Path) -> Rehearsal:
    """The sites with the variables; everything else needs them to have succeeded."""
    run = strict.playbook("deploy.yml", *CURES, inventory=inventory)
    assert run.status == 0, run.output
    return strict


def test_what_is_forbidden_is_told_at_once_and_nothing_is_made(strict: Rehearsal, refused: Run) -> None:
    assert refused.status != 0
    told = re.sub(r"\s+", " ", refused.output.replace("\\n", " "))
    assert (
        "polls cannot be deployed as it is described: policies of its organization forbid it. Nothing was deployed."
        in told
    )
    assert (
        "storage.publicAccessPrevention and iam.allowedPolicyMemberDomains forbid the public bucket of static files. "
        "Set djangogcp_static to image"
    ) in told
    assert f"(global). Set djangogcp_secret_locations to [{REGION}]." in told
    assert refused.changed_tasks() == []
    looks = re.compile(r"\.(get|list|testIamPermissions|getIamPolicy|getEffectivePolicy)$")
    asked = [one["method"] for one in strict.requests() if one["caller"] == f"user:{OPERATOR}"]
    assert len(asked) > 5
    assert [method for method in asked if not looks.search(method)] == []


@pytest.mark.parametrize("site", SITES)
def test_pages_have_styles_of_the_sites_own(deployed: Rehearsal, site: str) -> None:
    page = deployed.get(site, "/admin/login/")
    sheets = re.findall(r'href="(/static/[^"]+\.css)"', page.text)
    assert "/static/admin/css/base." in str(sheets)
    for sheet in sheets:
        found = deployed.session().get(deployed.url(site) + sheet, timeout=60)
        assert found.status_code == 200
        assert found.headers["Content-Type"].startswith("text/css")
        assert found.headers["Content-Encoding"] == "gzip"
        assert "immutable" in found.headers["Cache-Control"]


def test_uploads_work(deployed: Rehearsal) -> None:
    session = deployed.session()
    login = deployed.url("polls") + "/accounts/login/"
    token = projects.csrf_token(session.get(login, timeout=60))
    form = {
        "csrfmiddlewaretoken": token,
        "username": "admin@example.com",
        "password": deployed.secret("polls-superuser-password"),
    }
    assert session.post(login, data=form, headers={"Referer": login}, timeout=60).status_code == 200
    upload = deployed.url("polls") + "/gallery/upload/"
    picture = BytesIO()
    Image.new("RGB", (64, 48), "red").save(picture, "PNG")
    answer = session.post(
        upload,
        data={"csrfmiddlewaretoken": projects.csrf_token(session.get(upload, timeout=60))},
        files={"images": ("red.png", picture.getvalue(), "image/png")},
        headers={"Referer": upload},
        timeout=60,
    )
    assert answer.status_code == 200, answer.text
    shown = re.search(
        r'<img[^>]+src="(https://storage\.googleapis\.com/[^"]+)"', deployed.get("polls", "/").text
    )
    assert shown is not None
    signed = deployed.session().get(shown[1].replace("&amp;", "&"), timeout=30)
    assert signed.status_code == 200
    assert signed.headers["Content-Type"].startswith("image/")


def test_everything_is_where_it_may_be_and_nothing_is_public(deployed: Rehearsal) -> None:
    buckets = deployed.api(BUCKETS)["items"]
    assert {bucket["name"] for bucket in buckets} == {SOURCE, *(f"{PROJECT}-{site}-media" for site in SITES)}
    assert {bucket["location"] for bucket in buckets} == {REGION.upper()}
    secrets = deployed.api(SECRETS)["secrets"]
    assert len(secrets) == 6 * len(SITES)
    for secret in secrets:
        assert secret["replication"] == {"userManaged": {"replicas": [{"location": REGION}]}}
    policy = deployed.api(
        f"cloudresourcemanager.googleapis.com/v3/projects/{PROJECT}:getIamPolicy", method="POST", body={}
    )
    assert "allUsers" not in str(policy)
    # Nobody has been granted what Google grants by itself elsewhere.
    assert "roles/editor" not in str(policy)


@pytest.mark.parametrize("options", [(), ("--check",)])
def test_another_run_changes_nothing(deployed: Rehearsal, inventory: Path, options: tuple[str, ...]) -> None:
    again = deployed.playbook("deploy.yml", *CURES, *options, inventory=inventory)
    assert again.status == 0, again.output
    assert [again.counts(site)["changed"] for site in SITES] == [0, 0], again.changed_tasks()
    assert deployed.unhandled() == []


def test_a_site_is_destroyed_with_its_data(deployed: Rehearsal, inventory: Path) -> None:
    options = ("-e", "destroy_confirm=polls", "-e", "destroy_data=true")
    run = deployed.playbook("playbooks/destroy.yml", *CURES, *options, inventory=inventory)
    assert run.status == 0, run.output
    assert {bucket["name"] for bucket in deployed.api(BUCKETS)["items"]} == {SOURCE, f"{PROJECT}-stock-media"}
    assert [one["name"] for one in deployed.api(SECRETS)["secrets"] if "/polls-" in one["name"]] == []
