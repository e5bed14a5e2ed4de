# Copyright (c) 2026, The djangogcp contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import pytest
from ansible.module_utils.basic import AnsibleFallbackNotFound
from ansible_collections.org.djangogcp.plugins.module_utils._argspec import first_set_env
from ansible_collections.org.djangogcp.plugins.module_utils._errors import ApiError, DjangoGcpError
from ansible_collections.org.djangogcp.plugins.module_utils._granted import Change
from ansible_collections.org.djangogcp.plugins.module_utils._module import SeveralError, Task, for_each
from ansible_collections.org.djangogcp.plugins.module_utils._run import labelled
from ansible_collections.org.djangogcp.plugins.module_utils._services.storage import taken_buckets
from ansible_collections.org.djangogcp.plugins.modules import (
    iam_members,
    iam_service_accounts,
    resourcemanager_project_info,
    run_job_execution,
    run_jobs,
    serviceusage_services,
    storage_buckets,
)

MISSING = (404, {"error": {"code": 404, "status": "NOT_FOUND", "message": "no"}})
USAGE = "https://serviceusage.googleapis.com/v1/projects/p/services"
BUCKETS = "https://storage.googleapis.com/storage/v1/b"


def services(client, *names, state="present", check_mode=False):
    params = {"project": "p", "services": list(names), "state": state}
    return serviceusage_services.work(Task(params, client, check_mode))


def test_apis_are_enabled_twenty_at_a_time(google, client):
    google.answer("GET", USAGE, {"services": [{"name": "projects/1/services/a0.googleapis.com"}]})
    google.answer("POST", f"{USAGE}:batchEnable", {"name": "operations/x", "done": True})
    names = [f"a{number}.googleapis.com" for number in range(24)]
    result = services(client, *names)
    assert [len(body["serviceIds"]) for body in google.bodies("POST")] == [20, 3]
    assert [one["changed"] for one in result["services"]] == [False] + [True] * 23


def test_enabled_apis_are_one_request(google, client):
    google.answer("GET", USAGE, {"services": [{"name": "projects/1/services/a.googleapis.com"}]})
    assert not services(client, "a.googleapis.com")["changed"]
    assert len(google.sent) == 1


def test_an_api_is_disabled(google, client):
    google.answer("GET", USAGE, {"services": [{"name": "projects/1/services/a.googleapis.com"}]})
    google.answer("POST", f"{USAGE}/a.googleapis.com:disable", {"name": "operations/x", "done": True})
    result = services(client, "a.googleapis.com", "b.googleapis.com", state="absent")
    assert result["actions"] == ["disable a.googleapis.com"]


def bucket(client, check_mode=False, **options):
    asked = {
        **dict.fromkeys(storage_buckets.ARGUMENT_SPEC["buckets"]["options"]),
        "state": "present",
        "name": "media",
        **options,
    }
    return storage_buckets.work(Task({"project": "p", "buckets": [asked]}, client, check_mode))


def test_a_bucket_is_made_in_the_project(google, client):
    google.answer("GET", f"{BUCKETS}/media", MISSING, {"location": "EUROPE-WEST1", "metageneration": "1"})
    google.answer("POST", BUCKETS, {})
    result = bucket(client, location="europe-west1", uniform_bucket_level_access=True, soft_delete_seconds=0)
    assert google.sent[1].params == {"project": "p"}
    assert google.sent[1].body == {
        "name": "media",
        "location": "europe-west1",
        "iamConfiguration": {"uniformBucketLevelAccess": {"enabled": True}},
        "softDeletePolicy": {"retentionDurationSeconds": "0"},
    }
    assert result["buckets"][0]["location"] == "EUROPE-WEST1"


def test_the_case_of_a_location_is_no_difference(google, client):
    google.answer("GET", f"{BUCKETS}/media", {"location": "EUROPE-WEST1"})
    assert not bucket(client, location="europe-west1")["changed"]


def test_a_bucket_name_of_somebody_else_is_explained(google, client):
    refused = "deployer does not have storage.buckets.get access to the Google Cloud Storage bucket."
    google.answer(
        "GET",
        f"{BUCKETS}/media",
        (403, {"error": {"code": 403, "message": refused, "errors": [{"reason": "forbidden"}]}}),
    )
    with pytest.raises(ApiError) as caught:
        bucket(client)
    assert caught.value.message == (
        "Failed to read bucket media: deployer does not have storage.buckets.get access to the Google Cloud Storage bucket "
        "(HTTP 403 forbidden). All buckets of Google Cloud share one namespace: either this name is taken in another project, "
        "so choose another one, or the caller lacks storage.buckets.get (roles/storage.admin has it)."
    )


def test_a_name_is_taken_when_another_project_has_it(google, client):
    google.answer("GET", BUCKETS, {"items": [{"name": "ours"}]})
    google.answer("GET", f"{BUCKETS}/free", MISSING)
    google.answer("GET", f"{BUCKETS}/seen", {"name": "seen"})
    google.answer("GET", f"{BUCKETS}/hidden", (403, {"error": {"code": 403, "message": "no"}}))
    assert taken_buckets(client, "p", ["ours", "free", "seen", "hidden"]) == ["seen", "hidden"]


def test_nothing_is_known_to_be_taken_before_the_api_is_enabled(google, client):
    disabled = {"code": 403, "message": "no", "errors": [{"reason": "accessNotConfigured"}]}
    google.answer("GET", BUCKETS, (403, {"error": disabled}))
    assert taken_buckets(client, "p", ["one"]) == []


JOBS = "https://run.googleapis.com/v2/projects/p/locations/l/jobs"


def jobs(client, *asked, check_mode=False):
    options = {
        **dict.fromkeys(run_jobs.ARGUMENT_SPEC["jobs"]["options"]),
        "state": "present",
    }
    params = {
        "project": "p",
        "location": "l",
        "jobs": [{**options, **job} for job in asked],
    }
    return run_jobs.work(Task(params, client, check_mode))


def test_a_job_that_ran_as_it_is_says_so(google, client):
    own = {"template": {"template": {"max_retries": 0, "containers": [{"image": "app"}]}}}
    label = labelled(own, None)["template"]["labels"]
    template = {"maxRetries": 0, "containers": [{"image": "app"}]}
    found = {"name": "projects/p/locations/l/jobs/a", "template": {"labels": label, "template": template}}
    # Google fills in more in the one than in the other.
    execution = {
        "name": "a-1",
        "labels": label,
        "template": {**template, "timeout": "600s", "executionEnvironment": "EXECUTION_ENVIRONMENT_GEN2"},
        "completionTime": "2026-01-01T00:00:00Z",
        "conditions": [{"type": "Completed", "state": "CONDITION_SUCCEEDED"}],
    }
    asked = {"name": "a", **own}
    google.answer("GET", f"{JOBS}/a", found)
    google.answer("GET", f"{JOBS}/a/executions", {"executions": [execution]})
    result = jobs(client, asked)
    assert (result["changed"], result["jobs"][0]["executed"]) == (False, True)
    assert google.calls == ["GET a", "GET executions"]
    google.answer("GET", f"{JOBS}/a/executions", {"executions": [{**execution, "labels": {}}]})
    assert not jobs(client, asked)["jobs"][0]["executed"]


def test_what_is_changed_beside_the_template_does_not_make_a_job_run_again(google, client):
    own = {"template": {"template": {"containers": [{"image": "app"}]}}}
    label = labelled(own, None)["template"]["labels"]
    template = {"labels": label, "template": {"containers": [{"image": "app"}]}}
    google.answer("GET", f"{JOBS}/a", {"name": "a", "template": template})
    google.answer("PATCH", f"{JOBS}/a", {"name": "projects/p/locations/l/operations/o", "done": True})
    succeeded = {
        "labels": label,
        "template": template["template"],
        "completionTime": "2026-01-01T00:00:00Z",
        "conditions": [{"type": "Completed", "state": "CONDITION_SUCCEEDED"}],
    }
    google.answer("GET", f"{JOBS}/a/executions", {"executions": [{"name": "a-1", **succeeded}]})
    result = jobs(client, {"name": "a", "labels": {"site": "polls"}, **own})
    assert (result["changed"], result["jobs"][0]["executed"]) == (True, True)


def test_a_job_that_somebody_else_made_is_labelled_and_has_not_run(google, client):
    own = {"template": {"template": {"containers": [{"image": "app"}]}}}
    found = {"name": "a", "template": {"template": {"containers": [{"image": "app"}]}}}
    google.answer("GET", f"{JOBS}/a", found)
    result = jobs(client, {"name": "a", **own}, check_mode=True)
    assert (result["changed"], result["jobs"][0]["executed"]) == (True, False)
    assert google.calls == ["GET a"]


JOB = f"{JOBS}/manage"
REFUSED = (
    "Permission denied on secret: projects/1/secrets/key/versions/1 for Revision service account "
    "web@p.iam.gserviceaccount.com."
)


def manage(google, client, execution, printed=(), **params):
    """Runs a command whose execution fails as told."""
    options = {**dict.fromkeys(run_job_execution.ARGUMENT_SPEC), "once": False, "args": ["check"], **params}
    failed = {"type": "Completed", "state": "CONDITION_FAILED", **execution.pop("condition", {})}
    ended = {
        "name": "manage-1",
        "completionTime": "2026-01-01T00:00:00Z",
        "conditions": [failed],
        **execution,
    }
    google.answer("POST", f"{JOB}:run", {"metadata": {"name": "manage-1"}})
    google.answer("GET", f"{JOB}/executions/manage-1", ended)
    google.answer("GET", f"{JOB}/executions/manage-1/tasks", {})
    entries = [{"textPayload": line, "timestamp": "2026-01-01T00:00:00Z"} for line in printed]
    google.answer("POST", "https://logging.googleapis.com/v2/entries:list", {"entries": entries})
    client.granted.note(Change("secret", "key", "r", "serviceAccount:web@p.iam.gserviceaccount.com"))
    place = {"project": "p", "location": "l", "job": "manage"}
    run_job_execution.work(Task({**options, **place}, client))


def starts(google):
    return google.calls.count("POST manage:run")


def test_a_command_that_prints_what_cloud_run_says_of_a_secret_is_not_repeated(google, client):
    with pytest.raises(DjangoGcpError, match="Permission denied on secret"):
        manage(google, client, {"startTime": "2026-01-01T00:00:00Z", "failedCount": 1}, [REFUSED])
    assert starts(google) == 1


@pytest.mark.parametrize("state", [{"startTime": "2026-01-01T00:00:00Z"}, {"failedCount": 1}])
def test_an_execution_of_which_a_task_has_started_is_not_repeated(google, client, state):
    with pytest.raises(DjangoGcpError, match="Permission denied on secret"):
        manage(google, client, {**state, "condition": {"message": REFUSED}})
    assert starts(google) == 1


def test_an_execution_that_could_not_start_for_a_right_that_was_granted_is_repeated(
    google, client, fake_clock
):
    with pytest.raises(DjangoGcpError, match="Permission denied on secret"):
        manage(google, client, {"condition": {"message": REFUSED}})
    assert starts(google) > 5
    assert sum(fake_clock.slept) == pytest.approx(420, abs=1)


def test_a_service_account_is_made_with_its_id_and_changed_with_a_mask(google, client):
    accounts = "https://iam.googleapis.com/v1/projects/p/serviceAccounts"
    web = f"{accounts}/web@p.iam.gserviceaccount.com"
    asked = {"name": "web", "state": "present", "display_name": "Web", "description": None}
    task = Task({"project": "p", "service_accounts": [asked]}, client)
    google.answer("GET", web, MISSING, {"email": "web@p.iam.gserviceaccount.com", "displayName": "Web"})
    google.answer("POST", accounts, {})
    assert iam_service_accounts.work(task)["service_accounts"][0]["email"] == "web@p.iam.gserviceaccount.com"
    assert google.bodies("POST") == [{"accountId": "web", "serviceAccount": {"displayName": "Web"}}]
    google.answer("GET", web, {"displayName": "Old", "etag": "e"})
    google.answer("PATCH", web, {})
    iam_service_accounts.work(task)
    assert google.bodies("PATCH") == [
        {"serviceAccount": {"displayName": "Web", "etag": "e"}, "updateMask": "displayName"}
    ]


def test_grants_are_sorted_by_resource_and_account_ids_completed():
    item = {"resource_type": "service_account", "resource": "web", "location": None, "role": "roles/x", "members": ["user:a"],
            "condition": None, "state": "present"}  # fmt: skip
    project = {**item, "resource_type": "project", "resource": None}
    grouped = iam_members.grants_by_resource([item, project, {**item, "role": "roles/y"}], "p")
    assert [resource.name for resource in grouped] == ["web@p.iam.gserviceaccount.com", "p"]
    assert [len(grants) for grants in grouped.values()] == [2, 1]


def test_a_grant_on_a_resource_without_a_name_is_refused():
    item = {"resource_type": "bucket", "resource": None, "location": None, "role": "roles/x"}
    with pytest.raises(
        DjangoGcpError,
        match=r"^A grant of roles/x has the resource_type bucket but no resource\. Name one\.$",
    ):
        iam_members.resource_of(item, "p")


def test_results_come_in_the_asked_order():
    assert for_each([3, 1, 2], lambda item: item * 10) == [30, 10, 20]


def test_every_failure_of_a_list_is_told_once():
    def fail(item):
        raise DjangoGcpError("Failed to read the same thing." if item < 2 else f"Failed to read {item}.")

    with pytest.raises(SeveralError) as caught:
        for_each([0, 1, 2], fail)
    assert caught.value.message == "Failed to read the same thing.\nFailed to read 2."


def test_an_environment_variable_that_is_empty_is_not_set(monkeypatch):
    monkeypatch.setenv("GCP_PROJECT", "")
    monkeypatch.setenv("GOOGLE_CLOUD_PROJECT", "p")
    assert first_set_env("GCP_PROJECT", "GOOGLE_CLOUD_PROJECT") == "p"
    with pytest.raises(AnsibleFallbackNotFound):
        first_set_env("GCP_PROJECT")


POLICIES = "https://orgpolicy.googleapis.com/v2/projects/p/policies"


def test_the_policies_in_effect_are_told_by_constraint(google, client):
    enforced = [{"enforce": True}]
    google.answer("GET", f"{POLICIES}/a.b:getEffectivePolicy", {"spec": {"rules": enforced}})
    google.answer("GET", f"{POLICIES}/a.unset:getEffectivePolicy", {})
    google.answer("GET", f"{POLICIES}/a.unknown:getEffectivePolicy", MISSING)
    found = resourcemanager_project_info.effective_policies(client, "p", ["a.b", "a.unset", "a.unknown"])
    assert found == ({"a.b": enforced, "a.unset": []}, "")


def test_policies_that_may_not_be_read_are_no_error(google, client):
    denied = {
        "code": 403,
        "status": "PERMISSION_DENIED",
        "message": "Permission 'orgpolicy.policy.get' denied",
    }
    google.answer("GET", f"{POLICIES}/a.b:getEffectivePolicy", (403, {"error": denied}))
    policies, problem = resourcemanager_project_info.effective_policies(client, "p", ["a.b"])
    assert policies == {}
    assert "orgpolicy.policy.get" in problem
    assert resourcemanager_project_info.effective_policies(client, "p", []) == ({}, "")
