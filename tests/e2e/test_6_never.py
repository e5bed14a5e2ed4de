"""What must never happen to what somebody else made, to what another site uses, and to private uploads."""

from __future__ import annotations

import base64
import copy
import json
import threading
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.e2e import projects
from tests.e2e.rehearsal import OPERATOR, PROJECT, REGION, Rehearsal, Run

INSTANCES = f"sqladmin.googleapis.com/v1/projects/{PROJECT}/instances"
STORAGE = "storage.googleapis.com/storage/v1/b"
JOBS = f"run.googleapis.com/v2/projects/{PROJECT}/locations/{REGION}/jobs"
SERVICES = f"run.googleapis.com/v2/projects/{PROJECT}/locations/{REGION}/services"
#: A database instance that a team has had for long: nothing of it is as the defaults are.
COMPANY = {
    "name": "company-db",
    "region": REGION,
    "databaseVersion": "POSTGRES_16",
    "settings": {
        "tier": "db-custom-4-15360",
        "edition": "ENTERPRISE",
        "availabilityType": "REGIONAL",
        "databaseFlags": [{"name": "max_connections", "value": "300"}],
        "backupConfiguration": {"enabled": True, "backupRetentionSettings": {"retainedBackups": 30}},
        "ipConfiguration": {"authorizedNetworks": [{"name": "office", "value": "198.51.100.0/24"}]},
        "userLabels": {"team": "data"},
    },
}


class Colleague(Rehearsal):
    """Plays with other credentials than the operator's."""

    def __init__(self, home: Path, credentials: Path) -> None:
        super().__init__(home)
        self._credentials = credentials

    def playbook(self, playbook: str, *options: str, inventory: str | Path = "inventories/local") -> Run:
        command = ["ansible-playbook", playbook, "-i", str(inventory), *options]
        login = f". {self.home}/env && export GOOGLE_APPLICATION_CREDENTIALS={self._credentials}"
        return self._run(["bash", "-c", f'{login} && exec "$@"', "bash", *command], 900)


class Team:
    """A rehearsal, and inventories of one site each, as different people would have them."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.rehearsal = Rehearsal(folder / "home", REHEARSAL_SCALE="0.01")
        self._site = projects.small_site(projects.plain_project(folder / "project"))

    def play(self, playbook: str, site: str, *options: str, **variables: Any) -> Run:
        """A playbook on one site, from an inventory of its own."""
        path = self.folder / f"{site}.yml"
        return self.rehearsal.playbook(
            playbook, *options, inventory=projects.inventory(path, {site: {**self._site, **variables}})
        )

    def colleague(self, email: str) -> Team:
        """The same, as the service account with this address, which the operator impersonates."""
        source = json.loads((self.rehearsal.state / "credentials" / f"{OPERATOR}.json").read_text("utf-8"))
        credentials = self.folder / f"{email}.json"
        impersonate = f"https://iamcredentials.googleapis.com/v1/projects/-/serviceAccounts/{email}"
        content = {
            "type": "impersonated_service_account",
            "service_account_impersonation_url": f"{impersonate}:generateAccessToken",
            "source_credentials": source,
            "delegates": [],
        }
        credentials.write_text(json.dumps(content), "utf-8")
        found = copy.copy(self)
        found.folder = self.folder / email
        found.folder.mkdir()
        found.rehearsal = Colleague(self.rehearsal.home, credentials)
        return found

    def deployed(self, site: str, **variables: Any) -> Run:
        """A deploy that must succeed."""
        run = self.play("deploy.yml", site, **variables)
        assert run.status == 0, run.output
        return run

    def refused(self, site: str, **variables: Any) -> str:
        """The output of a deploy that must be refused before anything changes."""
        run = self.play("deploy.yml", site, **variables)
        assert run.status != 0, run.output
        assert "Nothing was changed." in run.output
        assert run.counts(site)["changed"] == 0, run.output
        return run.output

    def destroyed(self, site: str, *options: str, data: bool = True, **variables: Any) -> Run:
        """A destruction that must succeed."""
        confirmed = ("-e", f"destroy_confirm={site}", "-e", f"destroy_data={str(data).lower()}")
        run = self.play("playbooks/destroy.yml", site, *confirmed, *options, **variables)
        assert run.status == 0, run.output
        return run


@pytest.fixture(scope="module")
def team(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Team]:
    found = Team(tmp_path_factory.mktemp("never"))
    found.rehearsal.start()
    found.deployed("first")
    yield found
    found.rehearsal.make("rehearse-clean")


def test_an_instance_of_somebody_else_is_refused_then_adopted_and_never_deleted(team: Team) -> None:
    cloud, url = team.rehearsal, f"{INSTANCES}/company-db"
    cloud.api(INSTANCES, method="POST", body=COMPANY)
    while cloud.api(url)["state"] != "RUNNABLE":
        time.sleep(0.2)
    before = cloud.api(url)

    said = team.refused("guest", djangogcp_database_instance="company-db")
    assert "SQL instance company-db (djangogcp_database_instance): somebody else made it" in said
    assert "tier is 'db-custom-4-15360', asked 'db-custom-1-3840'" in said
    assert "backup_configuration.retained_backups is 30, asked 7" in said
    assert cloud.api(url) == before

    adopted = {"djangogcp_database_instance": "company-db", "djangogcp_adopt": ["SQL instance company-db"]}
    team.refused("guest", djangogcp_media_bucket=f"{PROJECT}-first-media", **adopted)
    assert cloud.api(url) == before

    shown = team.deployed("guest", **adopted).output
    assert '+    "data_api_access": "ALLOW_DATA_API"' in shown, "the difference is shown without --diff"
    assert cloud.get("guest", "/admin/login/").status_code == 200
    needed = [*COMPANY["settings"]["databaseFlags"], {"name": "cloudsql.iam_authentication", "value": "on"}]
    after = cloud.api(url)["settings"]
    assert sorted(after.pop("databaseFlags"), key=str) == sorted(needed, key=str)
    assert after.pop("dataApiAccess") == "ALLOW_DATA_API"
    assert {**after, "settingsVersion": ""} == {
        **{name: value for name, value in before["settings"].items() if name in after},
        "settingsVersion": "",
    }
    assert team.deployed("guest", **adopted).changed_tasks() == []

    team.destroyed("guest", **adopted)
    assert cloud.api(url)["settings"]["tier"] == "db-custom-4-15360"


def test_a_service_of_somebody_else_stays_private_and_as_it_is(team: Team) -> None:
    image = team.rehearsal.service("first")["template"]["containers"][0]["image"]
    body = {"template": {"containers": [{"image": image, "env": [{"name": "THEIRS", "value": "1"}]}]}}
    team.rehearsal.api(f"{SERVICES}?serviceId=intern", method="POST", body=body)
    while team.rehearsal.service("intern").get("reconciling"):
        time.sleep(0.2)
    before = team.rehearsal.service("intern")
    assert "service intern (djangogcp_site): somebody else made it" in team.refused("intern")
    assert team.rehearsal.service("intern") == before


def test_a_site_that_is_not_public_gets_traffic_only_after_its_try_out(team: Team) -> None:
    closed = {
        "djangogcp_public": False,
        "djangogcp_admin_path": "/absent/",
        "release_smoke_timeout_seconds": 1,
    }
    for variables in (closed, {**closed, "djangogcp_public": True}):
        run = team.play("deploy.yml", "closed", **variables)
        assert run.status != 0
        assert "/absent/ answered 404 (expected 200)" in run.output
        assert "Nothing of closed was released yet" in run.output
    team.deployed("closed", djangogcp_public=False)
    assert team.rehearsal.get("closed", "/admin/login/").status_code == 403
    assert team.deployed("closed", djangogcp_public=False).changed_tasks() == []
    team.deployed("closed")
    assert team.rehearsal.get("closed", "/admin/login/").status_code == 200


def test_the_status_tells_whose_everything_is(team: Team) -> None:
    variables = {"djangogcp_database_name": "first", "djangogcp_static_bucket": f"{PROJECT}-status"}
    body = {"name": f"{PROJECT}-status"}
    team.rehearsal.api(f"{STORAGE}?project={PROJECT}", method="POST", body=body)
    run = team.play("playbooks/status.yml", "second", **variables)
    assert run.status == 0, run.output
    assert run.counts("second")["changed"] == 0
    shown = json.loads(
        run.output.rpartition("Show what is deployed]")[2].partition("=> ")[2].partition("\n}")[0] + "}"
    )["msg"]
    assert shown["url"] == "not deployed"
    assert shown["made_by"]["somebody else"] == [f"bucket {PROJECT}-status"]
    firsts = [
        "SQL instance djangogcp",
        "SQL database first",
        "SQL user first_web",
        "SQL user first_web_1",
        "SQL user first_migrator",
    ]
    assert shown["made_by"][f"the site first in {REGION}"] == firsts
    refused = {one["resource"]: one["reason"] for one in shown["refused"]}
    assert set(refused) == {f"bucket {PROJECT}-status", *firsts[1:]}
    assert "location is 'US', asked" in refused[f"bucket {PROJECT}-status"]
    own = team.play("playbooks/status.yml", "first").output
    assert "not_as_declared" in own
    assert '"refused"' not in own


def test_a_command_runs_in_the_sites_own_job_only(team: Team) -> None:
    command = ("-e", "manage_command=check")
    nothing = team.play("playbooks/manage.yml", "nowhere", *command)
    assert nothing.status != 0
    assert f"Nothing is deployed under the name nowhere in {PROJECT}/{REGION}; deploy first" in nothing.output

    image = team.rehearsal.service("first")["template"]["containers"][0]["image"]
    body = {"template": {"template": {"containers": [{"image": image, "args": ["flush"]}]}}}
    team.rehearsal.api(f"{JOBS}?jobId=nowhere-manage", method="POST", body=body)
    while team.rehearsal.api(f"{JOBS}/nowhere-manage").get("reconciling"):
        time.sleep(0.2)
    foreign = team.play("playbooks/manage.yml", "nowhere", *command)
    assert foreign.status != 0
    assert "The job nowhere-manage is not run: somebody else made it" in foreign.output
    assert "executions" not in team.rehearsal.api(f"{JOBS}/nowhere-manage/executions")
    assert team.play("playbooks/manage.yml", "first", *command).status == 0


def test_two_inventories_cannot_take_one_database(team: Team) -> None:
    said = team.refused("second", djangogcp_database_name="first")
    assert f"SQL database first (djangogcp_database_name): it belongs to the site first in {REGION}." in said
    assert team.rehearsal.get("first", "/admin/login/").status_code == 200

    team.destroyed("second", djangogcp_database_name="first")
    projects.logged_in(team.rehearsal, "first")


def test_a_second_operator_with_an_inventory_of_their_own_changes_nothing(team: Team) -> None:
    assert team.deployed("first", djangogcp_superuser_email=projects.EMAIL).changed_tasks() == []


def test_a_colleague_goes_on_and_takes_nothing_away(team: Team) -> None:
    """Another identity with the same roles deploys, looks and destroys."""
    colleague = team.colleague(_operator_account(team))
    team.deployed("handed")
    before = _users(team)
    looked = colleague.play("playbooks/status.yml", "handed")
    assert looked.status == 0, looked.output
    assert '"refused"' not in looked.output
    assert _users(team) == before

    deployed = colleague.deployed("handed")
    assert deployed.changed_tasks() == ["org.djangogcp.database : users | Ensure the users of the site"]
    after = _users(team)
    own = set(after) - set(before)
    assert own == {f"colleague@{PROJECT}.iam"}
    assert set(after[own.pop()]) == {"cloudsqlsuperuser", "handed_migrator"}
    assert {name: after[name] for name in before} == before
    assert colleague.deployed("handed").changed_tasks() == []
    assert team.deployed("handed").changed_tasks() == []
    command = colleague.play("playbooks/manage.yml", "handed", "-e", "manage_command=check")
    assert command.status == 0, command.output

    colleague.destroyed("handed")
    assert not [name for name in _users(team) if name.startswith("handed")]
    assert _secrets(team, "handed") == []
    assert set(_users(team)[OPERATOR]) == set(before[OPERATOR]) - {"handed_migrator"}
    assert team.destroyed("handed").changed_tasks() == []
    assert team.deployed("first").changed_tasks() == []


def _operator_account(team: Team) -> str:
    """The address of a service account that has the operator's roles, and that the operator may impersonate."""
    project = f"cloudresourcemanager.googleapis.com/v3/projects/{PROJECT}"
    accounts = f"iam.googleapis.com/v1/projects/{PROJECT}/serviceAccounts"
    team.rehearsal.api(accounts, method="POST", body={"accountId": "colleague"})
    email = f"colleague@{PROJECT}.iam.gserviceaccount.com"
    policy = team.rehearsal.api(f"{project}:getIamPolicy", method="POST", body={})
    for binding in policy["bindings"]:
        if f"user:{OPERATOR}" in binding["members"]:
            binding["members"].append(f"serviceAccount:{email}")
    team.rehearsal.once_in_force(f"{project}:setIamPolicy", method="POST", body={"policy": policy})
    creator = {"role": "roles/iam.serviceAccountTokenCreator", "members": [f"user:{OPERATOR}"]}
    team.rehearsal.once_in_force(
        f"{accounts}/{email}:setIamPolicy", method="POST", body={"policy": {"bindings": [creator]}}
    )
    team.rehearsal.once_in_force(
        f"iamcredentials.googleapis.com/v1/projects/-/serviceAccounts/{email}:generateAccessToken",
        method="POST",
        body={"scope": ["https://www.googleapis.com/auth/cloud-platform"]},
    )
    return email


def test_a_renamed_site_keeps_its_data_also_when_the_old_name_is_destroyed(team: Team) -> None:
    buckets = {f"djangogcp_{kind}_bucket": f"{PROJECT}-before-{kind}" for kind in ("media", "static")}
    team.deployed("before")
    # What serves logs in with the second password.
    secret = f"secretmanager.googleapis.com/v1/projects/{PROJECT}/secrets/before-web-db-password:addVersion"
    data = base64.b64encode(b"the second of them").decode()
    team.rehearsal.api(secret, method="POST", body={"payload": {"data": data}})
    team.deployed("before")
    renamed = {"djangogcp_former_site": "before", "djangogcp_database_name": "before", **buckets}
    team.deployed("after", **renamed)
    assert team.deployed("after", **renamed).changed_tasks() == []
    for site in ("before", "after"):
        projects.logged_in(team.rehearsal, site)
    assert "it belongs to the site after" in team.refused("before")
    team.destroyed("before")
    assert team.deployed("after", **renamed).changed_tasks() == []
    assert team.rehearsal.get("after", "/admin/login/").status_code == 200


@pytest.mark.parametrize("data", [False, True])
def test_the_site_of_the_same_name_in_another_region_is_left_alone(team: Team, data: bool) -> None:
    policies = [
        f"{STORAGE}/{PROJECT}-first-media/iam",
        f"{STORAGE}/{PROJECT}-first-source/iam",
        f"secretmanager.googleapis.com/v1/projects/{PROJECT}/secrets/first-secret-key:getIamPolicy",
    ]
    before = [team.rehearsal.api(policy) for policy in policies]
    gone = team.destroyed("first", data=data, djangogcp_region="us-east1")
    assert gone.changed_tasks() == []
    assert [team.rehearsal.api(policy) for policy in policies] == before
    assert team.deployed("first").changed_tasks() == []


def test_a_site_in_another_region_has_everything_there(team: Team) -> None:
    overseas = {"djangogcp_region": "us-east1", "djangogcp_database_instance": "overseas"}
    team.deployed("overseas", **overseas)
    assert team.deployed("overseas", **overseas).changed_tasks() == []
    assert team.rehearsal.api(f"{STORAGE}/{PROJECT}-overseas-source")["location"] == "US-EAST1"
    said = team.refused("lost", djangogcp_region="us-east1")
    assert "SQL instance djangogcp (djangogcp_database_instance)" in said


def test_an_adopted_database_stays_open_to_whom_it_was(team: Team) -> None:
    url = f"{INSTANCES}/djangogcp/databases"
    team.rehearsal.api(url, method="POST", body={"name": "theirs"})
    while "theirs" not in [one["name"] for one in team.rehearsal.api(url)["items"]]:
        time.sleep(0.2)
    adopted = {"djangogcp_database_name": "theirs", "djangogcp_adopt": ["SQL database theirs"]}
    team.deployed("lodger", **adopted)
    projects.logged_in(team.rehearsal, "lodger")
    rights = (
        "SELECT 1 FROM pg_namespace WHERE nspname = 'public' AND pg_get_userbyid(nspowner) = 'pg_database_owner'"
        " AND has_database_privilege('public', 'theirs', 'CONNECT')"
    )
    answer = team.rehearsal.api(
        f"{INSTANCES}/djangogcp/executeSql",
        method="POST",
        body={"database": "theirs", "sqlStatement": rights, "autoIamAuthn": True},
    )
    assert answer["results"][0].get("rows"), answer
    assert team.deployed("lodger", **adopted).changed_tasks() == []


def test_what_is_left_of_an_adopted_database_stays_the_sites_own(team: Team) -> None:
    """Tables keep their owner; everything else that the site got is taken back."""
    adopted = {"djangogcp_database_name": "theirs", "djangogcp_adopt": ["SQL database theirs"]}
    assert "theirs_migrator" in _users(team)[OPERATOR]
    options = ("-e", "destroy_confirm=lodger", "-e", "destroy_data=true", "--tags", "secrets")
    early = team.play("playbooks/destroy.yml", "lodger", *options, **adopted)
    assert early.status != 0
    assert "The secrets of lodger go with its database" in early.output
    assert "SQL user theirs_web, SQL user theirs_web_1, SQL user theirs_migrator" in early.output
    assert early.counts("lodger")["changed"] == 0

    gone = team.destroyed("lodger", **adopted)
    assert "SQL user theirs_migrator stays, and stays this site's own" in gone.output
    left = _users(team)
    assert [name for name in left if name.startswith("theirs")] == ["theirs_migrator"]
    assert set(left[OPERATOR]) >= {"cloudsqlsuperuser", "first_migrator"}
    assert "theirs_migrator" not in left[OPERATOR]
    assert _secrets(team, "lodger") == ["lodger-migrator-db-password", "lodger-superuser-password"]
    assert team.destroyed("lodger", **adopted).changed_tasks() == []
    assert (
        "SQL user theirs_migrator (djangogcp_database_name): it belongs to the site lodger"
        in team.refused("intruder", **adopted)
    )

    team.deployed("lodger", **adopted)
    projects.logged_in(team.rehearsal, "lodger")
    assert team.deployed("lodger", **adopted).changed_tasks() == []


def test_nothing_is_left_in_an_adopted_database_that_was_not_used(team: Team) -> None:
    url = f"{INSTANCES}/djangogcp/databases"
    team.rehearsal.api(url, method="POST", body={"name": "unused"})
    while "unused" not in [one["name"] for one in team.rehearsal.api(url)["items"]]:
        time.sleep(0.2)
    adopted = {"djangogcp_database_name": "unused", "djangogcp_adopt": ["SQL database unused"]}
    made = team.play("playbooks/provision.yml", "brief", **adopted)
    assert made.status == 0, made.output
    assert len([name for name in _users(team) if name.startswith("unused")]) == 3
    team.destroyed("brief", **adopted)
    assert [name for name in _users(team) if name.startswith("unused")] == []
    assert _secrets(team, "brief") == []
    assert "unused" in [one["name"] for one in team.rehearsal.api(url)["items"]]


def _users(team: Team) -> dict[str, list[str]]:
    """The users of the instance with the roles that they are members of."""
    listed = team.rehearsal.api(f"{INSTANCES}/djangogcp/users")["items"]
    return {one["name"]: one.get("databaseRoles", []) for one in listed}


def _secrets(team: Team, site: str) -> list[str]:
    """The secrets of a site."""
    listed = team.rehearsal.api(f"secretmanager.googleapis.com/v1/projects/{PROJECT}/secrets")["secrets"]
    names = [one["name"].rpartition("/")[2] for one in listed]
    return [name for name in names if name.startswith(f"{site}-")]


def test_an_instance_that_other_sites_use_is_not_deleted(team: Team) -> None:
    team.deployed("other")
    options = ("-e", "destroy_confirm=first", "-e", "destroy_data=true", "-e", "destroy_instance=true")
    run = team.play("playbooks/destroy.yml", "first", *options, djangogcp_database_deletion_protection=False)
    assert run.status != 0
    assert "other" in run.output.partition("it holds the databases ")[2].partition(" of others")[0]
    assert run.changed_tasks() == []
    assert team.rehearsal.get("other", "/admin/login/").status_code == 200


def test_private_uploads_are_never_public(team: Team) -> None:
    """An anonymous reader asks for an upload ten times a second, whatever the variables say of the buckets."""
    uploads, pages = f"{PROJECT}-first-media", f"{PROJECT}-first-static"
    upload = f"storage.googleapis.com/upload/storage/v1/b/{uploads}/o?uploadType=media&name=private.json"
    team.rehearsal.api(upload, method="POST", body={"private": True})
    with Reader(team.rehearsal, f"https://storage.googleapis.com/{uploads}/private.json") as reader:
        adopt = {"djangogcp_adopt": [f"bucket {uploads}", f"bucket {pages}"]}
        team.refused("first", djangogcp_media_bucket=uploads, djangogcp_static_bucket=uploads)
        team.refused("first", djangogcp_media_bucket=pages, djangogcp_static_bucket=uploads)
        team.refused("first", djangogcp_media_bucket=pages, djangogcp_static_bucket=uploads, **adopt)
        team.refused(
            "first", djangogcp_media_bucket=f"{PROJECT}-new", djangogcp_static_bucket=uploads, **adopt
        )
        team.refused("first", djangogcp_source_bucket=uploads, **adopt)
        team.deployed("first", djangogcp_static_bucket=f"{PROJECT}-pages")
        team.refused("thief", djangogcp_static_bucket=uploads, **adopt)
        elsewhere = {"djangogcp_media_bucket": f"{PROJECT}-new", "djangogcp_static_bucket": uploads}
        for label in ("static", None):
            team.rehearsal.api(f"{STORAGE}/{uploads}", method="PATCH", body={"labels": {"purpose": label}})
            for variables in ({}, elsewhere, {**elsewhere, **adopt}):
                said = team.refused("first", **variables)
                assert f"gcloud storage buckets update gs://{uploads} --update-labels=purpose=media" in said
        team.rehearsal.api(f"{STORAGE}/{uploads}", method="PATCH", body={"labels": {"purpose": "media"}})
        team.deployed("first")
    assert set(reader.statuses) == {403}
    assert reader.statuses[403] > 50
    asked = f"{STORAGE}/{uploads}/iam"
    members = {one for binding in team.rehearsal.api(asked)["bindings"] for one in binding["members"]}
    assert not members & {"allUsers", "allAuthenticatedUsers"}


def test_a_bucket_that_may_become_public_is_not_adopted_for_uploads(team: Team) -> None:
    theirs = f"{PROJECT}-theirs"
    body = {"name": theirs, "labels": {"team": "data"}}
    team.rehearsal.api(f"{STORAGE}?project={PROJECT}", method="POST", body=body)
    before = team.rehearsal.api(f"{STORAGE}/{theirs}")
    adopted = {"djangogcp_media_bucket": theirs, "djangogcp_adopt": [f"bucket {theirs}"]}
    run = team.play("deploy.yml", "open", **adopted)
    assert run.status != 0
    assert "it is adopted, and public_access_prevention is 'inherited', asked 'enforced'" in run.output
    assert run.changed_tasks() == []
    assert team.rehearsal.api(f"{STORAGE}/{theirs}") == before


class Reader:
    """Asks for an address ten times a second without credentials, and counts the statuses."""

    def __init__(self, rehearsal: Rehearsal, url: str) -> None:
        self.statuses: Counter[int] = Counter()
        self._session, self._url = rehearsal.session(), url
        self._end = threading.Event()
        self._thread = threading.Thread(target=self._read)

    def _read(self) -> None:
        while not self._end.wait(0.1):
            self.statuses[self._session.get(self._url, timeout=60).status_code] += 1

    def __enter__(self) -> Reader:
        self._thread.start()
        return self

    def __exit__(self, *_error: object) -> None:
        self._end.set()
        self._thread.join()
