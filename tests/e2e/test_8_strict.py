"""Sites in an organisation that allows little: refused in one message, and deployed with the variables that the message names.

The model site, and a project that is as the handbook tells.
"""

from __future__ import annotations

import re
import time
from collections.abc import Iterator
from io import BytesIO
from ipaddress import IPv4Address, IPv4Network
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from tests.e2e import projects
from tests.e2e.rehearsal import BIN, OPERATOR, PROJECT, REGION, ROOT, Rehearsal, Run

CURES = (
    *("-e", "djangogcp_static=image"),
    *("-e", '{"djangogcp_secret_locations": ["us-central1"]}'),
    *("-e", "djangogcp_network=sites"),
)
NETWORK = f"projects/{PROJECT}/global/networks/sites"
RUN = f"run.googleapis.com/v2/projects/{PROJECT}/locations/{REGION}"
SITES = ("polls", "stock")
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
    assert (
        "sql.restrictPublicIp forbids the public address of the SQL instance djangogcp. Set djangogcp_network to a VPC network with private "
        "services access"
    ) in told
    assert refused.changed_tasks() == []
    looks = re.compile(r"\.(get|list|testIamPermissions|getIamPolicy|getEffectivePolicy)$")
    asked = [one["method"] for one in strict.requests() if one["caller"] == f"user:{OPERATOR}"]
    assert len(asked) > 5
    assert [method for method in asked if not looks.search(method)] == []


def test_a_network_that_is_not_prepared_is_refused_with_the_commands(
    strict: Rehearsal, refused: Run, inventory: Path
) -> None:
    run = strict.playbook("deploy.yml", *CURES, "-e", "djangogcp_network=plain", inventory=inventory)
    assert run.status != 0
    told = re.sub(r"\s+", " ", run.output.replace("\\n", " "))
    assert (
        "The subnetwork plain (djangogcp_subnetwork) has the range 10.9.0.0/28: expected /26 or larger"
        in told
    )
    assert (
        f"gcloud services vpc-peerings connect --project={PROJECT} --service=servicenetworking.googleapis.com "
        "--ranges=google-managed-services-plain --network=plain"
    ) in told
    assert run.changed_tasks() == []


def test_the_database_has_a_private_address_alone_and_what_runs_is_in_its_network(
    deployed: Rehearsal,
) -> None:
    instance = deployed.api(f"sqladmin.googleapis.com/v1/projects/{PROJECT}/instances/djangogcp")
    assert instance["settings"]["ipConfiguration"]["privateNetwork"] == NETWORK
    (address,) = instance["ipAddresses"]
    assert address["type"] == "PRIVATE"
    assert IPv4Address(address["ipAddress"]) in IPv4Network("10.16.0.0/20")
    way = {
        "networkInterfaces": [{"network": "sites", "subnetwork": "sites"}],
        "egress": "PRIVATE_RANGES_ONLY",
    }
    for site in SITES:
        assert deployed.api(f"{RUN}/services/{site}")["template"]["vpcAccess"] == way
    jobs = deployed.api(f"{RUN}/jobs")["jobs"]
    assert {job["name"].rpartition("/")[2].rpartition("-")[0] for job in jobs} == set(SITES)
    assert [job["template"]["template"]["vpcAccess"] for job in jobs] == [way] * len(jobs)


def test_nothing_reaches_the_database_from_outside_of_the_network(deployed: Rehearsal) -> None:
    """The same job with the same account, and no way into the network: what works elsewhere works because of it."""

    def until(key: str, resource: Any) -> Any:
        deadline = time.monotonic() + 300
        while not resource.get(key):
            assert time.monotonic() < deadline, resource
            time.sleep(0.2)
            resource = deployed.api(f"run.googleapis.com/v2/{resource['name']}")
        return resource

    job = deployed.api(f"{RUN}/jobs/polls-migrate")
    task = {key: value for key, value in job["template"]["template"].items() if key != "vpcAccess"}
    outside = {"template": {"template": task}}
    made = until("done", deployed.api(f"{RUN}/jobs?jobId=outside", method="POST", body=outside))
    assert "error" not in made
    started = deployed.api(f"{RUN}/jobs/outside:run", method="POST", body={})["metadata"]
    assert until("completionTime", started)["failedCount"] == 1
    query = {
        "resourceNames": [f"projects/{PROJECT}"],
        "filter": 'resource.labels.job_name="outside" AND textPayload:"Cloud SQL connection failed"',
    }
    told = deployed.api("logging.googleapis.com/v2/entries:list", method="POST", body=query)["entries"]
    assert told[0]["textPayload"].endswith("failed: timed out after 10s")
    until("done", deployed.api(f"{RUN}/jobs/outside", method="DELETE"))


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
    assert {bucket["name"] for bucket in buckets} == {
        f"{PROJECT}-{site}-{kind}" for site in SITES for kind in ("media", "source", "releases")
    }
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
    left = {bucket["name"] for bucket in deployed.api(BUCKETS)["items"]}
    assert left == {f"{PROJECT}-stock-{kind}" for kind in ("media", "source", "releases")}
    assert [one["name"] for one in deployed.api(SECRETS)["secrets"] if "/polls-" in one["name"]] == []
