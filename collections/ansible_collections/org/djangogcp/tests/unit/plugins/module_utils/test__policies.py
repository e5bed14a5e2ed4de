# Copyright (c) 2026, The djangogcp contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import pytest
from ansible_collections.org.djangogcp.plugins.module_utils import _progress
from ansible_collections.org.djangogcp.plugins.module_utils._errors import ApiError
from ansible_collections.org.djangogcp.plugins.module_utils._granted import Change, account_made
from ansible_collections.org.djangogcp.plugins.module_utils._policies import (
    Grant,
    Resource,
    ensure_grants,
    with_grants,
)

WEB = "serviceAccount:web@p.iam.gserviceaccount.com"
JOB = "serviceAccount:job@p.iam.gserviceaccount.com"
SECRET = Resource("secret", "p", "key")
ADDRESS = "https://secretmanager.googleapis.com/v1/projects/p/secrets/key"
READ, WRITE = f"{ADDRESS}:getIamPolicy", f"{ADDRESS}:setIamPolicy"
ROLE = "roles/secretmanager.secretAccessor"
OTHERS = {"role": "roles/owner", "members": ["user:somebody@example.com"]}


def test_other_bindings_and_members_stay_as_they_are():
    policy = {"etag": "e", "bindings": [OTHERS, {"role": ROLE, "members": ["user:x@example.com"]}]}
    assert with_grants(policy, [Grant(ROLE, (WEB,))]) == {
        "etag": "e",
        "bindings": [OTHERS, {"role": ROLE, "members": ["user:x@example.com", WEB]}],
    }


def test_a_binding_without_members_goes():
    policy = {"bindings": [OTHERS, {"role": ROLE, "members": [WEB]}]}
    assert with_grants(policy, [Grant(ROLE, (WEB,), present=False)]) == {"bindings": [OTHERS]}


def test_revoking_what_nobody_has_changes_nothing():
    assert with_grants({"etag": "e"}, [Grant(ROLE, (WEB,), present=False)]) == {"etag": "e"}


def test_a_binding_may_be_told_without_members():
    policy = {"etag": "e", "bindings": [{"role": ROLE}]}
    assert with_grants(policy, [Grant(ROLE, (WEB,), present=False)]) == policy
    assert with_grants(policy, [Grant(ROLE, (WEB,))])["bindings"] == [{"role": ROLE, "members": [WEB]}]


def test_a_grant_with_a_condition_is_another_binding():
    condition = {"title": "soon", "expression": "true"}
    policy = {"version": 1, "bindings": [{"role": ROLE, "members": [WEB]}]}
    wanted = with_grants(policy, [Grant(ROLE, (WEB,), condition)])
    assert wanted["bindings"] == [
        {"role": ROLE, "members": [WEB]},
        {"role": ROLE, "members": [WEB], "condition": condition},
    ]
    assert wanted["version"] == 3
    assert with_grants(wanted, [Grant(ROLE, (WEB,), condition)]) == wanted


@pytest.mark.parametrize("asked", ["user:Foo@Example.com", "user:foo@example.com"])
def test_letter_case_of_addresses_means_nothing(asked):
    policy = {"bindings": [{"role": ROLE, "members": ["user:foo@example.com", "group:All@example.com"]}]}
    assert with_grants(policy, [Grant(ROLE, (asked, "group:all@EXAMPLE.com"))]) == policy
    revoked = with_grants(policy, [Grant(ROLE, (asked, "group:ALL@example.com"), present=False)])
    assert revoked == {"bindings": []}


def test_members_are_granted_as_google_cloud_writes_them():
    principal = "principalSet://iam.googleapis.com/projects/1/locations/global/workloadIdentityPools/Pool/*"
    asked = ("domain:Example.COM", "allUsers", principal, "user:A@b.c", "user:a@b.c")
    members = with_grants({}, [Grant(ROLE, asked)])["bindings"][0]["members"]
    assert members == ["domain:example.com", "allUsers", principal, "user:a@b.c"]


def test_several_bindings_of_one_role_are_one():
    policy = {"bindings": [{"role": ROLE, "members": [JOB]}, OTHERS, {"role": ROLE, "members": [WEB, JOB]}]}
    assert with_grants(policy, [Grant(ROLE, (WEB, JOB))]) == policy
    assert with_grants(policy, [Grant(ROLE, (JOB,), present=False)])["bindings"] == [
        OTHERS,
        {"role": ROLE, "members": [WEB]},
    ]
    assert with_grants(policy, [Grant(ROLE, (WEB, JOB), present=False)])["bindings"] == [OTHERS]


def test_public_access_prevention_is_told_at_once(google, client):
    bucket = Resource("bucket", "p", "polls-static")
    google.answer("GET", f"{bucket.address}/iam", {"etag": "e"})
    message = "The member bindings allUsers and allAuthenticatedUsers are not allowed since public access prevention is enforced."
    reason = {"reason": "conditionNotMet", "domain": "global", "message": message}
    refused = (412, {"error": {"code": 412, "message": message, "errors": [reason]}})
    google.answer("PUT", f"{bucket.address}/iam", refused)
    grant = Grant("roles/storage.objectViewer", ("allUsers",))
    with pytest.raises(ApiError) as caught:
        ensure_grants(client, bucket, [grant], check_mode=False)
    assert len(google.bodies("PUT")) == 1
    assert "public_access_prevention to inherited" in caught.value.message
    assert "run again" not in caught.value.message


def test_all_grants_of_a_resource_are_one_read_and_one_write(google, client):
    google.answer("GET", READ, {"etag": "e1", "bindings": [OTHERS]})
    google.answer("POST", WRITE, {})
    outcome = ensure_grants(
        client, SECRET, [Grant(ROLE, (WEB, JOB)), Grant("roles/viewer", (WEB,))], check_mode=False
    )
    assert google.calls == ["GET key:getIamPolicy", "POST key:setIamPolicy"]
    assert google.sent[0].params == {"options.requestedPolicyVersion": 3}
    assert google.sent[1].body["policy"] == {
        "etag": "e1",
        "bindings": [
            OTHERS,
            {"role": ROLE, "members": [WEB, JOB]},
            {"role": "roles/viewer", "members": [WEB]},
        ],
    }
    assert outcome.changed
    assert outcome.actions == [
        f"grant {ROLE} to {JOB} on secret key",
        f"grant {ROLE} to {WEB} on secret key",
        f"grant roles/viewer to {WEB} on secret key",
    ]


def test_what_is_granted_is_one_read(google, client):
    google.answer("GET", READ, {"bindings": [{"role": ROLE, "members": [JOB, WEB]}]})
    assert not ensure_grants(client, SECRET, [Grant(ROLE, (WEB,))], check_mode=False).changed
    assert google.calls == ["GET key:getIamPolicy"]


def test_what_a_parallel_run_wrote_in_between_is_kept(google, client, refuse):
    theirs = {"role": ROLE, "members": [JOB]}
    google.answer("GET", READ, {"etag": "e1"}, {"etag": "e2", "bindings": [theirs]})
    google.answer("POST", WRITE, refuse(409, "ABORTED", "stale"), {})
    ensure_grants(client, SECRET, [Grant(ROLE, (WEB,))], check_mode=False)
    assert google.sent[-1].body["policy"] == {
        "etag": "e2",
        "bindings": [{"role": ROLE, "members": [JOB, WEB]}],
    }


UNKNOWN = "Service account web@p.iam.gserviceaccount.com does not exist."
ACCOUNT = "https://iam.googleapis.com/v1/projects/-/serviceAccounts/web@p.iam.gserviceaccount.com"


def test_a_service_account_that_is_only_new_is_waited_for(google, client, refuse):
    google.answer("GET", READ, {"etag": "e1"})
    google.answer("POST", WRITE, *[refuse(400, "INVALID_ARGUMENT", UNKNOWN)] * 20, {})
    google.answer("GET", ACCOUNT, {"email": "web@p.iam.gserviceaccount.com"})
    assert ensure_grants(client, SECRET, [Grant(ROLE, (WEB,))], check_mode=False).changed


def test_an_account_that_was_made_here_a_moment_ago_is_waited_for_though_it_cannot_be_read(
    google, client, granted, refuse, monkeypatch
):
    lines = []
    monkeypatch.setattr(_progress, "tell", lines.append)
    granted.note(account_made("web@p.iam.gserviceaccount.com"))
    google.answer("GET", READ, {"etag": "e1"})
    google.answer("POST", WRITE, *[refuse(400, "INVALID_ARGUMENT", UNKNOWN)] * 20, {})
    assert ensure_grants(client, SECRET, [Grant(ROLE, (WEB,))], check_mode=False).changed
    assert lines[0].startswith(
        "Change the IAM policy of secret key: Service account web@p.iam.gserviceaccount.com does not exist, 3"
    )
    assert Change("secret", "key", ROLE, WEB) in granted.changes()


def test_what_is_revoked_is_not_granted_any_more(google, client, granted):
    granted.note(Change("secret", "key", ROLE, WEB))
    google.answer("GET", READ, {"etag": "e1", "bindings": [{"role": ROLE, "members": [WEB]}]})
    google.answer("POST", WRITE, {})
    assert ensure_grants(client, SECRET, [Grant(ROLE, (WEB,), present=False)], check_mode=False).changed
    assert granted.changes() == {}


def test_a_service_account_that_does_not_exist_is_an_error_at_once(google, client, refuse, fake_clock):
    google.answer("GET", READ, {"etag": "e1"})
    google.answer("POST", WRITE, refuse(400, "INVALID_ARGUMENT", UNKNOWN))
    google.answer("GET", ACCOUNT, refuse(404, "NOT_FOUND", "no"))
    with pytest.raises(ApiError) as caught:
        ensure_grants(client, SECRET, [Grant(ROLE, (WEB,))], check_mode=False)
    assert caught.value.message == (
        "Failed to change the IAM policy of secret key: Service account web@p.iam.gserviceaccount.com does not exist "
        "(HTTP 400 INVALID_ARGUMENT). Make the service account first, for instance with the module "
        "org.djangogcp.iam_service_accounts."
    )
    assert fake_clock.slept == []


def test_check_mode_takes_a_missing_resource_for_one_without_grants(google, client, refuse):
    google.answer("GET", READ, refuse(404, "NOT_FOUND", "no"))
    outcome = ensure_grants(client, SECRET, [Grant(ROLE, (WEB,))], check_mode=True)
    assert outcome.before == {ROLE: []}
    assert outcome.after == {ROLE: [WEB]}
    assert google.calls == ["GET key:getIamPolicy"]


def test_revoking_on_a_missing_resource_changes_nothing(google, client, refuse):
    google.answer("GET", READ, refuse(404, "NOT_FOUND", "no"))
    outcome = ensure_grants(client, SECRET, [Grant(ROLE, (WEB,), present=False)], check_mode=False)
    assert not outcome.changed
    assert google.calls == ["GET key:getIamPolicy"]


def test_granting_on_a_missing_resource_is_an_error(google, client, refuse):
    google.answer("GET", READ, refuse(404, "NOT_FOUND", "no"))
    grants = [Grant(ROLE, (WEB,)), Grant(ROLE, (JOB,), present=False)]
    with pytest.raises(ApiError, match="Failed to read the IAM policy of secret key"):
        ensure_grants(client, SECRET, grants, check_mode=False)


@pytest.mark.parametrize(
    ("resource", "read", "written"),
    [
        (
            Resource("project", "p", "p"),
            ("POST", "https://cloudresourcemanager.googleapis.com/v3/projects/p:getIamPolicy"),
            ("POST", "https://cloudresourcemanager.googleapis.com/v3/projects/p:setIamPolicy"),
        ),
        (
            Resource("bucket", "p", "media"),
            ("GET", "https://storage.googleapis.com/storage/v1/b/media/iam"),
            ("PUT", "https://storage.googleapis.com/storage/v1/b/media/iam"),
        ),
        (
            Resource("service_account", "p", "a@p.iam.gserviceaccount.com"),
            (
                "POST",
                "https://iam.googleapis.com/v1/projects/p/serviceAccounts/a@p.iam.gserviceaccount.com:getIamPolicy",
            ),
            (
                "POST",
                "https://iam.googleapis.com/v1/projects/p/serviceAccounts/a@p.iam.gserviceaccount.com:setIamPolicy",
            ),
        ),
        (
            Resource("run_job", "p", "migrate", "r1"),
            ("GET", "https://run.googleapis.com/v2/projects/p/locations/r1/jobs/migrate:getIamPolicy"),
            ("POST", "https://run.googleapis.com/v2/projects/p/locations/r1/jobs/migrate:setIamPolicy"),
        ),
    ],
)
def test_each_kind_of_resource_keeps_its_policy_elsewhere(google, client, resource, read, written):
    google.answer(*read, {"etag": "e"})
    google.answer(*written, {})
    assert ensure_grants(client, resource, [Grant(ROLE, (WEB,))], check_mode=False).changed
