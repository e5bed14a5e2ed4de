"""Cloud Run on the state page: traffic, revisions, and no value of a variable."""

from __future__ import annotations

from gcp_emulator.engine.describe import Badge, Code, Link, Panel, Quiet, Section, Share, View
from gcp_emulator.engine.errors import Json
from gcp_emulator.engine.store import Store
from gcp_emulator.services.run.describe import describe, short_digest

SERVICE = "projects/p/locations/us-central1/services/shop"
POOL = "projects/p/locations/us-central1/workerPools/worker"
CONTAINER = {
    "image": "us-central1-docker.pkg.dev/p/r/shop@sha256:" + "ab" * 32,
    "env": [
        {"name": "DEBUG", "value": "plain-value"},
        {"name": "SECRET_KEY", "valueSource": {"secretKeyRef": {"secret": "shop-key", "version": "3"}}},
    ],
    "resources": {"limits": {"cpu": "1", "memory": "512Mi"}},
}


def ready(state: str) -> Json:
    return {"type": "Ready", "state": f"CONDITION_{state}"}


def described(project: str = "p") -> Section:
    """A service with two revisions; the newer one has a tag and no traffic."""
    store = Store(None)
    names = ("run.services", "run.revisions", "run.jobs", "run.executions", "run.workerPools")
    services, revisions, jobs, executions, pools = (store.collection(name) for name in names)
    for number, state in (("1", "SUCCEEDED"), ("2", "FAILED")):
        status = {"createTime": f"2026-01-0{number}T00:00:00.000000Z", "conditions": [ready(state)]}
        revisions.put(
            f"{SERVICE}/revisions/shop-{number}", {"spec": {"containers": [CONTAINER]}, "status": status}
        )
    status = {
        "terminalCondition": ready("SUCCEEDED"),
        "latestReadyRevision": f"{SERVICE}/revisions/shop-1",
        "trafficStatuses": [{"percent": 100}, {"revision": "shop-2", "tag": "candidate"}],
    }
    services.put(SERVICE, {"spec": {"invokerIamDisabled": True}, "status": status})
    pools.put(
        POOL,
        {
            "spec": {"scaling": {"manualInstanceCount": 2}, "template": {"containers": [CONTAINER]}},
            "status": {
                "terminalCondition": ready("SUCCEEDED"),
                "latestReadyRevision": f"{POOL}/revisions/worker-1",
                "instanceSplitStatuses": [{"percent": 100}],
            },
        },
    )
    return describe(services, revisions, jobs, executions, pools, View(project, "123"), 8910)


def panel() -> Panel:
    (found,) = described().groups[0].content
    assert isinstance(found, Panel)
    return found


def test_a_service_shows_its_traffic_and_its_address_for_a_browser() -> None:
    (site,) = described().sites
    assert site.address == "http://shop-123.us-central1.run.app.localhost:8910/"
    assert site.badges == [Badge("ready", "good"), Badge("public")]
    assert site.note == "100 % to shop-1"
    traffic = panel().tables[0].rows
    address = "http://candidate---shop-123.us-central1.run.app.localhost:8910/"
    assert traffic == [["shop-1", Share(100), ""], ["shop-2", Share(0), Link("candidate", address)]]


def test_revisions_are_newest_first_with_their_share_of_the_traffic() -> None:
    newer, older = panel().tables[1].rows
    assert (newer[0][0], newer[1]) == ("shop-2", Badge("failed", "bad"))
    assert (older[0][:3], older[1]) == (
        ("shop-1", " ", Badge("100 % of the traffic", "good")),
        Badge("ready", "good"),
    )


def test_variables_show_names_and_secrets_and_no_values() -> None:
    details = panel().tables[1].rows[0][0][-1]
    assert details.summary == "2 environment variables"
    secret = (Code("SECRET_KEY"), Quiet(" from the secret shop-key version 3"))
    assert details.cells == [Code("DEBUG"), secret]
    assert "plain-value" not in repr(described())


def test_another_projects_services_are_not_shown() -> None:
    other = described("other")
    assert (other.groups[0].content, other.sites) == ([], [])


def test_an_image_is_named_by_the_beginning_of_its_digest() -> None:
    assert short_digest(CONTAINER["image"]) == "shop@sha256:abababababab"


def test_a_worker_pool_shows_its_instances_and_no_value_of_a_variable() -> None:
    (found,) = described().groups[1].content
    assert isinstance(found, Panel)
    assert (found.facts["Instances"], found.badges) == ("2", [Badge("ready", "good")])
    assert found.tables[0].rows == [["worker-1", Share(100)]]
    assert "plain-value" not in str(found)
