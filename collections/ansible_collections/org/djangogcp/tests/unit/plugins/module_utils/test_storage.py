# Copyright (c) 2026, The djangogcp contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

"""Buckets as Cloud Storage tells them: what it fills in by itself is no difference, and is what an info module tells."""

import json

import pytest
from ansible_collections.org.djangogcp.plugins.module_utils._differences import differences
from ansible_collections.org.djangogcp.plugins.module_utils._errors import api_error
from ansible_collections.org.djangogcp.plugins.module_utils._services.storage import BUCKET
from ansible_collections.org.djangogcp.plugins.module_utils._shapes import asked_of, decode, lay_over

#: A bucket that was made with its name alone, in the words of an answer to get.
PLAIN = {
    "kind": "storage#bucket",
    "id": "plain-bucket",
    "name": "plain-bucket",
    "selfLink": "https://www.googleapis.com/storage/v1/b/plain-bucket",
    "projectNumber": "123456789012",
    "generation": "1700000000000000",
    "metageneration": "1",
    "etag": "CAE=",
    "location": "US",
    "locationType": "multi-region",
    "rpo": "DEFAULT",
    "storageClass": "STANDARD",
    "timeCreated": "2026-01-31T12:00:00.000Z",
    "updated": "2026-01-31T12:00:00.000Z",
    "iamConfiguration": {
        "bucketPolicyOnly": {"enabled": False},
        "uniformBucketLevelAccess": {"enabled": False},
        "publicAccessPrevention": "inherited",
    },
    "softDeletePolicy": {"retentionDurationSeconds": "604800", "effectiveTime": "2026-01-31T12:00:00.000Z"},
}
LOCKED = {"enabled": True, "lockedTime": "2026-04-30T12:00:00.000Z"}
#: One of a region, of which an answer to patch tells more.
REGIONAL = {
    **{name: value for name, value in PLAIN.items() if name != "rpo"},
    "location": "EUROPE-WEST3",
    "locationType": "region",
    "satisfiesPZI": True,
    "labels": {"site": "polls"},
    "versioning": {"enabled": False},
    "lifecycle": {"rule": [{"action": {"type": "Delete"}, "condition": {"age": 7}}]},
    "iamConfiguration": {
        "bucketPolicyOnly": LOCKED,
        "uniformBucketLevelAccess": LOCKED,
        "publicAccessPrevention": "enforced",
    },
    "softDeletePolicy": {"retentionDurationSeconds": "0"},
}
WITH_LISTS = PLAIN | {
    "acl": [
        {
            "kind": "storage#bucketAccessControl",
            "id": "plain-bucket/project-owners-123456789012",
            "bucket": "plain-bucket",
            "entity": "project-owners-123456789012",
            "role": "OWNER",
            "projectTeam": {"projectNumber": "123456789012", "team": "owners"},
            "etag": "CAI=",
        }
    ],
    "defaultObjectAcl": [{"entity": "project-owners-123456789012", "role": "OWNER", "etag": "CAI="}],
    "owner": {"entity": "project-owners-123456789012"},
}


@pytest.mark.parametrize(
    ("told", "asked"),
    [
        pytest.param(PLAIN, {}, id="nothing"),
        pytest.param(
            PLAIN,
            {
                "location": "us",
                "storage_class": "STANDARD",
                "uniform_bucket_level_access": False,
                "public_access_prevention": "inherited",
                "versioning": False,
                "soft_delete_seconds": 604800,
                "labels": {},
                "lifecycle_rules": [],
                "cors": [],
                "website_main_page_suffix": "",
            },
            id="what-it-is-without-being-asked",
        ),
        pytest.param(
            REGIONAL,
            {
                "location": "europe-west3",
                "uniform_bucket_level_access": True,
                "public_access_prevention": "enforced",
                "versioning": False,
                "soft_delete_seconds": 0,
                "labels": {"site": "polls"},
                "lifecycle_rules": [{"action": {"type": "Delete"}, "condition": {"age": 7}}],
            },
            id="what-was-asked-before",
        ),
        pytest.param(WITH_LISTS, {"uniform_bucket_level_access": False}, id="an-answer-with-lists"),
    ],
)
def test_what_google_fills_in_is_no_difference(told, asked):
    wanted = asked_of(asked, BUCKET.fields)
    assert differences(wanted, decode(told, BUCKET.fields), BUCKET.fields) == []
    # What would be sent is what is there.
    assert (
        differences(wanted, decode(lay_over(told, wanted, BUCKET.fields), BUCKET.fields), BUCKET.fields) == []
    )


@pytest.mark.parametrize(
    ("asked", "name"),
    [
        ({"versioning": True}, "versioning"),
        ({"soft_delete_seconds": 0}, "soft_delete_seconds"),
        ({"uniform_bucket_level_access": True}, "uniform_bucket_level_access"),
        ({"labels": {"site": "polls"}}, "labels"),
    ],
)
def test_what_is_not_so_is_one(asked, name):
    found = differences(asked_of(asked, BUCKET.fields), decode(PLAIN, BUCKET.fields), BUCKET.fields)
    assert [one.name for one in found] == [name]


def test_an_info_module_tells_numbers_as_numbers():
    shape = decode(REGIONAL, BUCKET.fields)
    assert (shape["location"], shape["metageneration"], shape["project_number"]) == (
        "EUROPE-WEST3",
        1,
        123456789012,
    )
    assert (shape["soft_delete_seconds"], shape["versioning"]) == (0, False)


@pytest.mark.parametrize(
    ("status", "reason", "message", "verb", "hint"),
    [
        (
            404,
            "notFound",
            "The specified bucket does not exist.",
            "read",
            "Check its name; when it was made a moment ago, run again.",
        ),
        (
            409,
            "conflict",
            "The requested bucket name is not available. The bucket namespace is shared by all users of the system. Please select "
            "a different name and try again.",
            "create",
            "All buckets of Google Cloud share one namespace and this name is taken in another project. Choose another one.",
        ),
        (
            409,
            "conflict",
            "The bucket you tried to delete is not empty.",
            "delete",
            "Delete its objects first, or set a lifecycle rule that does.",
        ),
        (
            412,
            "conditionNotMet",
            "At least one of the pre-conditions you specified did not hold.",
            "update",
            "Somebody else changed it at the same time; run again.",
        ),
    ],
)
def test_what_to_do_about_its_errors(status, reason, message, verb, hint):
    body = {
        "error": {
            "code": status,
            "message": message,
            "errors": [{"message": message, "domain": "global", "reason": reason}],
        }
    }
    error = api_error(
        doing=f"{verb} bucket plain-bucket", status=status, reason_phrase="", text=json.dumps(body)
    )
    own = BUCKET.hint(error, verb)
    shown = (error.with_hint(own) if own else error).message
    assert (
        shown
        == f"Failed to {verb} bucket plain-bucket: {message.rstrip('.')} (HTTP {status} {reason}). {hint}"
    )
