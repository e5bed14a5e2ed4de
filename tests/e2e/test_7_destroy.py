"""Taking one of several sites down: nothing without its name, data only when told, interrupted and gone on with."""

from __future__ import annotations

import os
import re
import signal
import subprocess
from collections.abc import Iterator
from typing import Any

import pytest

from tests.e2e import projects
from tests.e2e.conftest import SideBySide
from tests.e2e.rehearsal import PROJECT, REGION, ROOT, Rehearsal, Run

DESTROY = "playbooks/destroy.yml"
RUN = f"run.googleapis.com/v2/projects/{PROJECT}/locations/{REGION}"
STORAGE = "storage.googleapis.com/storage/v1/b"
SECRETS = f"secretmanager.googleapis.com/v1/projects/{PROJECT}/secrets"
INSTANCES = f"sqladmin.googleapis.com/v1/projects/{PROJECT}/instances"
REPOSITORIES = f"artifactregistry.googleapis.com/v1/projects/{PROJECT}/locations/{REGION}/repositories"
PROJECT_POLICY = f"cloudresourcemanager.googleapis.com/v3/projects/{PROJECT}:getIamPolicy"
OTHERS = ("east", "south")


@pytest.fixture(scope="module")
def before(side_by_side: SideBySide) -> dict[str, Any]:
    """What the other sites are before anything is destroyed."""
    assert side_by_side.first_run.status == 0, side_by_side.first_run.output
    put_upload(side_by_side.rehearsal)
    return {site: everything(side_by_side.rehearsal, site) for site in OTHERS}


@pytest.fixture
def cloud(side_by_side: SideBySide, before: dict[str, Any]) -> Iterator[Rehearsal]:
    """The rehearsal with all sites deployed; whatever a test does to north, the others stay as they were."""
    yield side_by_side.rehearsal
    assert {site: everything(side_by_side.rehearsal, site) for site in OTHERS} == before


def put_upload(rehearsal: Rehearsal) -> None:
    """Puts something into north's bucket of uploads."""
    url = (
        f"storage.googleapis.com/upload/storage/v1/b/{PROJECT}-north-media/o?uploadType=media&name=kept.json"
    )
    rehearsal.api(url, method="POST", body={"kept": True})


def names(rehearsal: Rehearsal, url: str, key: str) -> list[str]:
    """The last parts of the names in a listing."""
    return [item["name"].rpartition("/")[2] for item in rehearsal.api(url).get(key, [])]


def what_runs(rehearsal: Rehearsal, site: str) -> dict[str, list[str]]:
    """What a site has besides its data: service, jobs, service accounts and what they may do on anything."""
    buckets = names(rehearsal, f"{STORAGE}?project={PROJECT}", "items")
    secrets = names(rehearsal, SECRETS, "secrets")
    repositories = names(rehearsal, REPOSITORIES, "repositories")
    policies = [
        ("POST", PROJECT_POLICY),
        *(("GET", f"{REPOSITORIES}/{one}:getIamPolicy") for one in repositories),
        *(("GET", f"{STORAGE}/{bucket}/iam") for bucket in buckets),
        *(("GET", f"{SECRETS}/{secret}:getIamPolicy") for secret in secrets),
    ]
    granted = []
    for method, url in policies:
        policy = rehearsal.api(url, method=method, body={} if method == "POST" else None)
        for binding in policy.get("bindings", []):
            held = [member for member in binding["members"] if re.search(rf":{site}-\w+@", member)]
            granted += [f"{url}: {binding['role']} to {member}" for member in held]
    # A page has twenty if nobody says how many.
    accounts = rehearsal.api(f"iam.googleapis.com/v1/projects/{PROJECT}/serviceAccounts?pageSize=100")[
        "accounts"
    ]
    mine = (f"{site}-",)
    return {
        "services": [name for name in names(rehearsal, f"{RUN}/services", "services") if name == site],
        "jobs": [name for name in names(rehearsal, f"{RUN}/jobs", "jobs") if name.startswith(mine)],
        "accounts": [one["email"] for one in accounts if one["email"].startswith(mine)],
        "granted": sorted(granted),
    }


def data(rehearsal: Rehearsal, site: str) -> dict[str, list[str]]:
    """What a site has that stays unless it is said."""
    buckets = names(rehearsal, f"{STORAGE}?project={PROJECT}", "items")
    secrets = names(rehearsal, SECRETS, "secrets")
    instance = f"{INSTANCES}/djangogcp"
    users = names(rehearsal, f"{instance}/users", "items")
    return {
        "buckets": [bucket for bucket in buckets if bucket.startswith(f"{PROJECT}-{site}-")],
        "repositories": [one for one in names(rehearsal, REPOSITORIES, "repositories") if one == site],
        "secrets": [secret for secret in secrets if secret.startswith(f"{site}-")],
        "databases": [one for one in names(rehearsal, f"{instance}/databases", "items") if one == site],
        "users": [user for user in users if user.startswith(f"{site}_")],
    }


def everything(rehearsal: Rehearsal, site: str) -> Any:
    """All there is of a site."""
    return rehearsal.service(site), what_runs(rehearsal, site), data(rehearsal, site)


NOTHING_RUNS = {"services": [], "jobs": [], "accounts": [], "granted": []}
NO_DATA = {"buckets": [], "repositories": [], "secrets": [], "databases": [], "users": []}


def works(rehearsal: Rehearsal, site: str) -> bool:
    """Whether the superuser can log in."""
    page = projects.logged_in(rehearsal, site).get(rehearsal.url(site) + "/admin/", timeout=60)
    return "Site administration" in page.text


@pytest.mark.parametrize("options", [[], ["-e", "destroy_confirm=nort"]], ids=["no name", "a wrong name"])
def test_nothing_is_destroyed_without_the_sites_name(
    side_by_side: SideBySide, cloud: Rehearsal, options: list[str]
) -> None:
    there = everything(cloud, "north")
    run = side_by_side.playbook(DESTROY, *options)
    assert run.status != 0
    given = options[-1].partition("=")[2] if options else ""
    assert f"destroy_confirm is '{given}': expected 'north', the name of the site to delete." in run.output
    assert run.changed_tasks() == []
    assert everything(cloud, "north") == there


def test_the_data_stay_when_a_site_is_destroyed(side_by_side: SideBySide, cloud: Rehearsal) -> None:
    kept = data(cloud, "north")
    assert all(kept.values())
    assert all(what_runs(cloud, "north").values())
    run = side_by_side.playbook(DESTROY, "-e", "destroy_confirm=north")
    assert run.status == 0, run.output
    assert what_runs(cloud, "north") == NOTHING_RUNS
    assert data(cloud, "north") == kept
    assert names(cloud, f"{STORAGE}/{PROJECT}-north-media/o", "items") == ["kept.json"]
    for host in OTHERS:
        assert run.counts(host)["changed"] == 0


def test_destroying_again_changes_nothing(side_by_side: SideBySide, cloud: Rehearsal) -> None:
    run = side_by_side.playbook(DESTROY, "-e", "destroy_confirm=north")
    assert run.status == 0, run.output
    assert run.changed_tasks() == []


def test_a_deploy_makes_the_site_anew_with_its_old_data(side_by_side: SideBySide, cloud: Rehearsal) -> None:
    password = cloud.secret("north-superuser-password")
    run = side_by_side.playbook("deploy.yml", "--limit", "north")
    assert run.status == 0, run.output
    assert cloud.secret("north-superuser-password") == password
    assert works(cloud, "north")
    assert names(cloud, INSTANCES, "items") == ["djangogcp"]
    assert names(cloud, f"{STORAGE}/{PROJECT}-north-media/o", "items") == ["kept.json"]


def test_an_interrupted_destruction_goes_on_where_it_was(side_by_side: SideBySide, cloud: Rehearsal) -> None:
    options = ["-e", "destroy_confirm=north", "-e", "destroy_data=true"]
    kill_at("absent | Look whether the site still has something", side_by_side, options)
    half = data(cloud, "north")
    assert half["databases"] == []
    assert half["secrets"] != []
    run = side_by_side.playbook(DESTROY, *options)
    assert run.status == 0, run.output
    assert what_runs(cloud, "north") == NOTHING_RUNS
    assert data(cloud, "north") == NO_DATA


def kill_at(task: str, side_by_side: SideBySide, options: list[str]) -> None:
    """Destroys until a task begins, and kills ansible-playbook and all that it started there."""
    command = ["ansible-playbook", DESTROY, "-i", str(side_by_side.inventory), *options]
    process = subprocess.Popen(
        ["bash", "-c", f'. {side_by_side.rehearsal.home}/env && exec "$@"', "bash", *command],
        cwd=ROOT,
        env={**os.environ, "PYTHONUNBUFFERED": "1"},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    assert process.stdout is not None
    with process, process.stdout:
        seen = any(task in line for line in process.stdout)
        os.killpg(process.pid, signal.SIGKILL)
    assert seen
    assert process.returncode == -signal.SIGKILL


def test_a_deploy_makes_the_site_anew_after_its_data_are_gone(
    side_by_side: SideBySide, cloud: Rehearsal
) -> None:
    run = side_by_side.playbook("deploy.yml", "--limit", "north")
    assert run.status == 0, run.output
    assert works(cloud, "north")
    assert "items" not in cloud.api(f"{STORAGE}/{PROJECT}-north-media/o")


@pytest.mark.parametrize(
    "options",
    [["-e", "destroy_data=true"], ["-e", '{"djangogcp_database_deletion_protection": false}']],
    ids=["protected", "without its data"],
)
def test_an_instance_that_is_protected_or_keeps_its_data_is_not_deleted(
    side_by_side: SideBySide, cloud: Rehearsal, options: list[str]
) -> None:
    there = everything(cloud, "north")
    run = side_by_side.playbook(
        DESTROY, "-e", "destroy_confirm=north", "-e", "destroy_instance=true", *options
    )
    assert run.status != 0
    assert (
        "expected destroy_data to be true and djangogcp_database_deletion_protection to be false"
        in run.output
    )
    assert run.changed_tasks() == []
    assert everything(cloud, "north") == there


def test_the_name_of_a_deleted_instance_is_refused_with_a_way_out(side_by_side: SideBySide) -> None:
    """The last test: the instance goes with the last site in it, whichever made it."""
    unprotected = ["-e", '{"djangogcp_database_deletion_protection": false}']
    data, instance = ("-e", "destroy_data=true"), ("-e", "destroy_instance=true")
    early = side_by_side.playbook(DESTROY, "-e", "destroy_confirm=north", *data, *instance, *unprotected)
    assert early.status != 0
    assert "it holds the databases east, south of others" in early.output
    assert early.changed_tasks() == []
    for site in OTHERS:
        gone = side_by_side.playbook(DESTROY, "-e", f"destroy_confirm={site}", *data)
        assert gone.status == 0, gone.output
    run = side_by_side.playbook(DESTROY, "-e", "destroy_confirm=north", *data, *instance, *unprotected)
    assert run.status == 0, run.output
    assert "items" not in side_by_side.rehearsal.api(INSTANCES)

    refused = side_by_side.playbook("deploy.yml", "--limit", "north")
    assert refused.status != 0
    assert explanations(refused) == 1
    assert (
        "The name of a deleted Cloud SQL instance stays locked for one week. Choose another name"
        in refused.output
    )
    assert "Traceback" not in refused.output
    other = side_by_side.playbook(
        "deploy.yml", "--limit", "north", "-e", "djangogcp_database_instance=djangogcp-2"
    )
    assert other.status == 0, other.output
    assert works(side_by_side.rehearsal, "north")


def explanations(run: Run) -> int:
    """How many tasks failed."""
    return len(re.findall(r"^fatal: ", run.output, re.MULTILINE))
