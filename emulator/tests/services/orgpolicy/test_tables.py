"""Policies of projects: stored as a whole, guarded by etags."""

from __future__ import annotations

from typing import Any

import pytest
import requests

from emulator.tests.running import PROJECT, RunningEmulator

POLICIES = f"https://orgpolicy.googleapis.com/v2/projects/{PROJECT}/policies"
CONSTRAINT = "run.allowedIngress"
NAME = f"projects/{PROJECT}/policies/{CONSTRAINT}"
INTERNAL = {"rules": [{"values": {"allowedValues": ["internal"]}}]}
OPEN = {"rules": [{"allowAll": True}]}


@pytest.fixture
def session(emulator: RunningEmulator) -> requests.Session:
    return emulator.session()


def ok(answer: requests.Response) -> dict[str, Any]:
    assert answer.status_code == 200, answer.text
    body: dict[str, Any] = answer.json()
    return body


def message(answer: requests.Response, status: int) -> str:
    assert answer.status_code == status, answer.text
    return str(answer.json()["error"]["message"])


def test_the_life_of_a_policy(session: requests.Session) -> None:
    assert message(session.get(f"{POLICIES}/{CONSTRAINT}"), 404) == "Requested entity was not found."
    made = ok(session.post(POLICIES, json={"name": NAME, "spec": INTERNAL}))
    assert made == {
        "name": NAME,
        "etag": made["etag"],
        "spec": {**INTERNAL, "etag": made["spec"]["etag"], "updateTime": made["spec"]["updateTime"]},
    }
    assert message(session.post(POLICIES, json={"name": NAME, "spec": OPEN}), 409) == (
        "Requested entity already exists."
    )
    assert ok(session.get(POLICIES)) == {"policies": [made]}
    assert ok(session.delete(f"{POLICIES}/{CONSTRAINT}")) == {}
    assert ok(session.get(POLICIES)) == {}


def test_a_mask_counts_from_the_request_or_from_the_policy(session: requests.Session) -> None:
    ok(session.post(POLICIES, json={"name": NAME, "spec": INTERNAL, "dryRunSpec": INTERNAL}))
    for mask in ("policy.dryRunSpec", "dry_run_spec", "policy.spec, policy.dry_run_spec"):
        changed = ok(
            session.patch(
                f"{POLICIES}/{CONSTRAINT}",
                params={"updateMask": mask},
                json={"spec": OPEN, "dryRunSpec": OPEN},
            )
        )
        assert changed["dryRunSpec"]["rules"] == OPEN["rules"], mask
        assert (changed["spec"]["rules"] == OPEN["rules"]) is ("policy.spec" in mask), mask


def test_without_a_mask_everything_is_replaced(session: requests.Session) -> None:
    ok(session.post(POLICIES, json={"name": NAME, "spec": INTERNAL, "dryRunSpec": INTERNAL}))
    assert "dryRunSpec" not in ok(session.patch(f"{POLICIES}/{CONSTRAINT}", json={"spec": OPEN}))


def test_an_old_etag_changes_nothing(session: requests.Session) -> None:
    made = ok(session.post(POLICIES, json={"name": NAME, "spec": {**INTERNAL, "etag": "b2xk"}}))
    changed = ok(session.patch(f"{POLICIES}/{CONSTRAINT}", json={"etag": made["etag"], "spec": OPEN}))
    for stale in (
        {"etag": made["etag"], "spec": INTERNAL},
        {"spec": {**INTERNAL, "etag": made["spec"]["etag"]}},
    ):
        refused = session.patch(f"{POLICIES}/{CONSTRAINT}", json=stale)
        assert "is not the current one" in message(refused, 409)
    assert session.delete(f"{POLICIES}/{CONSTRAINT}", params={"etag": made["etag"]}).status_code == 409
    assert ok(session.get(f"{POLICIES}/{CONSTRAINT}")) == changed


def test_a_policy_is_named_in_full(emulator: RunningEmulator, session: requests.Session) -> None:
    for name, reason in (
        (CONSTRAINT, "Invalid resource name"),
        (f"projects/other/policies/{CONSTRAINT}", "is not that of a resource in"),
        (f"projects/{PROJECT}/policies/ingress", "Invalid constraint name 'ingress'."),
    ):
        assert reason in message(session.post(POLICIES, json={"name": name, "spec": OPEN}), 400)
    number = ok(session.get(f"https://cloudresourcemanager.googleapis.com/v1/projects/{PROJECT}"))[
        "projectNumber"
    ]
    named = {"name": f"projects/{number}/policies/{CONSTRAINT}", "spec": OPEN}
    assert ok(session.post(POLICIES, json=named))["name"] == NAME


def test_a_spec_that_resets_holds_nothing_else(session: requests.Session) -> None:
    refused = session.post(POLICIES, json={"name": NAME, "spec": {"reset": True, **OPEN}})
    assert "neither rules nor inheritFromParent" in message(refused, 400)
    assert ok(session.post(POLICIES, json={"name": NAME, "spec": {"reset": True}}))["spec"]["reset"] is True


@pytest.mark.parametrize("parent", ["folders/34", "organizations/12"])
def test_others_than_projects_have_policies(session: requests.Session, parent: str) -> None:
    url = f"https://orgpolicy.googleapis.com/v2/{parent}/policies"
    made = ok(session.post(url, json={"name": f"{parent}/policies/{CONSTRAINT}", "spec": OPEN}))
    assert made["name"] == f"{parent}/policies/{CONSTRAINT}"
    assert ok(session.get(url)) == {"policies": [made]}


def test_the_life_of_a_custom_constraint(session: requests.Session) -> None:
    base = "https://orgpolicy.googleapis.com/v2/organizations/12/customConstraints"
    constraint = {
        "name": "organizations/12/customConstraints/custom.noUpgrade",
        "resourceTypes": ["container.googleapis.com/NodePool"],
        "methodTypes": [1, "UPDATE"],
        "condition": "resource.management.autoUpgrade == false",
        "actionType": 2,
    }
    url = f"{base}/custom.noUpgrade"
    assert message(session.get(url), 404) == "Requested entity was not found."
    made = ok(session.post(base, json=constraint))
    spelt = constraint | {"methodTypes": ["CREATE", "UPDATE"], "actionType": "DENY"}
    assert made == spelt | {"updateTime": made["updateTime"]}
    told = ok(session.get(f"{url}?$alt=json;enum-encoding=int"))
    assert (told["methodTypes"], told["actionType"]) == ([1, 2], 2)
    changed = ok(session.patch(url, json=spelt | {"displayName": "No upgrades"}))
    assert changed["displayName"] == "No upgrades"
    other = session.patch(url, json=spelt | {"resourceTypes": ["run.googleapis.com/Service"]})
    assert message(other, 400) == "The field 'resourceTypes' cannot be changed."
    ok(session.delete(url))
    assert ok(session.get(base)) == {}
