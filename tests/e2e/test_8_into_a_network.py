"""A site whose organisation forbids public addresses of databases after it was deployed with one: it moves by one variable, and serves meanwhile."""

from __future__ import annotations

import re
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest
import requests
import yaml

from tests.e2e import projects
from tests.e2e.rehearsal import OPERATOR, PROJECT, REGION, ROOT, Rehearsal, Run

SITE = "stock"
SQL = f"sqladmin.googleapis.com/v1/projects/{PROJECT}"
INSTANCE = f"{SQL}/instances/djangogcp"
JOBS = f"run.googleapis.com/v2/projects/{PROJECT}/locations/{REGION}/jobs"
ORGANIZATION = "organizations/123456789012"
NETWORK = ("-e", "djangogcp_network=sites")
WAY = {"networkInterfaces": [{"network": "sites", "subnetwork": "sites"}], "egress": "PRIVATE_RANGES_ONLY"}


@dataclass
class Visits:
    """A page that asks the database, again and again: when each visit began and ended, and what came."""

    seen: list[tuple[float, float, int | str]] = field(default_factory=list)

    @contextmanager
    def going_on(self, session: requests.Session, url: str) -> Iterator[None]:
        over = threading.Event()
        visitor = threading.Thread(target=self._visit, args=(session, url, over))
        visitor.start()
        try:
            yield
        finally:
            over.set()
            visitor.join()

    def _visit(self, session: requests.Session, url: str, over: threading.Event) -> None:
        while not over.is_set():
            began = time.time()
            try:
                outcome: int | str = session.get(url, timeout=60, allow_redirects=False).status_code
            except requests.RequestException as error:
                outcome = str(error)
            self.seen.append((began, time.time(), outcome))

    def failed(self) -> list[tuple[float, float, int | str]]:
        return [visit for visit in self.seen if visit[2] != 200]


@dataclass(frozen=True)
class Moved:
    """The site after the deploy that moved it, with what visitors saw during it, and what was there before."""

    rehearsal: Rehearsal
    run: Run
    visits: Visits
    connection_name: str
    session: requests.Session


@pytest.fixture(scope="module")
def inventory(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One small site, without a network."""
    folder = tmp_path_factory.mktemp("moving")
    site = projects.small_site(projects.plain_project(folder / "project"))
    return projects.inventory(folder / "hosts.yml", {SITE: site})


@pytest.fixture(scope="module")
def public(tmp_path_factory: pytest.TempPathFactory, inventory: Path) -> Iterator[Rehearsal]:
    """The site in an organisation that forbids nothing yet, with a network that somebody has prepared."""
    folder = tmp_path_factory.mktemp("public")
    seed = yaml.safe_load((ROOT / "rehearsal" / "strict.yaml").read_text("utf-8"))
    del seed["organizations"][0]["org_policies"]
    seed["organizations"][0]["bindings"] = [
        {"role": "roles/orgpolicy.policyAdmin", "members": [f"user:{OPERATOR}"]}
    ]
    (folder / "seed.yaml").write_text(yaml.safe_dump(seed), "utf-8")
    found = Rehearsal(folder / "home", REHEARSAL_SCALE="0.01", REHEARSAL_SEED=str(folder / "seed.yaml"))
    found.start()
    try:
        run = found.playbook("deploy.yml", inventory=inventory)
        assert run.status == 0, run.output
        yield found
    finally:
        found.make("rehearse-clean")


@pytest.fixture(scope="module")
def moved(public: Rehearsal, inventory: Path) -> Moved:
    """The site after the organisation forbade public addresses, and a deploy with the variable."""
    session = projects.logged_in(public, SITE)
    connection_name = public.api(INSTANCE)["connectionName"]
    policy = {
        "name": f"{ORGANIZATION}/policies/sql.restrictPublicIp",
        "spec": {"rules": [{"enforce": True}]},
    }
    public.api(f"orgpolicy.googleapis.com/v2/{ORGANIZATION}/policies", method="POST", body=policy)
    visits = Visits()
    with visits.going_on(session, public.url(SITE) + "/admin/"):
        run = public.playbook("deploy.yml", *NETWORK, inventory=inventory)
    assert run.status == 0, run.output
    return Moved(public, run, visits, connection_name, session)


def addresses(rehearsal: Rehearsal) -> list[str]:
    """Of which kinds the addresses of the instance are that it is reached at."""
    found = rehearsal.api(INSTANCE)["ipAddresses"]
    return [one["type"] for one in found if one["type"] != "OUTGOING"]


def updates(rehearsal: Rehearsal) -> list[tuple[float, float]]:
    """From when to when each change of the instance went on."""
    return [
        (moment(one["insertTime"]), moment(one["endTime"]))
        for one in rehearsal.api(f"{SQL}/operations?instance=djangogcp")["items"]
        if one["operationType"] == "UPDATE"
    ]


def moment(text: str) -> float:
    return datetime.fromisoformat(text).timestamp()


def test_the_instance_and_what_runs_are_in_the_network_and_the_public_address_stays(moved: Moved) -> None:
    assert addresses(moved.rehearsal) == ["PRIMARY", "PRIVATE"]
    assert moved.rehearsal.api(INSTANCE)["connectionName"] == moved.connection_name
    template = moved.rehearsal.service(SITE)["template"]
    assert template["vpcAccess"] == WAY
    assert template["volumes"][0]["cloudSqlInstance"]["instances"] == [moved.connection_name]
    jobs = moved.rehearsal.api(JOBS)["jobs"]
    assert jobs
    assert [job["template"]["template"]["vpcAccess"] for job in jobs] == [WAY] * len(jobs)
    told = re.sub(r"\s+", " ", moved.run.output)
    assert f"gcloud sql instances patch djangogcp --project={PROJECT} --no-assign-ip" in told


def test_pages_fail_at_most_while_the_instance_is_changed(moved: Moved) -> None:
    ((began, ended),) = updates(moved.rehearsal)
    assert any(visit[0] > ended for visit in moved.visits.seen), "the change ended before the deploy did"
    assert [visit for visit in moved.visits.failed() if visit[0] > ended or visit[1] < began] == []


def test_the_public_address_is_taken_away_and_pages_go_on(moved: Moved) -> None:
    """What `gcloud sql instances patch --no-assign-ip` sends."""
    body: dict[str, Any] = {"settings": {"ipConfiguration": {"ipv4Enabled": False}}}
    visits = Visits()
    with visits.going_on(moved.session, moved.rehearsal.url(SITE) + "/admin/"):
        operation = moved.rehearsal.api(INSTANCE, method="PATCH", body=body)
        deadline = time.monotonic() + 120
        while moved.rehearsal.api(f"{SQL}/operations/{operation['name']}")["status"] != "DONE":
            assert time.monotonic() < deadline
            time.sleep(0.1)
        # Another connection than those that the site has already.
        assert projects.logged_in(moved.rehearsal, SITE)
    assert addresses(moved.rehearsal) == ["PRIVATE"]
    assert visits.seen
    assert visits.failed() == []


@pytest.mark.parametrize("options", [(), ("--check",)])
def test_another_run_changes_nothing(moved: Moved, inventory: Path, options: tuple[str, ...]) -> None:
    assert addresses(moved.rehearsal) == ["PRIVATE"]
    again = moved.rehearsal.playbook("deploy.yml", *NETWORK, *options, inventory=inventory)
    assert again.status == 0, again.output
    assert again.counts(SITE)["changed"] == 0, again.changed_tasks()
    assert moved.rehearsal.unhandled() == []


def test_a_deploy_without_the_network_is_refused_and_makes_nothing_public(
    moved: Moved, inventory: Path
) -> None:
    serving = moved.rehearsal.service(SITE)
    run = moved.rehearsal.playbook("deploy.yml", inventory=inventory)
    assert run.status != 0
    told = re.sub(r"\s+", " ", run.output)
    assert f"Set djangogcp_network to projects/{PROJECT}/global/networks/sites, which it is in" in told
    assert addresses(moved.rehearsal) == ["PRIVATE"]
    assert moved.rehearsal.service(SITE) == serving
