# Copyright (c) 2026, The djangogcp contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import json

import pytest
from ansible_collections.org.djangogcp.plugins.module_utils._errors import api_error
from ansible_collections.org.djangogcp.plugins.module_utils._permissions import role_that_has

HELD = "At least one of the pre-conditions you specified did not hold."
OUTSIDERS = "One or more users named in the policy do not belong to a permitted customer."


def made(status, body, permission=""):
    text = body if isinstance(body, str) else json.dumps(body)
    return api_error(
        doing="read toy car", status=status, reason_phrase="Oops", text=text, permission=permission
    )


def test_a_permission_in_the_message_is_named_with_a_role():
    message = (
        "Permission 'secretmanager.secrets.create' denied on resource 'projects/p' (or it may not exist)."
    )
    error = made(
        403, {"error": {"code": 403, "status": "PERMISSION_DENIED", "message": message}}, "other.things.get"
    )
    assert error.message == (
        "Failed to read toy car: Permission 'secretmanager.secrets.create' denied on resource 'projects/p' (or it may not "
        "exist) (HTTP 403 PERMISSION_DENIED). Grant the caller the permission secretmanager.secrets.create, for example with "
        "the role roles/secretmanager.admin."
    )


def test_storage_names_the_permission_in_its_own_words():
    message = "a@b.c does not have storage.buckets.get access to the Google Cloud Storage bucket."
    error = made(403, {"error": {"code": 403, "message": message, "errors": [{"reason": "forbidden"}]}})
    assert error.code == "forbidden"
    assert error.permission == "storage.buckets.get"


def test_the_documented_permission_is_named_when_the_message_has_none():
    error = made(
        403, {"error": {"code": 403, "status": "PERMISSION_DENIED", "message": "No."}}, "run.services.get"
    )
    assert error.message == (
        "Failed to read toy car: No (HTTP 403 PERMISSION_DENIED). Grant the caller the permission run.services.get, "
        "for example with the role roles/run.admin."
    )


def test_field_violations_are_told():
    details = [
        {
            "@type": "type.googleapis.com/google.rpc.BadRequest",
            "fieldViolations": [{"field": "a.b", "description": "too long"}],
        }
    ]
    error = made(400, {"error": {"status": "INVALID_ARGUMENT", "message": "Bad request", "details": details}})
    assert error.message == "Failed to read toy car: Bad request; a.b: too long (HTTP 400 INVALID_ARGUMENT)."


def test_an_answer_that_is_no_json_keeps_its_status():
    assert made(400, "<html>").message == "Failed to read toy car: Oops (HTTP 400 Oops)."


def test_an_oauth_refusal_is_understood():
    error = made(400, {"error": "invalid_grant", "error_description": "Bad key."})
    assert error.message == "Failed to read toy car: Bad key (HTTP 400 invalid_grant)."


#: What Cloud SQL answers to reads, too.
CROWDED = "Invalid request: Too many operations are being executed on the instance. Please try again later.."


@pytest.mark.parametrize(
    ("status", "error", "stale", "busy", "exists"),
    [
        (409, {"status": "ABORTED"}, True, False, False),
        (412, {"message": HELD}, True, False, False),
        # Cloud SQL's settingsVersion, Compute Engine's fingerprints.
        (412, {"message": "Condition does not match."}, True, False, False),
        (412, {"message": "Labels fingerprint either invalid or labels have changed"}, True, False, False),
        # Cloud Storage's other meanings of 412, all with the same reason.
        (412, {"message": "... since public access prevention is enforced."}, False, False, False),
        (412, {"message": OUTSIDERS}, False, False, False),
        (
            412,
            {"message": "'eu' violates constraint 'constraints/gcp.resourceLocations'"},
            False,
            False,
            False,
        ),
        (
            412,
            {"message": "Request violates constraint 'constraints/a.etagOfPreconditions'"},
            False,
            False,
            False,
        ),
        (412, {"message": "The bucket is locked."}, False, False, False),
        (409, {"errors": [{"reason": "operationInProgress"}]}, False, True, False),
        (400, {"message": CROWDED, "errors": [{"reason": "invalid"}]}, False, True, False),
        (
            400,
            {"message": "Invalid request: instance name.", "errors": [{"reason": "invalid"}]},
            False,
            False,
            False,
        ),
        (409, {"status": "ALREADY_EXISTS"}, False, False, True),
        (409, {"errors": [{"reason": "conflict"}]}, False, False, True),
    ],
)
def test_conflicts_are_told_apart(status, error, stale, busy, exists):
    told = {"message": "m", "errors": [{"reason": "conditionNotMet"}] if status == 412 else [], **error}
    made_error = made(status, {"error": told})
    assert (made_error.is_stale, made_error.is_busy, made_error.already_exists) == (stale, busy, exists)
    assert ("Somebody else changed it" in made_error.message) is (stale or exists)


def info(reason, **metadata):
    return [{"@type": "type.googleapis.com/google.rpc.ErrorInfo", "reason": reason, "metadata": metadata}]


@pytest.mark.parametrize(
    ("status", "error", "cure"),
    [
        (
            403,
            {
                "message": "Request had insufficient authentication scopes.",
                "details": info("ACCESS_TOKEN_SCOPE_INSUFFICIENT"),
            },
            "auth/cloud-platform",
        ),
        (
            403,
            {"message": "Permission denied on resource project shop-l.", "details": info("CONSUMER_INVALID")},
            "Check the project",
        ),
        (
            403,
            {
                "message": "Request is prohibited by organization's policy. vpcServiceControlsUniqueIdentifier: x7",
                "details": info("SECURITY_POLICY_VIOLATED", uid="x7"),
            },
            "VPC Service Controls",
        ),
        (
            400,
            {
                "message": "Billing account for project '12' is not found. Billing must be enabled for activation of service(s)",
                "status": "FAILED_PRECONDITION",
                "details": info("UREQ_PROJECT_BILLING_NOT_FOUND"),
            },
            "Link an open billing account",
        ),
        (
            403,
            {
                "message": "The billing account for the owning project is disabled in state absent",
                "errors": [{"reason": "accountDisabled"}],
            },
            "Link an open billing account",
        ),
        (
            403,
            {
                "message": "Project shop (#12) has billing disabled. Please enable it.",
                "errors": [{"reason": "forbidden"}],
            },
            "Link an open billing account",
        ),
        (
            403,
            {"message": "Rate Limit Exceeded", "errors": [{"reason": "rateLimitExceeded"}]},
            "higher quota",
        ),
        (403, {"message": "Quota exceeded", "details": info("RATE_LIMIT_EXCEEDED")}, "higher quota"),
        (
            409,
            {
                "message": "Operation failed because another operation was already in progress.",
                "errors": [{"reason": "operationInProgress"}],
            },
            "has finished",
        ),
        (400, {"message": CROWDED, "errors": [{"reason": "invalid"}]}, "has finished"),
        (
            409,
            {
                "message": "The instance or operation is not in an appropriate state to handle the request.",
                "errors": [{"reason": "invalidState"}],
            },
            "does not run",
        ),
    ],
)
def test_what_no_role_cures_comes_with_what_does(status, error, cure):
    made_error = made(status, {"error": error}, "toys.cars.get")
    assert cure in made_error.message
    assert "Grant" not in made_error.message
    assert "Somebody else" not in made_error.message
    assert not made_error.lacks_role


@pytest.mark.parametrize(
    ("error", "permission"),
    [
        ({"message": "No."}, "toys.cars.get"),
        (
            {
                "message": "Caller does not have required permission to use project shop. Grant the caller the "
                "roles/serviceusage.serviceUsageConsumer role, or a custom role with the serviceusage.services.use permission, and retry.",
                "details": info("USER_PROJECT_DENIED"),
            },
            "serviceusage.services.use",
        ),
        (
            {"message": "Denied.", "details": info("IAM_PERMISSION_DENIED", permission="toys.cars.drive")},
            "toys.cars.drive",
        ),
    ],
)
def test_what_a_role_cures_names_the_permission(error, permission):
    made_error = made(403, {"error": error}, "toys.cars.get")
    assert made_error.lacks_role
    assert f"Grant the caller the permission {permission}" in made_error.message


@pytest.mark.parametrize(
    ("status", "text", "constraint", "cure"),
    [
        (412, OUTSIDERS, "iam.allowedPolicyMemberDomains", "djangogcp_static: image"),
        (
            400,
            f"{OUTSIDERS[:-1]},  perhaps due to an organization policy.",
            "iam.allowedPolicyMemberDomains",
            "allUsers",
        ),
        (
            412,
            "The member bindings allUsers and allAuthenticatedUsers are not allowed since public access prevention is enforced.",
            "storage.publicAccessPrevention",
            "djangogcp_static: image",
        ),
        (
            412,
            "'us' violates constraint 'constraints/gcp.resourceLocations'",
            "gcp.resourceLocations",
            "djangogcp_region",
        ),
        (
            400,
            "Constraint constraints/gcp.resourceLocations violated for [orgpolicy:projects/1] attempting to create a secret in [global].",
            "gcp.resourceLocations",
            "djangogcp_secret_locations",
        ),
        (
            400,
            "Invalid request: Organization Policy check failure: the external IP of this instance violates the "
            "constraints/sql.restrictPublicIp enforced at the 1 project.",
            "sql.restrictPublicIp",
            "private_network",
        ),
        (
            400,
            'Operation denied by org policy on resource \'projects/p\': ["constraints/run.managed.requireInvokerIam": "..."].',
            "run.managed.requireInvokerIam",
            "djangogcp_public",
        ),
        (
            412,
            "Request violates constraint 'constraints/storage.uniformBucketLevelAccess'",
            "storage.uniformBucketLevelAccess",
            "uniform_bucket_level_access",
        ),
        (
            400,
            "Key creation is not allowed on this service account.",
            "iam.disableServiceAccountKeyCreation",
            "Impersonate",
        ),
        (
            412,
            "Constraint constraints/compute.vmExternalIpAccess violated for project p.",
            "compute.vmExternalIpAccess",
            "organization policy allows",
        ),
        (403, OUTSIDERS, "", "Check the roles"),
        (400, "Invalid request.", "", ""),
    ],
)
def test_what_a_policy_forbids_comes_with_its_cure(status, text, constraint, cure):
    refused = made(status, {"error": {"message": text, "errors": [{"reason": "conditionNotMet"}]}})
    assert refused.constraint == constraint
    assert cure in refused.message
    assert not refused.is_stale
    assert "Somebody else" not in refused.message


@pytest.mark.parametrize(
    ("permission", "role"),
    [
        ("run.jobs.run", "roles/run.jobsExecutor"),
        ("run.jobs.runWithOverrides", "roles/run.jobsExecutorWithOverrides"),
        ("run.jobs.get", "roles/run.admin"),
        ("resourcemanager.projects.setIamPolicy", "roles/resourcemanager.projectIamAdmin"),
        ("unknown.things.get", ""),
    ],
)
def test_the_closest_role_is_proposed(permission, role):
    assert role_that_has(permission) == role
