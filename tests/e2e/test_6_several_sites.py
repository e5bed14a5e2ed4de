"""Several sites of one inventory deploy at the same time, share what is shared and keep apart what is their own."""

from __future__ import annotations

from typing import Any
from urllib.parse import quote

import psycopg2
import pytest

from tests.e2e import projects
from tests.e2e.conftest import SideBySide
from tests.e2e.rehearsal import OPERATOR, PROJECT, REGION, Rehearsal

SITES = ("east", "north", "south")
REPOSITORIES = f"artifactregistry.googleapis.com/v1/projects/{PROJECT}/locations/{REGION}/repositories"


@pytest.fixture
def deployed(side_by_side: SideBySide) -> Rehearsal:
    """The rehearsal with all of them deployed."""
    assert side_by_side.first_run.status == 0, side_by_side.first_run.output
    return side_by_side.rehearsal


def account(name: str) -> str:
    return f"{name}@{PROJECT}.iam.gserviceaccount.com"


@pytest.mark.parametrize("site", SITES)
def test_each_site_is_served_and_has_its_own_superuser(deployed: Rehearsal, site: str) -> None:
    page = projects.logged_in(deployed, site).get(deployed.url(site) + "/admin/", timeout=60)
    assert "Site administration" in page.text
    others = [deployed.secret(f"{other}-superuser-password") for other in SITES if other != site]
    assert deployed.secret(f"{site}-superuser-password") not in others


@pytest.mark.parametrize("site", SITES)
def test_everybody_is_let_in_as_the_site_says(deployed: Rehearsal, site: str) -> None:
    by_grant = site == "south"
    assert deployed.service(site).get("invokerIamDisabled", False) is not by_grant
    name = f"run.googleapis.com/v2/projects/{PROJECT}/locations/{REGION}/services/{site}"
    invokers = members(deployed.api(f"{name}:getIamPolicy"), "roles/run.invoker")
    assert invokers == ({"allUsers", f"serviceAccount:{account('south-web')}"} if by_grant else set())


def test_what_is_shared_was_made_once(deployed: Rehearsal) -> None:
    instances = deployed.api(f"sqladmin.googleapis.com/v1/projects/{PROJECT}/instances")["items"]
    assert [instance["name"] for instance in instances] == ["djangogcp"]


def test_each_site_has_a_repository_and_buckets_of_its_own(deployed: Rehearsal) -> None:
    repositories = deployed.api(REPOSITORIES)["repositories"]
    assert {repository["name"].rpartition("/")[2] for repository in repositories} == set(SITES)
    buckets = deployed.api(f"storage.googleapis.com/storage/v1/b?project={PROJECT}")["items"]
    assert {bucket["name"] for bucket in buckets} == {
        f"{PROJECT}-{site}-{kind}" for site in SITES for kind in ("media", "static", "source", "releases")
    }


def test_the_policies_that_are_shared_hold_every_sites_members(deployed: Rehearsal) -> None:
    """Each site writes its part of one policy while the others write theirs."""
    policy = deployed.api(
        f"cloudresourcemanager.googleapis.com/v3/projects/{PROJECT}:getIamPolicy", method="POST", body={}
    )
    assert members(policy, "roles/cloudsql.client") == accounts("web", "migrator")
    assert members(policy, "roles/logging.logWriter") == accounts("web", "migrator", "build")
    assert members(policy, "roles/run.admin") == {f"user:{OPERATOR}"}


def members(policy: Any, role: str) -> set[str]:
    """Who holds a role."""
    return {member for b in policy.get("bindings", []) if b["role"] == role for member in b["members"]}


def accounts(*kinds: str) -> set[str]:
    """The members of those kinds of all sites."""
    return {f"serviceAccount:{account(f'{site}-{kind}')}" for site in SITES for kind in kinds}


@pytest.mark.parametrize("kind", ["web", "migrator"])
def test_the_users_of_one_site_cannot_connect_to_the_database_of_another(
    deployed: Rehearsal, kind: str
) -> None:
    user = {"web": "north_web_1", "migrator": "north_migrator"}[kind]
    login = {"user": user, "password": deployed.secret(f"north-{kind}-db-password")}
    assert deployed.sql("SELECT current_database()", database="north", **login) == [("north",)]
    with pytest.raises(psycopg2.OperationalError, match='permission denied for database "south"'):
        deployed.sql("SELECT 1", database="south", **login)


def test_the_account_of_one_site_cannot_read_the_secrets_of_another(deployed: Rehearsal) -> None:
    session = acting_as(deployed, account("north-web"))
    versions = (
        f"https://secretmanager.googleapis.com/v1/projects/{PROJECT}/secrets/{{}}/versions/latest:access"
    )
    assert session.get(versions.format("north-web-database-url"), timeout=30).status_code == 200
    for secret in ("south-web-database-url", "south-secret-key", "north-migrator-database-url"):
        assert session.get(versions.format(secret), timeout=30).status_code == 403


def test_the_account_of_one_site_cannot_read_the_uploads_of_another(deployed: Rehearsal) -> None:
    session = acting_as(deployed, account("north-web"))
    objects = f"https://storage.googleapis.com/storage/v1/b/{PROJECT}-{{}}-media/o"
    assert session.get(objects.format("north"), timeout=30).status_code == 200
    assert session.get(objects.format("south"), timeout=30).status_code == 403


@pytest.mark.parametrize("other", ["east", "south"])
def test_the_builds_of_one_site_read_no_source_of_another_and_move_no_tag_of_its_images(
    deployed: Rehearsal, other: str
) -> None:
    session = acting_as(deployed, account("north-build"))
    bucket = f"https://storage.googleapis.com/storage/v1/b/{PROJECT}-{{}}-source/o"
    assert session.get(bucket.format("north"), timeout=30).status_code == 200
    assert session.get(bucket.format(other), timeout=30).status_code == 403
    (source,) = deployed.api(bucket.format(other).removeprefix("https://"))["items"]
    assert (
        session.get(f"{bucket.format(other)}/{quote(source['name'], safe='')}", timeout=30).status_code == 403
    )
    packages = f"https://{REPOSITORIES}/{{site}}/packages/{{site}}"
    for site, status in (("north", 200), (other, 403)):
        package = packages.format(site=site)
        (tag,) = deployed.api(f"{package.removeprefix('https://')}/tags")["tags"]
        assert session.get(f"{package}/versions", timeout=30).status_code == status
        moved = session.patch(
            f"https://artifactregistry.googleapis.com/v1/{tag['name']}?updateMask=version",
            json=tag,
            timeout=30,
        )
        assert moved.status_code == status, moved.text


def acting_as(rehearsal: Rehearsal, email: str) -> Any:
    """Requests of a service account, which the operator is allowed to impersonate for it."""
    name = f"iam.googleapis.com/v1/projects/{PROJECT}/serviceAccounts/{email}"
    policy = rehearsal.api(f"{name}:getIamPolicy", method="POST", body={})
    impersonator = {"role": "roles/iam.serviceAccountTokenCreator", "members": [f"user:{OPERATOR}"]}
    policy["bindings"] = [*policy.get("bindings", []), impersonator]
    rehearsal.api(f"{name}:setIamPolicy", method="POST", body={"policy": policy})
    token = rehearsal.once_in_force(
        f"iamcredentials.googleapis.com/v1/projects/-/serviceAccounts/{email}:generateAccessToken",
        method="POST",
        body={"scope": ["https://www.googleapis.com/auth/cloud-platform"]},
    )
    session = rehearsal.session()
    session.headers["Authorization"] = f"Bearer {token['accessToken']}"
    return session


def test_a_second_run_of_all_changes_nothing(side_by_side: SideBySide, deployed: Rehearsal) -> None:
    again = side_by_side.playbook("deploy.yml")
    assert again.status == 0, again.output
    assert again.changed_tasks() == []
    assert deployed.unhandled() == []
