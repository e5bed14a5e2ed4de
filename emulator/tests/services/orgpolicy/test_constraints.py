"""Organisation policies that keep something away: what the services answer, and what is in effect."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import requests
from gcp_emulator import seed
from gcp_emulator.engine.errors import ApiError
from gcp_emulator.services.cloudresourcemanager.ports import Hierarchy
from gcp_emulator.services.orgpolicy.constraints import OrganizationConstraints
from gcp_emulator.services.orgpolicy.ports import Constraints

from emulator.tests.running import OWNER, PROJECT, RunningEmulator

POLICIES = f"https://orgpolicy.googleapis.com/v2/projects/{PROJECT}/policies"
BUCKETS = f"https://storage.googleapis.com/storage/v1/b?project={PROJECT}"
IAM = "https://iam.googleapis.com/v1/projects/{}/serviceAccounts"
CUSTOMER = ["C0abc1234"]
UNIFORM = {"uniformBucketLevelAccess": {"enabled": True}}
Inherit = Callable[..., None]


@pytest.fixture
def session(emulator: RunningEmulator) -> requests.Session:
    return emulator.session()


@pytest.fixture
def inherit(emulator: RunningEmulator, tmp_path: Path) -> Inherit:
    """Says in a seed what the project's organisation wants."""
    emulator.call(emulator.context.ports.find(Hierarchy).put_under, PROJECT, "organizations/123456789012")

    def inherit(**policies: Any) -> None:
        named = {name.replace("__", "."): policy for name, policy in policies.items()}
        content = {"organizations": [{"id": "123456789012", "domain": "example.com", "org_policies": named}]}
        (tmp_path / "seed.yaml").write_text(repr(content), "utf-8")
        emulator.call(seed.apply, emulator.context, tmp_path / "seed.yaml")

    return inherit


def ok(answer: requests.Response) -> Any:
    assert answer.status_code == 200, answer.text
    return answer.json()


def refusal(answer: requests.Response, status: int) -> str:
    assert answer.status_code == status, answer.text
    return str(answer.json()["error"]["message"])


def violation(answer: requests.Response) -> dict[str, str]:
    assert answer.json()["error"]["status"] == "FAILED_PRECONDITION"
    (detail,) = answer.json()["error"]["details"]
    assert detail["@type"] == "type.googleapis.com/google.rpc.PreconditionFailure"
    (found,) = detail["violations"]
    return dict(found)


def effective(session: requests.Session, constraint: str) -> Any:
    return ok(session.get(f"{POLICIES}/{constraint}:getEffectivePolicy"))["spec"]["rules"]


def bucket(name: str, **fields: Any) -> dict[str, Any]:
    return {"name": name, "location": "us-central1", "iamConfiguration": UNIFORM, **fields}


# ---------------------------------------------------------------- what is in effect


def test_without_a_policy_googles_default_is_in_effect(session: requests.Session) -> None:
    assert effective(session, "gcp.resourceLocations") == [{"allowAll": True}]
    assert effective(session, "storage.publicAccessPrevention") == [{"enforce": False}]
    assert "not found" in refusal(session.get(f"{POLICIES}/no.suchConstraint:getEffectivePolicy"), 404)


def test_what_is_inherited_is_in_effect_and_not_a_policy_of_the_project(
    session: requests.Session, inherit: Inherit
) -> None:
    inherit(storage__publicAccessPrevention=True, gcp__resourceLocations=["us-central1"])
    assert effective(session, "storage.publicAccessPrevention") == [{"enforce": True}]
    assert effective(session, "gcp.resourceLocations") == [{"values": {"allowedValues": ["us-central1"]}}]
    assert ok(session.get(POLICIES)) == {}


def test_the_policy_in_effect_tells_what_is_in_a_group(session: requests.Session, inherit: Inherit) -> None:
    inherit(gcp__resourceLocations=["in:us-east1-locations", "europe-west1"])
    (rule,) = effective(session, "gcp.resourceLocations")
    assert rule["values"]["allowedValues"] == [
        "europe-west1",
        "us-east1",
        "us-east1-a",
        "us-east1-b",
        "us-east1-c",
    ]


def test_the_projects_own_policy_replaces_adds_or_resets(session: requests.Session, inherit: Inherit) -> None:
    inherit(gcp__resourceLocations=["us-central1"], storage__publicAccessPrevention=True)
    name = f"projects/{PROJECT}/policies/"
    own = {"rules": [{"values": {"allowedValues": ["us-east1"]}}]}
    ok(session.post(POLICIES, json={"name": f"{name}gcp.resourceLocations", "spec": own}))
    assert effective(session, "gcp.resourceLocations") == own["rules"]
    added = {"spec": {**own, "inheritFromParent": True}}
    ok(session.patch(f"{POLICIES}/gcp.resourceLocations", json=added))
    assert effective(session, "gcp.resourceLocations") == [
        *own["rules"],
        {"values": {"allowedValues": ["us-central1"]}},
    ]
    ok(session.patch(f"{POLICIES}/gcp.resourceLocations", json={"spec": {"reset": True}}))
    assert effective(session, "gcp.resourceLocations") == [{"allowAll": True}]
    off = {"name": f"{name}storage.publicAccessPrevention", "spec": {"rules": [{"enforce": False}]}}
    ok(session.post(POLICIES, json=off))
    assert effective(session, "storage.publicAccessPrevention") == [{"enforce": False}]


def test_a_dry_run_and_a_rule_with_a_condition_are_not_in_effect(session: requests.Session) -> None:
    enforced = {"rules": [{"enforce": True}]}
    condition = {"condition": {"expression": "resource.matchTag('1/env', 'prod')"}}
    policy = {
        "name": f"projects/{PROJECT}/policies/storage.uniformBucketLevelAccess",
        "spec": {"rules": [{**enforced["rules"][0], **condition}]},
        "dryRunSpec": enforced,
    }
    ok(session.post(POLICIES, json=policy))
    assert effective(session, "storage.uniformBucketLevelAccess") == [{"enforce": False}]


def test_the_effective_policy_takes_the_permission_to_look(emulator: RunningEmulator) -> None:
    url = f"{POLICIES}/gcp.resourceLocations:getEffectivePolicy"
    somebody = "user:somebody@example.com"
    emulator.grant(f"projects/{PROJECT}", "roles/run.admin", somebody)
    assert "orgpolicy.policy.get" in refusal(emulator.session(somebody).get(url), 403)
    emulator.grant(f"projects/{PROJECT}", "roles/orgpolicy.policyViewer", somebody)
    assert ok(emulator.session(somebody).get(url))


@pytest.mark.parametrize(
    ("rules", "allowed", "refused"),
    [
        ([{"values": {"allowedValues": ["europe-west1"]}}], ["europe-west1"], ["europe-west12", "global"]),
        ([{"values": {"allowedValues": ["is:EU"]}}], ["EU", "eu"], ["europe-west1"]),
        (
            [{"values": {"allowedValues": ["in:us-locations"]}}],
            ["us", "us-east5", "nam4"],
            ["global", "eu"],
        ),
        (
            [{"values": {"allowedValues": ["in:eu-locations"]}}],
            ["eu", "europe-west3"],
            ["europe-west2", "us"],
        ),
        (
            [{"values": {"allowedValues": ["in:europe-west1-locations"]}}],
            ["europe-west1", "europe-west1-b"],
            ["europe-west10"],
        ),
        ([{"values": {"deniedValues": ["in:us-locations"]}}], ["global", "asia-east1"], ["us-west1"]),
        ([{"denyAll": True}], [], ["us-central1"]),
        (
            [{"allowAll": True}, {"values": {"deniedValues": ["us"]}}],
            ["us-central1"],
            ["us"],
        ),
    ],
)
def test_locations_are_allowed_by_name_and_by_group(
    emulator: RunningEmulator, inherit: Inherit, rules: Any, allowed: list[str], refused: list[str]
) -> None:
    inherit(gcp__resourceLocations={"rules": rules})
    constraints: Constraints = emulator.call(emulator.context.ports.find, Constraints)
    assert isinstance(constraints, OrganizationConstraints)
    verdict = {
        location: emulator.call(constraints.allows, PROJECT, "gcp.resourceLocations", location)
        for location in allowed + refused
    }
    assert verdict == dict.fromkeys(allowed, True) | dict.fromkeys(refused, False)


def test_a_seed_names_only_what_constrains_something(inherit: Inherit) -> None:
    with pytest.raises(seed.SeedError, match=r"run\.allowedIngress is none of gcp\.resourceLocations, "):
        inherit(run__allowedIngress=["internal"])


# ---------------------------------------------------------------- members


def test_nobody_from_outside_is_added_to_the_policy_of_a_project(
    emulator: RunningEmulator, session: requests.Session, inherit: Inherit
) -> None:
    emulator.grant(
        f"projects/{PROJECT}", "roles/viewer", "serviceAccount:old@elsewhere.iam.gserviceaccount.com"
    )
    inherit(iam__allowedPolicyMemberDomains=CUSTOMER)
    url = f"https://cloudresourcemanager.googleapis.com/v3/projects/{PROJECT}:"
    policy = ok(session.post(f"{url}getIamPolicy", json={}))

    def add(member: str) -> requests.Response:
        added = [*policy["bindings"], {"role": "roles/browser", "members": [member]}]
        return session.post(f"{url}setIamPolicy", json={"policy": {"bindings": added}})

    for member in ("user:somebody@gmail.com", "serviceAccount:a@elsewhere.iam.gserviceaccount.com"):
        answer = add(member)
        assert refusal(answer, 400) == (
            "One or more users named in the policy do not belong to a permitted customer."
        )
        user = member.partition(":")[2]
        assert violation(answer) == {
            "type": "constraints/iam.allowedPolicyMemberDomains",
            "subject": f"orgpolicy:projects/{PROJECT}?configvalue={user}",
            "description": f"User {user} is not in permitted organization.",
        }
    for member in (OWNER, f"serviceAccount:service-{emulator.number}@gcp-sa-logging.iam.gserviceaccount.com"):
        ok(add(member))


@pytest.mark.parametrize(
    ("resource", "more"),
    [
        ("serviceAccounts/site@example.iam.gserviceaccount.com", ""),
        ("locations/us-central1/services/site", ",  perhaps due to an organization policy"),
    ],
)
def test_nothing_is_given_to_everybody(
    emulator: RunningEmulator, inherit: Inherit, resource: str, more: str
) -> None:
    inherit(iam__allowedPolicyMemberDomains=CUSTOMER)
    everybody = {"bindings": [{"role": "roles/run.invoker", "members": ["allUsers"]}]}
    with pytest.raises(ApiError) as refused:
        emulator.call(emulator.context.iam.set_policy, f"projects/{PROJECT}/{resource}", everybody)
    assert refused.value.message == (
        f"One or more users named in the policy do not belong to a permitted customer{more}."
    )
    (violation,) = refused.value.details[0]["violations"]
    assert violation["description"] == "User allUsers is not in permitted organization."


def test_a_bucket_is_not_given_to_everybody(session: requests.Session, inherit: Inherit) -> None:
    everybody = {"bindings": [{"role": "roles/storage.objectViewer", "members": ["allUsers"]}]}
    iam = "https://storage.googleapis.com/storage/v1/b/{}/iam"
    for name in ("before", "after"):
        ok(session.post(BUCKETS, json=bucket(f"{PROJECT}-{name}")))
    ok(session.put(iam.format(f"{PROJECT}-before"), json=everybody))
    inherit(iam__allowedPolicyMemberDomains=CUSTOMER)
    answer = session.put(iam.format(f"{PROJECT}-after"), json=everybody)
    assert refusal(answer, 412) == (
        "One or more users named in the policy do not belong to a permitted customer."
    )
    assert answer.json()["error"]["errors"][0]["reason"] == "conditionNotMet"
    # What was granted before stays, and may be said again.
    ok(session.put(iam.format(f"{PROJECT}-before"), json=everybody))


# ---------------------------------------------------------------- buckets


def test_public_access_prevention_holds_for_every_bucket(
    emulator: RunningEmulator, session: requests.Session, inherit: Inherit
) -> None:
    name = f"{PROJECT}-public"
    everybody = {"bindings": [{"role": "roles/storage.objectViewer", "members": ["allUsers"]}]}
    iam = f"https://storage.googleapis.com/storage/v1/b/{name}/iam"
    ok(session.post(BUCKETS, json=bucket(name)))
    ok(session.put(iam, json=everybody))
    upload = f"https://storage.googleapis.com/upload/storage/v1/b/{name}/o?uploadType=media&name=a.css"
    ok(session.post(upload, data=b"a{}"))
    address = f"https://storage.googleapis.com/{name}/a.css"
    anybody = emulator.session(None)
    assert anybody.get(address).status_code == 200
    inherit(storage__publicAccessPrevention=True)
    assert anybody.get(address).status_code in (401, 403)
    assert refusal(session.put(iam, json=everybody), 412) == (
        "The member bindings allUsers and allAuthenticatedUsers are not allowed since public access prevention is enforced."
    )


def test_buckets_have_uniform_access(session: requests.Session, inherit: Inherit) -> None:
    inherit(storage__uniformBucketLevelAccess=True)
    text = "Request violates constraint 'constraints/storage.uniformBucketLevelAccess'"
    assert refusal(session.post(BUCKETS, json=bucket(f"{PROJECT}-acl", iamConfiguration={})), 412) == text
    ok(session.post(BUCKETS, json=bucket(f"{PROJECT}-uniform")))
    off = {"iamConfiguration": {"uniformBucketLevelAccess": {"enabled": False}}}
    url = f"https://storage.googleapis.com/storage/v1/b/{PROJECT}-uniform"
    assert refusal(session.patch(url, json=off), 412) == text
    ok(session.patch(url, json={"labels": {"a": "b"}}))


# ---------------------------------------------------------------- locations


def test_nothing_is_made_where_it_must_not_be(
    emulator: RunningEmulator, session: requests.Session, inherit: Inherit
) -> None:
    inherit(gcp__resourceLocations=["in:europe-west1-locations"])
    assert refusal(session.post(BUCKETS, json=bucket(f"{PROJECT}-us", location="US")), 412) == (
        "'us' violates constraint 'constraints/gcp.resourceLocations'"
    )
    ok(session.post(BUCKETS, json=bucket(f"{PROJECT}-eu", location="europe-west1")))

    secrets = f"https://secretmanager.googleapis.com/v1/projects/{PROJECT}/secrets?secretId="
    answer = session.post(secrets + "automatic", json={"replication": {"automatic": {}}})
    subject = f"orgpolicy:projects/{emulator.number}"
    text = (
        f"Constraint constraints/gcp.resourceLocations violated for [{subject}] attempting to create a secret in [global]. "
        "For more information, see https://cloud.google.com/resource-manager/docs/organization-policy/defining-locations."
    )
    assert refusal(answer, 400) == text
    assert violation(answer) == {
        "type": "constraints/gcp.resourceLocations",
        "subject": subject,
        "description": text,
    }
    kept = {"userManaged": {"replicas": [{"location": "europe-west1"}]}}
    ok(session.post(secrets + "regional", json={"replication": kept}))
    added = session.post(
        f"https://secretmanager.googleapis.com/v1/projects/{PROJECT}/secrets/regional:addVersion",
        json={"payload": {"data": "aGk="}},
    )
    assert ok(added)["replicationStatus"] == kept

    repositories = f"https://artifactregistry.googleapis.com/v1/projects/{PROJECT}/locations/us-central1/"
    answer = session.post(f"{repositories}repositories?repositoryId=images", json={"format": "DOCKER"})
    assert "attempting to create a repository in [us-central1]" in refusal(answer, 400)

    for kind in ("service", "job"):
        template = {"containers": [{"image": f"us-central1-docker.pkg.dev/{PROJECT}/images/site"}]}
        body = {"template": template if kind == "service" else {"template": template}}
        url = f"https://run.googleapis.com/v2/projects/{PROJECT}/locations/us-central1/{kind}s?{kind}Id=site"
        answer = session.post(url, json=body)
        assert f"attempting to create a {kind} in [us-central1]" in refusal(answer, 400)

    instances = f"https://sqladmin.googleapis.com/v1/projects/{PROJECT}/instances"
    assert refusal(session.post(instances, json=instance()), 400) == (
        "Invalid request: 'us-central1' violates constraint 'constraints/gcp.resourceLocations' on the resource "
        f"'projects/{PROJECT}'."
    )


# ---------------------------------------------------------------- the others


def instance() -> dict[str, Any]:
    settings = {"tier": "db-f1-micro", "edition": "ENTERPRISE"}
    return {"name": "main", "databaseVersion": "POSTGRES_17", "region": "us-central1", "settings": settings}


def test_an_instance_has_no_public_address(
    emulator: RunningEmulator, session: requests.Session, inherit: Inherit
) -> None:
    inherit(sql__restrictPublicIp=True)
    url = f"https://sqladmin.googleapis.com/v1/projects/{PROJECT}/instances"
    answer = session.post(url, json=instance())
    assert refusal(answer, 400) == (
        "Invalid request: Organization Policy check failure: the external IP of this instance violates the "
        f"constraints/sql.restrictPublicIp enforced at the {emulator.number} project."
    )
    assert answer.json()["error"]["errors"][0]["reason"] == "invalid"


def test_a_service_asks_who_calls(session: requests.Session, inherit: Inherit) -> None:
    inherit(run__managed__requireInvokerIam=True)
    name = f"projects/{PROJECT}/locations/us-central1/services/site"
    image = "us-docker.pkg.dev/cloudrun/container/hello"
    body = {"invokerIamDisabled": True, "template": {"containers": [{"image": image}]}}
    url = "https://run.googleapis.com/v2/" + name.replace("/site", "?serviceId=site&validateOnly=true")
    answer = session.post(url, json=body)
    assert refusal(answer, 400) == (
        f"Operation denied by org policy on resource '{name}': [\"constraints/run.managed.requireInvokerIam\": "
        '"When enforced, requires the IAM permission check to be enabled for Cloud Run services."].'
    )
    assert answer.json()["error"]["status"] == "FAILED_PRECONDITION"


def test_no_keys_of_service_accounts_are_made(session: requests.Session, inherit: Inherit) -> None:
    made = ok(session.post(IAM.format(PROJECT), json={"accountId": "robot-1"}))
    inherit(iam__disableServiceAccountKeyCreation=True)
    answer = session.post(f"https://iam.googleapis.com/v1/{made['name']}/keys", json={})
    assert refusal(answer, 400) == "Key creation is not allowed on this service account."
    email = f"robot-1@{PROJECT}.iam.gserviceaccount.com"
    assert violation(answer) == {
        "type": "constraints/iam.disableServiceAccountKeyCreation",
        "subject": f"{made['name']}?configvalue={email.replace('@', '%40')}",
        "description": "Key creation is not allowed on this service account.",
    }


@pytest.mark.parametrize("enforced", [False, True])
def test_the_default_account_edits_the_project_unless_that_is_forbidden(
    emulator: RunningEmulator, session: requests.Session, inherit: Inherit, enforced: bool
) -> None:
    inherit(iam__automaticIamGrantsForDefaultServiceAccounts=enforced)
    emulator.disable("run.googleapis.com")
    enable = f"https://serviceusage.googleapis.com/v1/projects/{PROJECT}/services/run.googleapis.com:enable"
    operation = ok(session.post(enable, json={}))
    while not operation.get("done"):
        operation = ok(session.get(f"https://serviceusage.googleapis.com/v1/{operation['name']}"))
    url = f"https://cloudresourcemanager.googleapis.com/v3/projects/{PROJECT}:getIamPolicy"
    editors = [
        b["members"] for b in ok(session.post(url, json={}))["bindings"] if b["role"] == "roles/editor"
    ]
    default = f"serviceAccount:{emulator.number}-compute@developer.gserviceaccount.com"
    assert editors == ([] if enforced else [[default]])
