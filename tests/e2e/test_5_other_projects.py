"""Projects that know nothing of the collection deploy by the handbook's recipe, beside the model site."""

from __future__ import annotations

import html
import re
from io import BytesIO
from pathlib import Path
from typing import Any

import pytest
import yaml
from PIL import Image

from tests.e2e import projects
from tests.e2e.rehearsal import PROJECT, Rehearsal, Run

ADMINS = [("stock", "/admin/"), ("channel", "/admin/"), ("bakery", "/django-admin/")]


@pytest.fixture(scope="module")
def inventory(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Three further sites, with the handbook's variables and nothing else."""
    folder = tmp_path_factory.mktemp("projects")
    channel = projects.startproject(folder / "channel")
    with (channel / "mysite" / "settings.py").open("a", encoding="utf-8") as settings:
        settings.write('DATABASES["default"]["CONN_MAX_AGE"] = 0\n')
    # Nothing that serves WSGI is there to fall back to.
    requirements = (channel / "requirements.txt").read_text("utf-8").splitlines(keepends=True)
    (channel / "requirements.txt").write_text(
        "".join(line for line in requirements if not line.startswith("gunicorn")), "utf-8"
    )
    stock = projects.startproject(folder / "stock")
    # A template of code, as generators have them: named as Python, and none.
    (stock / "skeleton.py").write_text("class {{ name }}:\n    pass\n", "utf-8")
    return projects.inventory(
        folder / "hosts.yml",
        {
            "stock": {
                "djangogcp_source_dir": str(stock),
                **yaml.safe_load(projects.recipe("startproject")),
            },
            "channel": {
                **projects.small_site(channel),
                "djangogcp_wsgi_module": "mysite.asgi:application",
                # The database instance has too few connections for three sites with more.
                "djangogcp_threads": 2,
            },
            "bakery": {
                "djangogcp_source_dir": str(projects.wagtail_start(folder / "bakery")),
                **yaml.safe_load(projects.recipe("wagtail")),
                # The smallest instance has too few connections for two sites of four instances.
                "djangogcp_max_instances": 1,
            },
        },
    )


@pytest.fixture(scope="module")
def before(model_site: Rehearsal) -> Any:
    """The service of the model site, before there are others."""
    return model_site.service("polls")


@pytest.fixture(scope="module")
def run(model_site: Rehearsal, before: Any, inventory: Path) -> Run:
    """The deploy of all; everything else needs it to have succeeded."""
    done = model_site.playbook("deploy.yml", inventory=inventory)
    assert done.status == 0, done.output
    return done


@pytest.fixture
def deployed_projects(model_site: Rehearsal, run: Run) -> Rehearsal:
    """The rehearsal with these projects deployed."""
    return model_site


@pytest.mark.parametrize(("site", "admin"), ADMINS)
def test_the_superuser_can_log_in_with_the_generated_password(
    deployed_projects: Rehearsal, site: str, admin: str
) -> None:
    session = projects.logged_in(deployed_projects, site, f"{admin}login/")
    page = session.get(deployed_projects.url(site) + admin, timeout=60)
    assert page.url == deployed_projects.url(site) + admin
    assert "Site administration" in page.text


@pytest.mark.parametrize(("site", "admin"), ADMINS)
def test_static_files_of_the_admin_come_from_the_sites_own_bucket(
    deployed_projects: Rehearsal, site: str, admin: str
) -> None:
    page = deployed_projects.get(site, f"{admin}login/").text
    sheet = re.search(r'href="(https://storage\.googleapis\.com/[^"]+/admin/css/base\.css)"', page)
    assert sheet is not None
    assert sheet[1].startswith(f"https://storage.googleapis.com/{PROJECT}-{site}-static/")
    found = deployed_projects.session().get(sheet[1], timeout=30)
    assert found.status_code == 200
    assert found.headers["Content-Type"].startswith("text/css")


@pytest.mark.parametrize("site", ["stock", "channel", "bakery"])
def test_production_settings_are_in_force(deployed_projects: Rehearsal, site: str) -> None:
    missing = deployed_projects.get(site, "/no-such-page/")
    assert missing.status_code == 404
    assert "DEBUG" not in missing.text
    login = deployed_projects.get(site, dict(ADMINS)[site] + "login/")
    assert re.search(r"csrftoken=[^;]+;.*\bSecure\b", login.headers["Set-Cookie"])


def test_the_home_page_that_wagtail_migrated_is_served(deployed_projects: Rehearsal) -> None:
    page = deployed_projects.get("bakery", "/")
    assert page.status_code == 200
    assert "Welcome to your new Wagtail site!" in page.text


def test_an_image_uploaded_to_wagtail_is_in_the_private_bucket(deployed_projects: Rehearsal) -> None:
    session = projects.logged_in(deployed_projects, "bakery", "/django-admin/login/")
    form = deployed_projects.url("bakery") + "/admin/images/add/"
    token = projects.csrf_token(session.get(form, timeout=60))
    picture = BytesIO()
    Image.new("RGB", (64, 48), "red").save(picture, "PNG")
    answer = session.post(
        form,
        data={"csrfmiddlewaretoken": token, "title": "Red"},
        files={"file": ("red.png", picture.getvalue(), "image/png")},
        headers={"Referer": form},
        timeout=60,
    )
    assert answer.status_code == 200
    listed = deployed_projects.api(f"storage.googleapis.com/storage/v1/b/{PROJECT}-bakery-media/o")
    names = [item["name"] for item in listed["items"]]
    assert "original_images/red.png" in names
    address = f"https://storage.googleapis.com/{PROJECT}-bakery-media/original_images/red.png"
    assert deployed_projects.session().get(address, timeout=30).status_code == 403
    shown = re.search(r'<img[^>]+src="(https://storage\.googleapis\.com/[^"]+)"', answer.text)
    assert shown is not None
    signed = deployed_projects.session().get(html.unescape(shown[1]), timeout=30)
    assert signed.status_code == 200
    assert signed.headers["Content-Type"] == "image/png"


def test_an_asgi_application_is_served_by_uvicorn(deployed_projects: Rehearsal) -> None:
    entries = deployed_projects.api(
        "logging.googleapis.com/v2/entries:list",
        method="POST",
        body={
            "resourceNames": [f"projects/{PROJECT}"],
            "filter": 'resource.labels.service_name="channel" AND textPayload:"Uvicorn running on http://0.0.0.0:"',
        },
    ).get("entries", [])
    assert len(entries) > 0


def test_a_second_run_changes_nothing(deployed_projects: Rehearsal, inventory: Path) -> None:
    again = deployed_projects.playbook("deploy.yml", inventory=inventory)
    assert again.status == 0, again.output
    assert again.changed_tasks() == []
    assert (
        again.counts("stock")["changed"]
        == again.counts("channel")["changed"]
        == again.counts("bakery")["changed"]
        == 0
    )


def test_the_model_site_was_left_alone(deployed_projects: Rehearsal, before: Any) -> None:
    assert deployed_projects.service("polls") == before
    assert deployed_projects.get("polls", "/polls/").status_code == 200


def test_no_call_was_left_unanswered(deployed_projects: Rehearsal) -> None:
    assert deployed_projects.unhandled() == []
