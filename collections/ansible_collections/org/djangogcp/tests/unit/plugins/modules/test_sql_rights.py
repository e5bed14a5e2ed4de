# Copyright (c) 2026, The djangogcp contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Rights of users that PostgreSQL tells and the API does not."""

from __future__ import annotations

import json
import typing as t

import pytest
from ansible_collections.org.djangogcp.plugins.module_utils._errors import DjangoGcpError
from ansible_collections.org.djangogcp.plugins.module_utils._module import Task
from ansible_collections.org.djangogcp.plugins.modules import sql_users

INSTANCE = "https://sqladmin.googleapis.com/v1/projects/p/instances/db"
USERS = f"{INSTANCE}/users"
EXECUTE = f"{INSTANCE}/executeSql"
DONE = {"name": "op", "status": "DONE", "targetProject": "p"}
BUSY = (
    409,
    {"error": {"code": 409, "message": "busy", "errors": [{"reason": "operationInProgress"}]}},
)
#: As the API tells a user without telling roles.
UNTOLD = {"name": "web", "project": "p", "instance": "db"}
REFUSED = {"status": {"code": 7, "message": "ERROR: permission denied to alter role (SQLSTATE 42501)"}}


def really(**rights):
    """The database's answer to the look at the user web."""
    roles = rights.get("roles", [])
    found = {
        "name": "web",
        "roles": roles,
        "in_force": rights.get("in_force", roles),
        "attributes": rights.get("attributes", []),
        "is_superuser": rights.get("is_superuser", "cloudsqlsuperuser" in roles),
    }
    return {"results": [{"rows": [{"values": [{"value": json.dumps([found])}]}]}]}


def users(client, check_mode=False, **user):
    defaults = {
        name: option.get("default") for name, option in sql_users.ARGUMENT_SPEC["users"]["options"].items()
    }
    options = {**defaults, "name": "web", "database_roles": [], **user}
    params: dict[str, t.Any] = {
        "project": "p",
        "instance": "db",
        "users": [options],
        "check_database": "polls",
    }
    return sql_users.work(Task(params, client, check_mode))


@pytest.fixture
def api(google):
    """An API that knows the user and tells nothing of its roles."""
    google.answer("GET", f"{USERS}/web", UNTOLD)
    google.answer("PUT", USERS, DONE)
    return google


def updates(google):
    return [one.params for one in google.sent if one.method == "PUT"]


def test_a_superuser_of_whom_the_api_tells_no_role_loses_that(api, client):
    api.answer("POST", EXECUTE, really(roles=["cloudsqlsuperuser"]), really(), really())
    result = users(client)
    assert result["actions"] == ["correct the rights of SQL user web"]
    assert result["diff"][0]["before"]["database_roles"] == ["cloudsqlsuperuser"]
    assert result["diff"][0]["after"]["database_roles"] == []
    (sent,) = updates(api)
    assert (sent["name"], sent.get("databaseRoles") or [], sent["revokeExistingRoles"]) == ("web", [], True)


def test_what_is_so_changes_nothing(api, client):
    api.answer("POST", EXECUTE, really())
    assert users(client)["changed"] is False
    assert updates(api) == []
    (look,) = [one.body for one in api.sent if one.method == "POST"]
    assert (look["database"], look["autoIamAuthn"]) == ("polls", True)
    assert "who.rolname IN ('web')" in look["sqlStatement"]


def test_a_membership_that_the_api_only_believes_in_is_granted(api, client):
    api.answer("GET", f"{USERS}/web", {**UNTOLD, "databaseRoles": ["site"]})
    api.answer("POST", EXECUTE, really(), really(roles=["site"]))
    assert users(client, database_roles=["site"])["changed"] is True
    (sent,) = updates(api)
    assert sent["databaseRoles"] == ["site"]
    assert sent.get("revokeExistingRoles") is None


def test_roles_of_a_shared_user_stay(api, client):
    api.answer("GET", f"{USERS}/web", {**UNTOLD, "databaseRoles": ["site"]})
    api.answer(
        "POST",
        EXECUTE,
        really(roles=["other", "site"], attributes=["CREATEROLE"]),
    )
    assert users(client, database_roles=["site"], append_roles=True)["changed"] is False
    assert updates(api) == []


def test_a_role_that_may_be_kept_stays_and_others_go(api, client):
    api.answer("GET", f"{USERS}/web", {**UNTOLD, "databaseRoles": ["migrator"]})
    api.answer(
        "POST", EXECUTE, really(roles=["cloudsqlsuperuser", "migrator"]), really(roles=["migrator"]), really(roles=["migrator"])
    )  # fmt: skip
    result = users(client, kept_roles=["migrator"])
    assert result["users"][0]["database_roles"] == ["migrator"]
    (sent,) = updates(api)
    assert (sent["databaseRoles"], sent["revokeExistingRoles"]) == (["migrator"], True)


def test_a_role_that_may_be_kept_is_not_granted(api, client):
    api.answer("POST", EXECUTE, really())
    assert users(client, kept_roles=["migrator"])["changed"] is False


def test_an_instance_that_is_busy_is_asked_again(api, client, fake_clock):
    api.answer("PUT", USERS, BUSY, DONE)
    api.answer("POST", EXECUTE, really(roles=["cloudsqlsuperuser"]), really(), really())
    assert users(client)["changed"] is True
    assert len(updates(api)) == 2


def test_attributes_that_only_superusers_have_are_taken_by_sql(api, client):
    api.answer("POST", EXECUTE, really(attributes=["CREATEROLE", "CREATEDB"]), {"results": [{}]}, really())
    result = users(client)
    assert result["diff"][0]["before"]["attributes"] == ["CREATEROLE", "CREATEDB"]
    assert [body["sqlStatement"] for body in api.bodies("POST")][
        1
    ] == 'ALTER ROLE "web" NOCREATEROLE NOCREATEDB'
    assert updates(api) == []


def test_attributes_that_cannot_be_taken_are_a_warning_and_no_change(api, client):
    api.answer("POST", EXECUTE, really(attributes=["CREATEDB"]), REFUSED)
    result = users(client)
    assert result["changed"] is False
    assert result["warnings"] == [
        "SQL user web has CREATEDB, which was not asked for, and who runs this may not take that away. Let who has made the user do "
        "it (ALTER ROLE)."
    ]


@pytest.mark.parametrize(
    ("rights", "roles", "message"),
    [
        (
            {"roles": ["group"], "is_superuser": True},
            ["group"],
            "it is a member of cloudsqlsuperuser through one of its roles (group). Revoke that in the database polls, as a user who may.",
        ),
        (
            {"roles": ["cloudsqlsuperuser"]},
            [],
            "it is a member of cloudsqlsuperuser still, which Cloud SQL does not revoke. Revoke that in the database polls, as who has "
            "granted it.",
        ),
        (
            {"roles": ["site"], "in_force": []},
            ["site"],
            "it has not the rights of site, or may not act as them. Log in to the database polls as a user who may, revoke them from "
            "web, make it INHERIT (ALTER ROLE), and run again.",
        ),
        (
            {"roles": ["pg_monitor"]},
            [],
            "it is a member of pg_monitor still, which Cloud SQL does not revoke. Revoke that in the database polls, as who has "
            "granted it.",
        ),
    ],
)
def test_what_cannot_be_corrected_is_an_error(api, client, rights, roles, message):
    api.answer("POST", EXECUTE, really(**rights))
    with pytest.raises(DjangoGcpError) as caught:
        users(client, database_roles=roles)
    assert caught.value.message == f"Failed to correct the rights of SQL user web: {message}"


def test_a_superuser_through_a_role_that_has_just_lost_that_is_none(api, client):
    """A user of a password's version is a member of the site's role."""
    api.answer("POST", EXECUTE, really(roles=["site"], is_superuser=True), really(roles=["site"]))
    api.answer("GET", f"{USERS}/web", {**UNTOLD, "databaseRoles": ["site"]})
    assert users(client, database_roles=["site"])["changed"] is False


def test_check_mode_tells_and_changes_nothing(api, client):
    api.answer("POST", EXECUTE, really(roles=["cloudsqlsuperuser"], attributes=["CREATEROLE"]))
    result = users(client, check_mode=True)
    assert result["actions"] == ["correct the rights of SQL user web"]
    assert result["diff"][0]["after"] == {"type": "BUILT_IN", "database_roles": [], "attributes": []}
    assert updates(api) == []
    assert len(api.bodies("POST")) == 1


def test_check_mode_says_nothing_where_the_caller_is_not_let_in_yet(api, client):
    api.answer("POST", EXECUTE, (400, {"error": {"code": 400, "message": "failed to connect"}}))
    assert users(client, check_mode=True)["changed"] is False


def test_a_user_that_is_gone_meanwhile_is_left_alone(api, client):
    api.answer("POST", EXECUTE, {"results": [{"rows": [{"values": [{"value": "[]"}]}]}]})
    assert users(client)["changed"] is False


def test_a_user_of_mysql_is_not_looked_for_in_postgresql():
    user = {
        **dict.fromkeys(sql_users.ARGUMENT_SPEC["users"]["options"]), "name": "clerk", "host": "%", "state": "present", "type": "BUILT_IN",
    }  # fmt: skip
    assert sql_users.check({"users": [user], "check_database": "shop"}) == [
        "users[0].host is set: expected no check_database, because only PostgreSQL is asked there."
    ]
