"""Previews: a site of its own beside the site, from its inventory, which takes nothing from it and leaves nothing behind."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from tests.e2e import projects
from tests.e2e.rehearsal import PROJECT, REGION, Rehearsal, Run

NAME = ("-e", "preview=pr1")
NEW_PAGE = """
import os

from django.http import HttpResponse

urlpatterns += [path("new/", lambda request: HttpResponse(os.environ["GREETING"]))]
"""


class Shop:
    """A small site, and its previews."""

    def __init__(self, rehearsal: Rehearsal, folder: Path) -> None:
        self.rehearsal = rehearsal
        self.project = projects.plain_project(folder / "shop")
        variables = {
            **projects.small_site(self.project),
            "djangogcp_media_bucket": f"{PROJECT}-all-uploads",
            "djangogcp_environment": {"GREETING": "{{ djangogcp_site }}"},
            "djangogcp_preview_variables": {"djangogcp_threads": 2},
        }
        self.inventory = projects.inventory(folder / "inventory.yml", {"shop": variables})

    def play(self, playbook: str, *options: str) -> Run:
        return self.rehearsal.playbook(playbook, *options, inventory=self.inventory)

    def played(self, playbook: str, *options: str) -> str:
        run = self.play(playbook, *options)
        assert run.status == 0, run.output
        return " ".join(run.output.split())

    def service(self, name: str) -> Any:
        return self.rehearsal.service(name)

    def buckets(self) -> dict[str, Any]:
        found = self.rehearsal.api(f"storage.googleapis.com/storage/v1/b?project={PROJECT}")["items"]
        return {bucket["name"]: bucket for bucket in found}

    def label(self, bucket: str, labels: dict[str, str]) -> None:
        """Labels of a bucket beside those that it has."""
        self.rehearsal.api(
            f"storage.googleapis.com/storage/v1/b/{bucket}", method="PATCH", body={"labels": labels}
        )

    def everything(self) -> dict[str, list[str]]:
        """What there is in the project, of what a site is made of, by the names of Google's."""
        run = f"run.googleapis.com/v2/projects/{PROJECT}/locations/{REGION}"
        sql = f"sqladmin.googleapis.com/v1/projects/{PROJECT}/instances"
        here = f"projects/{PROJECT}"
        collections = {
            "services": f"{run}/services",
            "jobs": f"{run}/jobs",
            "repositories": f"artifactregistry.googleapis.com/v1/{here}/locations/{REGION}/repositories",
            "secrets": f"secretmanager.googleapis.com/v1/{here}/secrets",
            "accounts": f"iam.googleapis.com/v1/{here}/serviceAccounts",
        }
        found = {kind: self._names(path, kind) for kind, path in collections.items()}
        found["instances"] = self._names(sql, "items")
        found["databases"] = self._names(f"{sql}/djangogcp/databases", "items")
        found["users"] = self._names(f"{sql}/djangogcp/users", "items")
        found["buckets"] = sorted(self.buckets())
        return found

    def _names(self, path: str, kind: str) -> list[str]:
        return sorted(one["name"] for one in self.rehearsal.api(path).get(kind, []))


@pytest.fixture(scope="module")
def shop(rehearsal: Rehearsal, first_run: Run, tmp_path_factory: pytest.TempPathFactory) -> Shop:
    """A site that is deployed, beside that of the rehearsal."""
    rehearsal.restore()
    found = Shop(rehearsal, tmp_path_factory.mktemp("previews"))
    refused = found.play("deploy.yml", *NAME)
    assert refused.status != 0, refused.output
    assert "shop is not there yet" in " ".join(refused.output.split())
    found.played("deploy.yml")
    return found


def test_it_takes_nothing_from_the_site(shop: Shop) -> None:
    before, serving = shop.everything(), shop.service("shop")
    urls = shop.project / "mysite" / "urls.py"
    code = urls.read_text("utf-8")
    urls.write_text(code + NEW_PAGE, "utf-8")
    try:
        checked = shop.played("deploy.yml", *NAME, "--check")
        assert shop.everything() == before, checked
        told = shop.played("deploy.yml", *NAME)
        again = shop.play("deploy.yml", *NAME)
    finally:
        urls.write_text(code, "utf-8")
    assert "playbooks/preview_absent.yml" in told
    assert again.status == 0, again.output
    assert again.counts("shop")["changed"] == 0, again.output
    # What the site says in terms of its own name is what the site has.
    assert shop.rehearsal.get("shop-pr1", "/new/").text == "shop"
    assert shop.rehearsal.get("shop", "/new/").status_code == 404
    page = projects.logged_in(shop.rehearsal, "shop-pr1").get(
        shop.rehearsal.url("shop-pr1") + "/admin/", timeout=60
    )
    assert "Site administration" in page.text
    assert shop.service("shop") == serving
    made = shop.everything()
    assert made["instances"] == before["instances"]
    assert set(made["databases"]) - set(before["databases"]) == {"shop_pr1"}
    assert f"{PROJECT}-shop-pr1-media" in made["buckets"], "and not the bucket that the site names"
    assert '"revision": "shop-pr1-' in shop.played("playbooks/status.yml", *NAME)


def test_it_leaves_nothing_behind(shop: Shop) -> None:
    before, serving = shop.everything(), shop.service("shop")
    for name in ("old1", "old2"):
        shop.played("deploy.yml", "-e", f"preview={name}")
    unexpired = shop.everything()
    assert "no preview has expired" in shop.played(
        "playbooks/preview_absent.yml", "-e", "preview_expired=true"
    )
    assert shop.everything() == unexpired
    for name in ("old1", "old2"):
        shop.label(f"{PROJECT}-shop-{name}-releases", {"preview-until": "2026-01-31"})
    shown = shop.play("playbooks/previews.yml", "-e", "format=json").output
    listed, _end = json.JSONDecoder().raw_decode(shown, shown.index("[\n", shown.index("Show them")))
    expired = {one["name"]: one["has_expired"] for one in listed}
    assert {"old1": True, "old2": True}.items() <= expired.items()
    addresses = {one["name"]: one["address"] for one in listed}
    assert addresses["old1"] == shop.rehearsal.url("shop-old1")
    shop.played("playbooks/preview_absent.yml", "-e", "preview_expired=true")
    assert shop.everything() == before
    assert shop.service("shop") == serving
    again = shop.play("playbooks/preview_absent.yml", "-e", "preview=old1")
    assert again.status == 0, again.output
    assert again.counts("shop")["changed"] == 0
    assert "there is no preview old1" in again.output


def test_a_site_is_no_preview(shop: Shop) -> None:
    """A site of its own may be called like one, and a preview has none."""
    name = f"{PROJECT}-shop-eu-releases"
    labels = {"managed-by": "djangogcp", "site": "shop-eu", "region": REGION, "purpose": "releases"}
    shop.rehearsal.api(
        f"storage.googleapis.com/storage/v1/b?project={PROJECT}",
        method="POST",
        body={"name": name, "labels": labels, "location": REGION},
    )
    there = shop.everything()
    try:
        for playbook in ("deploy.yml", "playbooks/destroy.yml"):
            asked = ("-e", "preview=eu", "-e", "destroy_data=true", "-e", "destroy_confirm=shop-eu")
            run = shop.play(playbook, *asked)
            assert run.status != 0, run.output
            assert "shop-eu is no preview of shop" in " ".join(run.output.split())
        assert "there is no preview eu" in shop.played("playbooks/preview_absent.yml", "-e", "preview=eu")
        shop.label(name, {"preview-of": "other"})
        assert shop.play("deploy.yml", "-e", "preview=eu").status != 0
        assert shop.everything() == there
    finally:
        shop.rehearsal.api(f"storage.googleapis.com/storage/v1/b/{name}", method="DELETE", status=204)
    of_it = projects.inventory(
        shop.inventory.with_name("of-a-preview.yml"), {"shop-old1": projects.small_site(shop.project)}
    )
    shop.played("deploy.yml", "-e", "preview=old1")
    run = shop.rehearsal.playbook("deploy.yml", *NAME, inventory=of_it)
    assert run.status != 0
    assert "shop-old1 is not there yet" in " ".join(run.output.split())


@pytest.mark.parametrize(
    ("playbook", "options", "words"),
    [
        (
            "deploy.yml",
            ("-e", "preview=Feature/7"),
            "preview is 'Feature/7': expected 1 to 12 lower case letters",
        ),
        ("deploy.yml", (*NAME, "-e", "djangogcp_site=shop"), "djangogcp_site was set with -e"),
        (
            "deploy.yml",
            (*NAME, "-e", '{"djangogcp_preview_variables": {"djangogcp_memroy": "1Gi"}}'),
            "djangogcp_memroy is unknown",
        ),
        ("playbooks/preview_absent.yml", (), "expected the name of a preview"),
        ("playbooks/previews.yml", ("-e", "format=yaml"), "format is 'yaml': expected one of text, json."),
    ],
)
def test_wrong_input_is_one_clear_message(
    shop: Shop, playbook: str, options: tuple[str, ...], words: str
) -> None:
    run = shop.play(playbook, *options)
    assert run.status != 0
    assert words in " ".join(run.output.split())
    assert run.counts("shop")["changed"] == 0


def test_it_begins_with_what_the_site_has(shop: Shop, tmp_path: Path) -> None:
    """With a server of a version of which this machine has pg_dump as well."""
    of_its_own = {
        **projects.small_site(shop.project),
        "djangogcp_database_instance": "older",
        "djangogcp_database_version": "POSTGRES_15",
        "djangogcp_preview_database": "copy",
    }
    inventory = projects.inventory(tmp_path / "inventory.yml", {"books": of_its_own})
    for options in ((), NAME):
        run = shop.rehearsal.playbook("deploy.yml", *options, inventory=inventory)
        assert run.status == 0, run.output
    # The superuser came along, so the password is that of the site.
    session, address = shop.rehearsal.session(), shop.rehearsal.url("books-pr1") + "/admin/login/"
    form = {
        "csrfmiddlewaretoken": projects.csrf_token(session.get(address, timeout=60)),
        "username": "admin",
        "password": shop.rehearsal.secret("books-superuser-password"),
        "next": "/admin/",
    }
    page = session.post(address, data=form, headers={"Referer": address}, timeout=60)
    assert "Site administration" in page.text
    bucket = f"storage.googleapis.com/storage/v1/b/{PROJECT}-books-pr1-releases"
    left = [one["name"] for one in shop.rehearsal.api(f"{bucket}/o")["items"]]
    assert not [name for name in left if name.startswith("copies/")]
    bindings = shop.rehearsal.api(f"{bucket}/iam").get("bindings", [])
    assert not [one for one in bindings if "gcp-sa-cloud-sql" in str(one["members"])]
    again = shop.rehearsal.playbook("deploy.yml", *NAME, inventory=inventory)
    assert again.status == 0, again.output
    assert again.counts("books")["changed"] == 0
