"""The modules iam_service_accounts, iam_members, serviceusage_services and resourcemanager_project_info."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.integration.cloud import CHANGING_PROJECT, PROJECT, REGION, STRANGER, Cloud

MODULES = (
    Path(__file__).resolve().parents[2] / "collections/ansible_collections/org/djangogcp/plugins/modules"
)
ACCOUNTS = f"iam.googleapis.com/v1/projects/{PROJECT}/serviceAccounts"
POLICY = f"cloudresourcemanager.googleapis.com/v3/projects/{PROJECT}"


def email(account: str) -> str:
    return f"{account}@{PROJECT}.iam.gserviceaccount.com"


def test_the_life_of_a_service_account(cloud: Cloud) -> None:
    def account(**options: Any) -> dict[str, Any]:
        return {"service_accounts": [{"name": "life-account", **options}]}

    url, before = f"{ACCOUNTS}/{email('life-account')}", cloud.resources()
    planned = cloud.ok("iam_service_accounts", check=True, **account(display_name="Life"))
    assert planned["actions"] == ["create service account life-account"]
    assert planned["service_accounts"][0]["email"] == email("life-account")
    assert cloud.resources() == before

    made = cloud.ok("iam_service_accounts", **account(display_name="Life"))["service_accounts"][0]
    assert cloud.api(url)["displayName"] == "Life"
    assert made["unique_id"] == cloud.api(url)["uniqueId"]
    assert cloud.ok("iam_service_accounts", **account(display_name="Life"))["changed"] is False

    planned = cloud.ok(
        "iam_service_accounts", check=True, **account(display_name="Other", description="For tests")
    )
    assert planned["diff"] == [
        {
            "before": {"display_name": "Life", "description": None},
            "after": {"display_name": "Other", "description": "For tests"},
            "before_header": "service account life-account (before)",
            "after_header": "service account life-account (after)",
        }
    ]
    assert cloud.api(url)["displayName"] == "Life"
    cloud.ok("iam_service_accounts", **account(display_name="Other", description="For tests"))
    assert (cloud.api(url)["displayName"], cloud.api(url)["description"]) == ("Other", "For tests")

    assert cloud.ok("iam_service_accounts", **account(state="absent"))["actions"] == [
        "delete service account life-account"
    ]
    assert cloud.absent(url)
    assert cloud.ok("iam_service_accounts", **account(state="absent"))["changed"] is False


def test_several_errors_of_one_list_are_all_told(cloud: Cloud) -> None:
    def grant(**resource: str) -> dict[str, Any]:
        return {"role": "roles/run.viewer", "members": ["user:several@example.com"], **resource}

    absent = [grant(resource_type="secret", resource=name) for name in ("absent-one", "absent-two")]
    message = cloud.error("iam_members", members=[absent[0], grant(), absent[1]])
    assert "policy of secret absent-one: " in message
    assert "policy of secret absent-two: " in message
    assert cloud.members(POLICY, "roles/run.viewer", method="POST") == ["user:several@example.com"]
    cloud.ok("iam_members", members=[{**grant(), "state": "absent"}])


def test_the_life_of_a_grant_on_a_project(cloud: Cloud) -> None:
    def grant(state: str, *members: str) -> dict[str, Any]:
        return {"members": [{"role": "roles/run.viewer", "members": list(members), "state": state}]}

    ann, bob, before = "user:ann@example.com", "user:bob@example.com", cloud.resources()

    def holders() -> list[str]:
        return cloud.members(POLICY, "roles/run.viewer", method="POST")

    planned = cloud.ok("iam_members", check=True, **grant("present", ann))
    assert planned["actions"] == [f"grant roles/run.viewer to {ann} on project {PROJECT}"]
    assert cloud.resources() == before

    assert cloud.ok("iam_members", **grant("present", ann))["changed"] is True
    assert holders() == [ann]
    assert cloud.ok("iam_members", **grant("present", ann))["changed"] is False

    planned = cloud.ok("iam_members", check=True, **grant("present", ann, bob))
    assert planned["diff"][0]["before"] == {"roles/run.viewer": [ann]}
    assert planned["diff"][0]["after"] == {"roles/run.viewer": [ann, bob]}
    assert holders() == [ann]
    cloud.ok("iam_members", **grant("present", ann, bob))
    assert holders() == [ann, bob]

    assert cloud.ok("iam_members", **grant("absent", ann))["actions"] == [
        f"revoke roles/run.viewer from {ann} on project {PROJECT}"
    ]
    assert holders() == [bob]
    assert cloud.ok("iam_members", **grant("absent", ann))["changed"] is False
    cloud.ok("iam_members", **grant("absent", bob))
    assert holders() == []
    assert "roles/owner" in {
        one["role"] for one in cloud.api(f"{POLICY}:getIamPolicy", method="POST")["bindings"]
    }


@pytest.mark.parametrize(
    ("kind", "resource", "role", "url"),
    [
        ("service_account", "holder", "roles/iam.serviceAccountUser", f"{ACCOUNTS}/{email('holder')}"),
        (
            "secret",
            "granted",
            "roles/secretmanager.secretAccessor",
            f"secretmanager.googleapis.com/v1/projects/{PROJECT}/secrets/granted",
        ),
        (
            "bucket",
            f"{PROJECT}-granted",
            "roles/storage.objectUser",
            f"storage.googleapis.com/storage/v1/b/{PROJECT}-granted",
        ),
        (
            "artifact_repository",
            "granted",
            "roles/artifactregistry.reader",
            f"artifactregistry.googleapis.com/v1/projects/{PROJECT}/locations/{REGION}/repositories/granted",
        ),
    ],
)
def test_a_role_is_granted_and_revoked_on_a_resource(
    cloud: Cloud, kind: str, resource: str, role: str, url: str
) -> None:
    cloud.ok("iam_service_accounts", service_accounts=[{"name": "holder"}])
    cloud.ok("secretmanager_secrets", secrets=[{"name": "granted"}])
    cloud.ok("storage_buckets", buckets=[{"name": f"{PROJECT}-granted", "location": REGION}])
    cloud.ok("artifactregistry_repository", name="granted", location=REGION)
    method, verb = {"service_account": ("POST", ":getIamPolicy"), "bucket": ("GET", "/iam")}.get(
        kind, ("GET", ":getIamPolicy")
    )
    member = f"serviceAccount:{email('holder')}"
    item = {
        "resource_type": kind,
        "resource": resource,
        **({"location": REGION} if "/locations/" in url else {}),
        "role": role,
        "members": [member],
    }
    assert cloud.ok("iam_members", members=[item])["changed"] is True
    assert cloud.members(url, role, method=method, verb=verb) == [member]
    assert cloud.ok("iam_members", members=[item])["changed"] is False
    assert cloud.ok("iam_members", members=[{**item, "state": "absent"}])["changed"] is True
    assert cloud.members(url, role, method=method, verb=verb) == []
    assert cloud.ok("iam_members", members=[{**item, "state": "absent"}])["changed"] is False


def test_a_member_that_does_not_exist_is_refused_at_once(cloud: Cloud) -> None:
    member = f"serviceAccount:{email('not-there')}"
    message = cloud.error("iam_members", members=[{"role": "roles/run.viewer", "members": [member]}])
    assert message == (
        f"Failed to change the IAM policy of project {PROJECT}: Service account {email('not-there')} does not exist "
        "(HTTP 400 INVALID_ARGUMENT). Make the service account first, for instance with the module "
        "org.djangogcp.iam_service_accounts."
    )


def test_parallel_grants_on_one_policy_lose_nothing(cloud: Cloud) -> None:
    script = (
        "import sys, importlib; from ansible.module_utils.testing import patch_module_args; import json\n"
        "from ansible_collections.org.djangogcp.plugins.modules.iam_members import main\n"
        "print('ready', flush=True); sys.stdin.readline()\n"
        "with patch_module_args(json.loads(sys.argv[1])): main()\n"
    )
    environment = {**os.environ, "PYTHONPATH": str(MODULES.parents[4])}
    members = [f"user:parallel{number}@example.com" for number in range(4)]
    processes = []
    for member in members:
        options = json.dumps({"members": [{"role": "roles/run.developer", "members": [member]}]})
        processes.append(
            subprocess.Popen(
                [sys.executable, "-c", script, options],
                env=environment,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                text=True,
            )
        )
    for process in processes:
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
    for process in processes:
        assert process.stdin is not None
        process.stdin.write("go\n")
        process.stdin.flush()
    for process in processes:
        printed = process.communicate(timeout=60)[0]
        assert process.returncode == 0, printed
        assert json.loads(printed)["changed"] is True
    assert sorted(cloud.members(POLICY, "roles/run.developer", method="POST")) == members


def test_apis_are_enabled_and_disabled(cloud: Cloud) -> None:
    url = f"serviceusage.googleapis.com/v1/projects/{CHANGING_PROJECT}/services/run.googleapis.com"

    def enabled() -> bool:
        return cloud.api(url)["state"] == "ENABLED"

    asked = {"project": CHANGING_PROJECT, "services": ["run.googleapis.com"]}
    planned = cloud.ok("serviceusage_services", check=True, **asked)
    assert planned["actions"] == ["enable run.googleapis.com"]
    assert planned["diff"] == {"before": {"enabled": []}, "after": {"enabled": ["run.googleapis.com"]}}
    assert not enabled()
    assert cloud.ok("serviceusage_services", **asked)["changed"] is True
    assert enabled()
    assert cloud.ok("serviceusage_services", **asked)["changed"] is False
    assert cloud.ok("serviceusage_services", **asked, state="absent")["actions"] == [
        "disable run.googleapis.com"
    ]
    assert not enabled()
    assert cloud.ok("serviceusage_services", **asked, state="absent")["changed"] is False


def test_a_service_that_does_not_exist_cannot_be_enabled(cloud: Cloud) -> None:
    message = cloud.error("serviceusage_services", services=["runn.googleapis.com"])
    assert message.startswith(f"Failed to enable runn.googleapis.com in project {PROJECT}: ")
    assert "runn.googleapis.com" in message.partition(": ")[2]


def test_project_info_tells_who_calls_and_what_is_missing(cloud: Cloud) -> None:
    cloud.grant("roles/browser", STRANGER)
    found = cloud.ok(
        "resourcemanager_project_info",
        user=STRANGER,
        permissions=["run.services.create", "resourcemanager.projects.get"],
    )
    assert found["project"]["number"] == cloud.running.number
    assert found["missing_permissions"] == [{"permission": "run.services.create", "role": "roles/run.admin"}]
    assert found["caller"] == {
        "email": STRANGER,
        "member": f"user:{STRANGER}",
        "database_user": STRANGER,
        "database_user_type": "CLOUD_IAM_USER",
    }


def test_an_account_is_reached_through_another(cloud: Cloud) -> None:
    """What gcloud's impersonation variable may hold: the last acts, and each may use the next."""
    creator, project = "roles/iam.serviceAccountTokenCreator", f"projects/{PROJECT}"
    cloud.ok("iam_service_accounts", service_accounts=[{"name": "first-link"}, {"name": "last-link"}])
    first, last = email("first-link"), email("last-link")
    cloud.running.grant(f"{project}/serviceAccounts/{first}", creator, f"user:{STRANGER}")
    cloud.running.grant(project, "roles/browser", f"serviceAccount:{last}")
    chain = {"user": STRANGER, "impersonate_service_account": f"{first},{last}"}
    refused = cloud.error("resourcemanager_project_info", **chain)
    assert refused.startswith(f"Failed to get an access token for {first},{last} ")
    cloud.running.grant(f"{project}/serviceAccounts/{last}", creator, f"serviceAccount:{first}")
    assert cloud.ok("resourcemanager_project_info", **chain)["caller"]["email"] == last


def test_a_project_that_does_not_exist_is_explained(cloud: Cloud) -> None:
    assert cloud.error("resourcemanager_project_info", project="no-such-project") == (
        "Failed to read project no-such-project: it does not exist, or the caller may not see it (HTTP 403 "
        "PERMISSION_DENIED). Check the spelling of the project's id; if it is right, grant the caller "
        "resourcemanager.projects.get, for example with the role roles/browser."
    )
