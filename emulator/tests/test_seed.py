"""Seeds: what is there before anybody calls."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
import requests
from gcp_emulator import seed
from gcp_emulator.services.compute.ports import Networks
from gcp_emulator.services.servicenetworking.ports import Connections

from emulator.tests.running import RunningEmulator

ACCOUNT = "my-site@my-project.iam.gserviceaccount.com"
SEED = f"""\
projects:
  - id: my-project
    apis: [cloudbuild.googleapis.com, iamcredentials.googleapis.com]
    restricted_builds: true
    service_accounts: [my-site]
    bindings:
      - {{role: roles/iam.serviceAccountTokenCreator, members: ["serviceAccount:{ACCOUNT}"]}}
    networks:
      - {{name: sites, region: us-central1, range: 10.8.0.0/24, private_services_access: 10.16.0.0/20}}
      - {{name: plain, region: us-central1, range: 10.8.0.0/24}}
    instances:
      - server: 127.0.0.1:5432
        body: {{name: main, region: us-central1, databaseVersion: POSTGRES_17, settings: {{tier: db-f1-micro, edition: ENTERPRISE}}}}
metadata: {{project: my-project, region: us-central1, service_account: {ACCOUNT}}}
"""


@pytest.fixture
def seeded(tmp_path: Path) -> Iterator[RunningEmulator]:
    running = RunningEmulator(tmp_path / "state")
    (tmp_path / "seed.yaml").write_text(SEED, "utf-8")
    running.call(seed.apply, running.context, tmp_path / "seed.yaml")
    yield running
    running.stop()


def test_whoever_asks_for_the_metadata_server_is_the_service_account(seeded: RunningEmulator) -> None:
    account = f"{seeded.proxy}/computeMetadata/v1/instance/service-accounts/default"
    flavor = {"Metadata-Flavor": "Google"}
    assert requests.get(f"{account}/email", headers=flavor, timeout=10).text == ACCOUNT
    token = requests.get(f"{account}/token", headers=flavor, timeout=10).json()["access_token"]
    session = seeded.session(None)
    url = f"https://iamcredentials.googleapis.com/v1/projects/-/serviceAccounts/{ACCOUNT}:signBlob"
    signed = session.post(url, json={"payload": "aGk="}, headers={"Authorization": f"Bearer {token}"})
    assert signed.status_code == 200, signed.text


def test_a_project_is_kept_from_building_in_most_regions(seeded: RunningEmulator) -> None:
    seeded.grant("projects/my-project", "roles/owner", "user:builder@example.com")
    session = seeded.session("user:builder@example.com")
    url = "https://cloudbuild.googleapis.com/v1/projects/my-project/locations/us-east1/builds"
    answer = session.post(
        url, json={"steps": [{"name": "gcr.io/cloud-builders/docker", "args": ["version"]}]}
    )
    assert "cannot run builds in this region" in answer.json()["error"]["message"]


def _networks(seeded: RunningEmulator) -> list[tuple[bool, str, list[str]]]:
    networks, connections = (seeded.context.ports.find(port) for port in (Networks, Connections))
    found = []
    for name in ("sites", "plain"):
        path = f"projects/my-project/global/networks/{name}"
        subnetwork = f"projects/my-project/regions/us-central1/subnetworks/{name}"
        network, inside = (seeded.call(networks.find, one) for one in (path, subnetwork))
        assert network is not None
        assert inside is not None
        assert inside["network"] == network["selfLink"]
        ranges = [str(one) for one in seeded.call(connections.ranges, path)]
        found.append((network["autoCreateSubnetworks"], inside["ipCidrRange"], ranges))
    return found


def test_networks_are_there_with_what_reaches_googles_services(seeded: RunningEmulator) -> None:
    assert _networks(seeded) == [(False, "10.8.0.0/24", ["10.16.0.0/20"]), (False, "10.8.0.0/24", [])]


def test_a_second_start_takes_nothing_away(seeded: RunningEmulator, tmp_path: Path) -> None:
    before = _networks(seeded)
    seeded.call(seed.apply, seeded.context, tmp_path / "seed.yaml")
    assert _networks(seeded) == before
    health = requests.get(f"{seeded.proxy}/_emulator/health", timeout=10).json()
    assert "my-project" in health["projects"]
    assert health["machines"] == "none"


def test_without_it_there_is_no_metadata_server(tmp_path: Path) -> None:
    running = RunningEmulator(tmp_path / "state")
    url = f"{running.proxy}/computeMetadata/v1/project/project-id"
    assert requests.get(url, headers={"Metadata-Flavor": "Google"}, timeout=10).status_code == 404
    running.stop()


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("more: 1", "must hold `billing_accounts`, `metadata`, `organizations`, `projects`, `users` only"),
        (SEED.replace("f1-micro", "none"), "127.0.0.1:5432"),
    ],
)
def test_a_seed_that_cannot_be_is_refused(tmp_path: Path, text: str, message: str) -> None:
    running = RunningEmulator(tmp_path / "state")
    (tmp_path / "seed.yaml").write_text(text, "utf-8")
    with pytest.raises(seed.SeedError, match=message):
        running.call(seed.apply, running.context, tmp_path / "seed.yaml")
    running.stop()


ORGANIZED = """
organizations:
  - id: "123456789012"
    domain: example.com
    bindings: [{role: roles/resourcemanager.organizationAdmin, members: ["user:chief@example.com"]}]
    folders:
      - {id: "345678901234", name: Sites, folders: [{id: "456789012345", name: Small ones}]}
billing_accounts: [{id: 012345-6789AB-CDEF01, bindings: [{role: roles/logging.admin, members: ["user:chief@example.com"]}]}]
projects: [{id: in-a-folder, parent: folders/456789012345, apis: [cloudresourcemanager.googleapis.com]}]
"""


def test_a_seed_declares_what_is_above_projects(tmp_path: Path) -> None:
    running = RunningEmulator(tmp_path / "state")
    (tmp_path / "seed.yaml").write_text(ORGANIZED, "utf-8")
    for _ in range(2):
        running.call(seed.apply, running.context, tmp_path / "seed.yaml")
    chief, other = running.session("user:chief@example.com"), running.session("user:other@example.com")
    base = "https://cloudresourcemanager.googleapis.com"
    ancestry = chief.post(f"{base}/v1/projects/in-a-folder:getAncestry", json={}).json()["ancestor"]
    assert [(one["resourceId"]["type"], one["resourceId"]["id"]) for one in ancestry] == [
        ("project", "in-a-folder"),
        ("folder", "456789012345"),
        ("folder", "345678901234"),
        ("organization", "123456789012"),
    ]
    assert chief.get(f"{base}/v3/organizations/123456789012").json()["displayName"] == "example.com"
    assert chief.get(f"{base}/v3/projects/in-a-folder").json()["parent"] == "folders/456789012345"
    assert other.get(f"{base}/v3/organizations/123456789012").status_code == 403
    assert other.get(f"{base}/v3/projects/in-a-folder").status_code == 403
    sinks = "https://logging.googleapis.com/v2/billingAccounts/{}/sinks"
    assert chief.get(sinks.format("012345-6789AB-CDEF01")).status_code == 200
    for undeclared in ("https://logging.googleapis.com/v2/organizations/9/sinks", sinks.format("9")):
        assert chief.get(undeclared).status_code == 403
    running.stop()


def test_a_limit_of_a_project_has_to_be_one_that_the_api_has(tmp_path: Path) -> None:
    running = RunningEmulator(tmp_path / "state")
    path = tmp_path / "seed.yaml"
    try:
        for host, told in (
            ("sqladmin.googleapis.com", "expected defaultPerMinutePerUser"),
            ("nobody.example.com", "expected none"),
        ):
            path.write_text(f"projects: [{{id: my-project, quotas: {{{host}: {{daily: 5}}}}}}]", "utf-8")
            with pytest.raises(seed.SeedError, match=f"{host} has no limit daily: {told}"):
                running.call(seed.apply, running.context, path)
    finally:
        running.stop()
