# Copyright (c) 2026, The djangogcp contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

"""Modules that tell of resources: by name, or all of every page."""

import pytest
from ansible_collections.org.djangogcp.plugins.module_utils._errors import ApiError, DjangoGcpError
from ansible_collections.org.djangogcp.plugins.module_utils._info import read_many
from ansible_collections.org.djangogcp.plugins.module_utils._module import Task
from ansible_collections.org.djangogcp.plugins.module_utils._services.iam import SERVICE_ACCOUNT
from ansible_collections.org.djangogcp.plugins.module_utils._services.run import JOB
from ansible_collections.org.djangogcp.plugins.module_utils._services.sqladmin import (
    DATABASE,
    is_empty_instance,
)
from ansible_collections.org.djangogcp.plugins.module_utils._services.storage import BUCKET
from ansible_collections.org.djangogcp.plugins.modules import secretmanager_secrets_info

RUN = f"{JOB.api}/projects/p/locations/l/jobs"
STORAGE = f"{BUCKET.api}/b"
PLACE = {"project": "p", "location": "l"}


def test_all_of_every_page_are_read(google, client):
    pages = (
        {"jobs": [{"name": "projects/p/locations/l/jobs/a"}], "nextPageToken": "2"},
        {"jobs": [{"name": "projects/p/locations/l/jobs/b"}]},
    )
    google.answer("GET", RUN, *pages)
    assert [ids["name"] for ids, dummy in read_many(client, JOB, PLACE, None)] == ["a", "b"]
    assert [one.params.get("pageToken") for one in google.sent] == [None, "2"]


def test_some_are_read_by_name_each_once_and_what_is_absent_is_left_out(google, client, refuse):
    google.answer("GET", f"{RUN}/a", {"name": "projects/p/locations/l/jobs/a", "labels": {"site": "polls"}})
    google.answer("GET", f"{RUN}/none", refuse(404, "NOT_FOUND", "no"))
    found = read_many(client, JOB, PLACE, ["a", "none", "a"])
    assert [JOB.show(*one)["labels"] for one in found] == [{"site": "polls"}]
    assert sorted(google.calls) == ["GET a", "GET none"]
    assert read_many(client, JOB, PLACE, []) == []


def test_buckets_are_listed_by_project(google, client):
    google.answer("GET", STORAGE, {"items": [{"name": "media"}]})
    assert [ids for ids, dummy in read_many(client, BUCKET, {"project": "p"}, None)] == [
        {"project": "p", "name": "media"}
    ]
    assert google.sent[0].params["project"] == "p"


def test_the_name_of_a_service_account_is_the_one_that_its_module_takes(google, client):
    emails = ("web@p.iam.gserviceaccount.com", "123-compute@developer.gserviceaccount.com")
    accounts = [{"name": f"projects/p/serviceAccounts/{email}", "email": email} for email in emails]
    google.answer("GET", SERVICE_ACCOUNT.collection_url({"project": "p"}), {"accounts": accounts})
    names = [ids["name"] for ids, dummy in read_many(client, SERVICE_ACCOUNT, {"project": "p"}, None)]
    assert names == ["web", emails[1]]


def test_an_api_that_is_not_enabled_holds_nothing_and_any_other_refusal_is_an_error(google, client, refuse):
    google.answer("GET", RUN, refuse(403, "PERMISSION_DENIED", "not enabled", reason="SERVICE_DISABLED"))
    assert read_many(client, JOB, PLACE, None) == []
    google.answer("GET", RUN, refuse(403, "PERMISSION_DENIED", "no"))
    with pytest.raises(ApiError, match=r"list every job of project p"):
        read_many(client, JOB, PLACE, None)


@pytest.mark.parametrize("names", [None, ["polls", "none"]])
def test_an_instance_that_does_not_run_holds_nothing(google, client, refuse, names):
    place = {"project": "p", "instance": "db"}
    refusal = refuse(400, "invalid", "Invalid request since instance is not running.")
    url = DATABASE.collection_url(place)
    for address in (url, f"{url}/polls", f"{url}/none"):
        google.answer("GET", address, refusal)
    assert read_many(client, DATABASE, place, names, is_empty_instance) == []
    with pytest.raises(DjangoGcpError):
        read_many(client, DATABASE, place, names)


def test_versions_are_told_the_newest_first_and_never_a_value(google, client):
    url = "https://secretmanager.googleapis.com/v1/projects/p/secrets/key/versions"
    listed = [
        {"name": f"projects/1/secrets/key/versions/{number}", "state": "ENABLED", "createTime": "t"}
        for number in (9, 10)
    ]
    google.answer("GET", url, {"versions": listed})
    told = secretmanager_secrets_info.versions(
        Task({"project": "p", "show_values": False, "show_readers": False, "value_versions": {}}, client),
        {"project": "p", "name": "key"},
    )
    assert [one["version"] for one in told["versions"]] == ["10", "9"]
    assert told["versions"][0] == {"version": "10", "state": "ENABLED", "create_time": "t"}
    assert [one.url for one in google.sent] == [url]
