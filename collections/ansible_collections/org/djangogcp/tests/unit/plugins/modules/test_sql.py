# Copyright (c) 2026, The djangogcp contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import base64
import typing as t

import pytest
from ansible_collections.org.djangogcp.plugins.module_utils._errors import (
    ApiError,
    DjangoGcpError,
    ImmutableError,
)
from ansible_collections.org.djangogcp.plugins.module_utils._module import Task
from ansible_collections.org.djangogcp.plugins.module_utils._operations import Wait
from ansible_collections.org.djangogcp.plugins.module_utils._services.sqladmin import execute_sql
from ansible_collections.org.djangogcp.plugins.module_utils._sql_statements import interpolated
from ansible_collections.org.djangogcp.plugins.modules import (
    sql_database,
    sql_instance,
    sql_statements,
    sql_users,
)

API = "https://sqladmin.googleapis.com/v1/projects/p/instances"
INSTANCE = f"{API}/db"
OPERATIONS = "https://sqladmin.googleapis.com/v1/projects/p/operations"
WAIT = Wait()
USERS = f"{INSTANCE}/users"
SECRET = "https://secretmanager.googleapis.com/v1/projects/p/secrets/password"
EXECUTE = f"{INSTANCE}/executeSql"
MISSING = (404, {"error": {"code": 404, "message": "no", "errors": [{"reason": "notFound"}]}})
DONE = {"name": "op", "status": "DONE", "targetProject": "p"}
SERVER = {
    "name": "db",
    "region": "europe-west1",
    "state": "RUNNABLE",
    "settings": {
        "settingsVersion": "7",
        "tier": "db-custom-1-3840",
        "databaseFlags": [{"name": "cloudsql.iam_authentication", "value": "on"}],
        "backupConfiguration": {"enabled": True, "startTime": "03:00", "kind": "sql#backupConfiguration"},
        "userLabels": {"a": "1"},
        "ipConfiguration": {"privateNetwork": "projects/p/global/networks/n", "ipv4Enabled": True},
    },
}


def instance(client, check_mode=False, wait=WAIT, **options):
    params = {
        **dict.fromkeys(sql_instance.ARGUMENT_SPEC),
        "state": "present",
        "project": "p",
        "name": "db",
        **options,
    }
    return sql_instance.work(Task(params, client, check_mode, wait))


class TestInstance:
    @pytest.fixture(autouse=True)
    def _idle(self, google):
        google.answer("GET", OPERATIONS, {})

    def test_what_is_so_changes_nothing(self, google, client):
        google.answer("GET", INSTANCE, SERVER)
        network = "https://www.googleapis.com/compute/v1/projects/p/global/networks/n"
        result = instance(
            client,
            region="europe-west1",
            database_flags={"cloudsql.iam_authentication": True},
            ip_configuration={"private_network": network, "authorized_networks": []},
            connector_enforcement="NOT_REQUIRED",
            user_labels={"a": "1"},
        )
        assert not result["changed"]

    def test_a_disk_that_grew_is_as_asked(self, google, client):
        settings = {**SERVER["settings"], "dataDiskSizeGb": "25"}
        google.answer("GET", INSTANCE, {**SERVER, "settings": settings})
        google.answer("PATCH", INSTANCE, DONE)
        assert not instance(client, data_disk_size_gb=10)["changed"]
        assert instance(client, data_disk_size_gb=30)["changed"]
        instance(client, data_disk_size_gb=10, tier="db-custom-2-7680")
        sent = [body["settings"] for body in google.bodies("PATCH")]
        assert sent == [
            {"settingsVersion": "7", "dataDiskSizeGb": "30"},
            {"settingsVersion": "7", "tier": "db-custom-2-7680"},
        ]

    @pytest.mark.parametrize("there", ["POSTGRES_17", "POSTGRES_18", "POSTGRES_100"])
    def test_a_version_that_was_upgraded_by_hand_is_as_asked(self, google, client, there):
        google.answer("GET", INSTANCE, {**SERVER, "databaseVersion": there})
        assert not instance(client, database_version="POSTGRES_17", region="europe-west1")["changed"]

    def test_an_older_version_is_refused_with_the_way_to_upgrade_it(self, google, client):
        google.answer("GET", INSTANCE, {**SERVER, "databaseVersion": "POSTGRES_9_6"})
        with pytest.raises(ImmutableError) as caught:
            instance(client, database_version="POSTGRES_17", region="europe-west1")
        assert caught.value.message == (
            "Failed to update SQL instance db: an update does not change database_version from 'POSTGRES_9_6' to 'POSTGRES_17'. "
            "Upgrade it with gcloud sql instances patch db --project=p --database-version=POSTGRES_17 (the instance is away meanwhile, "
            "and there is no way back), or ask for database_version POSTGRES_9_6."
        )

    @pytest.mark.parametrize("there", ["MYSQL_8_0", "SQLSERVER_2022_EXPRESS", "", "POSTGRES"])
    def test_another_product_is_refused(self, google, client, there):
        google.answer("GET", INSTANCE, {**SERVER, "databaseVersion": there})
        with pytest.raises(ImmutableError, match="database_version from"):
            instance(client, database_version="POSTGRES_17", region="europe-west1")

    def test_an_update_that_another_task_or_run_began_is_waited_for(self, google, client):
        google.answer("GET", INSTANCE, SERVER)
        backup = {"name": "o3", "status": "RUNNING", "operationType": "BACKUP_VOLUME", "targetProject": "p"}
        update = {"name": "o2", "status": "RUNNING", "operationType": "UPDATE", "targetProject": "p"}
        done = {"name": "o1", "status": "DONE", "operationType": "RESTART", "targetProject": "p"}
        google.answer("GET", OPERATIONS, {"items": [backup, update, done]})
        google.answer("GET", f"{OPERATIONS}/o2", update, {**update, "status": "DONE"})
        result = instance(client)
        assert (result["changed"], result["operation"]) == (False, "")
        assert google.calls == ["GET db", "GET operations", "GET o2", "GET o2"]
        assert google.sent[1].params == {"instance": "db", "maxResults": 10}
        failed = {
            **update,
            "status": "DONE",
            "error": {"errors": [{"code": "INTERNAL_ERROR", "message": "no disk"}]},
        }
        google.answer("GET", f"{OPERATIONS}/o2", failed)
        with pytest.raises(DjangoGcpError, match=r"Failed to wait until SQL instance db is changed: no disk"):
            instance(client)

    def test_what_goes_on_is_told_by_a_task_that_does_not_wait(self, google, client):
        google.answer("GET", INSTANCE, SERVER)
        google.answer("PATCH", INSTANCE, {"name": "o2", "status": "PENDING", "targetProject": "p"})
        update = {"name": "o2", "status": "PENDING", "operationType": "UPDATE", "targetProject": "p"}
        google.answer("GET", OPERATIONS, {"items": [update]}, {})
        started = instance(client, wait=Wait(enabled=False), tier="db-custom-2-7680")
        assert (started["changed"], started["operation"]) == (True, "o2")
        assert instance(client, wait=Wait(enabled=False))["operation"] == ""

    def test_check_mode_looks_for_no_operation(self, google, client):
        google.answer("GET", INSTANCE, SERVER)
        assert instance(client, check_mode=True)["operation"] == ""

    def test_an_instance_that_is_not_there_is_not_made_of_a_name_alone(self, google, client):
        google.answer("GET", INSTANCE, MISSING)
        with pytest.raises(
            DjangoGcpError, match="without database_version Cloud SQL would make a MySQL instance"
        ):
            instance(client)
        assert not google.bodies("POST")

    def test_a_change_carries_the_settings_version_and_only_what_differs(self, google, client):
        google.answer("GET", INSTANCE, SERVER)
        google.answer("PATCH", INSTANCE, DONE)
        instance(client, tier="db-custom-2-7680", user_labels={"b": "2"}, region="europe-west1")
        assert google.bodies("PATCH") == [
            {
                "settings": {
                    "settingsVersion": "7",
                    "tier": "db-custom-2-7680",
                    "userLabels": {"b": "2", "a": None},
                }
            }
        ]

    def test_a_backup_configuration_is_sent_whole(self, google, client):
        google.answer("GET", INSTANCE, SERVER)
        google.answer("PATCH", INSTANCE, DONE)
        instance(client, backup_configuration={"retained_backups": 9})
        assert google.bodies("PATCH")[0]["settings"]["backupConfiguration"] == {
            "enabled": True,
            "startTime": "03:00",
            "kind": "sql#backupConfiguration",
            "backupRetentionSettings": {"retainedBackups": 9},
        }

    def test_flags_that_are_not_asked_for_are_removed(self, google, client):
        google.answer("GET", INSTANCE, SERVER)
        google.answer("PATCH", INSTANCE, DONE)
        instance(client, database_flags={"max_connections": 60})
        assert google.bodies("PATCH")[0]["settings"]["databaseFlags"] == [
            {"name": "max_connections", "value": "60"}
        ]

    def test_the_operation_is_followed_and_its_error_told(self, google, client):
        google.answer("GET", INSTANCE, MISSING)
        google.answer("POST", API, {"name": "op", "status": "PENDING", "targetProject": "p"})
        failed = {
            "name": "op",
            "status": "DONE",
            "error": {"errors": [{"code": "INTERNAL_ERROR", "message": "no disk."}]},
        }
        google.answer(
            "GET",
            "https://sqladmin.googleapis.com/v1/projects/p/operations/op",
            {"status": "RUNNING"},
            failed,
        )
        with pytest.raises(DjangoGcpError) as caught:
            instance(client, region="europe-west1", database_version="POSTGRES_17")
        assert caught.value.message == "Failed to create SQL instance db: no disk (INTERNAL_ERROR)."

    def test_a_name_that_is_locked_after_a_deletion_is_explained(self, google, client):
        google.answer("GET", INSTANCE, MISSING)
        taken = {
            "error": {
                "code": 409,
                "message": "already exists",
                "errors": [{"reason": "instanceAlreadyExists"}],
            }
        }
        google.answer("POST", API, (409, taken))
        with pytest.raises(ApiError) as caught:
            instance(client, region="europe-west1", database_version="POSTGRES_17")
        assert caught.value.message == (
            "Failed to create SQL instance db: already exists (HTTP 409 instanceAlreadyExists). The name of a deleted Cloud SQL "
            "instance stays locked for one week. Choose another name, or wait until a week after its deletion."
        )

    def test_the_region_cannot_be_changed(self, google, client):
        google.answer("GET", INSTANCE, SERVER)
        with pytest.raises(ImmutableError, match=r"cannot change region from 'europe-west1' to 'us-east1'"):
            instance(client, region="us-east1")

    def test_check_mode_knows_the_connection_name_of_an_instance_that_is_not_there(self, google, client):
        google.answer("GET", INSTANCE, MISSING)
        result = instance(client, check_mode=True, region="europe-west1")
        assert result["instance"]["connection_name"] == "p:europe-west1:db"


def users(client, *asked, check_mode=False):
    options = {
        name: option.get("default") for name, option in sql_users.ARGUMENT_SPEC["users"]["options"].items()
    }
    params = {
        "project": "p",
        "instance": "db",
        "users": [{**options, **user} for user in asked],
        "check_database": None,
    }
    return sql_users.work(Task(params, client, check_mode))


class TestUsers:
    WEB = f"{USERS}/web"

    @pytest.fixture(autouse=True)
    def password(self, google):
        google.answer("GET", f"{SECRET}/versions/latest", {"name": "x/versions/2", "state": "ENABLED"})
        google.answer(
            "GET", f"{SECRET}/versions/2:access", {"payload": {"data": base64.b64encode(b"hunter2").decode()}}
        )
        google.answer("GET", SECRET, {"etag": "e", "annotations": {"mine": "1"}})
        google.answer("PATCH", SECRET, {})

    def annotation(self, google):
        (body,) = google.bodies("PATCH")
        return body["annotations"]

    def test_a_new_user_gets_the_password_and_the_secret_remembers_it(self, google, client):
        google.answer("GET", self.WEB, MISSING, MISSING, {"name": "web"})
        google.answer("POST", USERS, DONE)
        result = users(client, {"name": "web", "password_secret": "password"})
        assert google.bodies("POST") == [{"name": "web", "type": "BUILT_IN", "password": "hunter2"}]
        assert result["users"][0]["password_version"] == "2"
        assert "hunter2" not in repr(result)
        annotations = self.annotation(google)
        assert annotations["mine"] == "1"
        assert "p/db/web has version 2" in annotations.values()

    def test_a_password_that_was_given_is_not_even_read(self, google, client):
        google.answer("GET", self.WEB, MISSING, MISSING, {"name": "web"})
        google.answer("POST", USERS, DONE)
        users(client, {"name": "web", "password_secret": "password"})
        google.answer("GET", SECRET, {"etag": "e", "annotations": self.annotation(google)})
        google.sent.clear()
        assert not users(client, {"name": "web", "password_secret": "password"})["changed"]
        assert {one.method for one in google.sent} == {"GET"}
        assert not [one for one in google.sent if one.url.endswith(":access")]

    def test_a_new_version_is_given_to_the_user(self, google, client):
        google.answer("GET", self.WEB, {"name": "web", "project": "p", "instance": "db"})
        google.answer("PUT", USERS, DONE)
        assert users(client, {"name": "web", "password_secret": "password"})["changed"]
        (sent,) = [one for one in google.sent if one.method == "PUT"]
        assert sent.params == {"name": "web"}
        assert sent.body == {"name": "web", "password": "hunter2"}

    def test_roles_are_changed_in_the_query(self, google, client):
        google.answer(
            "GET", self.WEB, {"name": "web", "project": "p", "instance": "db", "databaseRoles": ["a"]}
        )
        google.answer("PUT", USERS, DONE)
        users(client, {"name": "web", "database_roles": ["b"]})
        (sent,) = [one for one in google.sent if one.method == "PUT"]
        assert sent.params == {"name": "web", "databaseRoles": ["b"], "revokeExistingRoles": True}

    def test_appended_roles_revoke_nothing_that_another_site_granted_in_between(self, google, client):
        user = {"name": "web", "project": "p", "instance": "db"}
        google.answer("GET", self.WEB, user, user | {"databaseRoles": ["of-another", "own"]})
        google.answer("PUT", USERS, DONE)
        users(client, {"name": "web", "database_roles": ["own"], "append_roles": True})
        (sent,) = [one for one in google.sent if one.method == "PUT"]
        assert sent.params == {"name": "web", "databaseRoles": ["own"]}

    def test_a_service_account_is_named_without_its_domain(self, google, client):
        google.answer("GET", f"{USERS}/web@p.iam", {"name": "web@p.iam", "type": "CLOUD_IAM_SERVICE_ACCOUNT"})
        user = {"name": "web@p.iam.gserviceaccount.com", "type": "CLOUD_IAM_SERVICE_ACCOUNT"}
        assert not users(client, user)["changed"]

    def test_a_user_is_deleted_by_query(self, google, client):
        google.answer("GET", self.WEB, {"name": "web"})
        google.answer("DELETE", USERS, DONE)
        assert users(client, {"name": "web", "state": "absent"})["changed"]
        assert google.sent[-1].params == {"name": "web"}

    def test_a_secret_without_a_version_is_an_error(self, google, client):
        google.answer("GET", f"{SECRET}/versions/latest", MISSING)
        with pytest.raises(DjangoGcpError) as caught:
            users(client, {"name": "web", "password_secret": "password"})
        assert caught.value.message == (
            "Failed to set the password of SQL user web: the secret password in project p has no enabled newest version. "
            "Add one, for instance with the module org.djangogcp.secretmanager_secrets."
        )

    def test_a_user_with_another_role_than_the_asked_ones_loses_it_when_it_is_made(self, google, client):
        roles = [{"databaseRoles": ["cloudsqlsuperuser", "web"]}, {"databaseRoles": ["web"]}]
        made = [{"name": "web_2", "project": "p", "instance": "db", **one} for one in roles]
        google.answer("GET", f"{USERS}/web_2", MISSING, made[0], made[0], made[1])
        google.answer("POST", USERS, DONE)
        google.answer("PUT", USERS, DONE)
        users(client, {"name": "web_2", "database_roles": ["web"]})
        (sent,) = [one for one in google.sent if one.method == "PUT"]
        assert sent.params == {"name": "web_2", "databaseRoles": ["web"], "revokeExistingRoles": True}

    def test_a_random_password_is_given_once_and_told_to_nobody(self, google, client):
        google.answer("POST", USERS, DONE)
        passwords = []
        for found in ((MISSING, {"name": "web"}), (MISSING, {"name": "web"}), ({"name": "web"},)):
            google.answer("GET", self.WEB, *found)
            google.sent.clear()
            result = users(client, {"name": "web", "random_password": True})
            passwords += [body["password"] for body in google.bodies("POST")]
            assert not [one for one in passwords if one in repr(result)]
            assert not google.bodies("PATCH")
        assert not result["changed"]
        assert len(set(passwords)) == 2
        assert min(map(len, passwords)) >= 40

    PER_VERSION: t.ClassVar = {
        "name": "web",
        "password_secret": "password",
        "per_version": True,
        "database_roles": ["web"],
    }

    def test_each_version_of_a_password_has_a_user_of_its_own(self, google, client):
        google.answer("GET", f"{USERS}/web_2", MISSING, {"name": "web_2", "databaseRoles": ["web"]})
        google.answer("POST", USERS, DONE)
        result = users(client, self.PER_VERSION)
        assert google.bodies("POST") == [
            {"name": "web_2", "type": "BUILT_IN", "password": "hunter2", "databaseRoles": ["web"]}
        ]
        assert (result["users"][0]["name"], result["users"][0]["password_version"]) == ("web_2", "2")
        assert "p/db/web_2 has version 2" in self.annotation(google).values()

    @pytest.mark.parametrize(
        ("newest", "name"), [(MISSING, "web_1"), ({"name": "x/versions/4", "state": "DISABLED"}, "web_5")]
    )
    def test_check_mode_predicts_the_user_of_a_version_that_is_not_there(self, google, client, newest, name):
        google.answer("GET", f"{SECRET}/versions/latest", newest)
        google.answer("GET", f"{USERS}/{name}", MISSING)
        assert users(client, self.PER_VERSION, check_mode=True)["actions"] == [f"create SQL user {name}"]

    def of_versions(self, google, *numbers):
        """The instance has the users of these versions, and others."""
        others = ["web", "web_", "web_x", "web_01", "web_1_web", "a_web_1", "web_web_1", "postgres"]
        names = [*(f"web_{number}" for number in numbers), *others]
        google.answer("GET", USERS, {"items": [{"name": name} for name in names]})
        for number in numbers:
            google.answer("GET", f"{USERS}/web_{number}", {"name": f"web_{number}"})
        google.answer("DELETE", USERS, DONE)

    def deleted(self, google):
        return [one.params["name"] for one in google.sent if one.method == "DELETE"]

    def test_the_users_of_all_versions_are_removed_and_no_others(self, google, client):
        self.of_versions(google, 10, 9, 1)
        result = users(client, {"name": "web", "state": "absent", "per_version": True})
        assert self.deleted(google) == ["web_1", "web_9", "web_10"]
        assert result["actions"] == [f"delete SQL user web_{number}" for number in (1, 9, 10)]

    def test_no_user_is_removed_of_an_instance_that_is_not_there(self, google, client):
        google.answer("GET", USERS, MISSING)
        assert not users(client, {"name": "web", "state": "absent", "per_version": True})["changed"]

    def in_use(self, google, client, version, *, check_mode=False):
        """What is removed when a version is the one in use from now on; the annotations stay with the secret."""
        google.sent.clear()
        user = {
            "name": "web",
            "state": "absent",
            "password_secret": "password",
            "per_version": True,
            "in_use_version": version,
        }
        users(client, user, check_mode=check_mode)
        if google.bodies("PATCH"):
            google.answer("GET", SECRET, {"etag": "e", "annotations": self.annotation(google)})
        return self.deleted(google)

    def test_users_go_when_neither_what_serves_nor_what_served_before_is_theirs(self, google, client):
        self.of_versions(google, 1)
        assert self.in_use(google, client, "1") == [], "the first deploy knows of none before"
        assert ("GET", USERS) not in [(one.method, one.url) for one in google.sent]
        self.of_versions(google, 1, 2)
        assert self.in_use(google, client, "2") == []
        # The deploys of 3 and 4 failed; 6 is being deployed by somebody else.
        self.of_versions(google, 1, 2, 3, 4, 5, 6)
        assert self.in_use(google, client, "5", check_mode=True) == []
        assert self.in_use(google, client, "5") == ["web_1", "web_3", "web_4"]
        assert self.in_use(google, client, "5") == []
        assert google.calls == ["GET password"]

    def test_the_annotations_of_removed_users_go_with_them(self, google, client):
        self.of_versions(google, 1, 2, 3)
        for number in (1, 2, 3):
            newest = {"name": f"x/versions/{number}", "state": "ENABLED"}
            google.answer("GET", f"{SECRET}/versions/latest", newest)
            value = {"payload": {"data": base64.b64encode(b"hunter2").decode()}}
            google.answer("GET", f"{SECRET}/versions/{number}:access", value)
            named = {"name": f"web_{number}", "project": "p", "instance": "db"}
            google.answer("GET", f"{USERS}/web_{number}", named)
            google.answer("PUT", USERS, DONE)
            google.sent.clear()
            users(client, {**self.PER_VERSION, "database_roles": None})
            google.answer("GET", SECRET, {"etag": "e", "annotations": self.annotation(google)})
            self.in_use(google, client, str(number))
        assert sorted(self.annotation(google).values()) == [
            "1",
            "p/db/web is used with version 3",
            "p/db/web_2 has version 2",
            "p/db/web_3 has version 3",
        ]

    def test_a_user_that_owns_something_tells_how_to_let_go_of_it(self, google, client):
        google.answer("GET", self.WEB, {"name": "web"})
        message = 'Invalid request: failed to delete user web: . role "web" cannot be dropped because some objects depend on it.'
        google.answer("DELETE", USERS, (400, {"error": {"code": 400, "message": message}}))
        with pytest.raises(ApiError) as caught:
            users(client, {"name": "web", "state": "absent"})
        assert caught.value.message.endswith(
            "Give what it owns to another user first (REASSIGN OWNED), or drop it."
        )

    @pytest.mark.parametrize(
        ("user", "message"),
        [
            (
                {"random_password": True, "password_secret": "password"},
                "users[0].random_password and users[0].password_secret exclude one another.",
            ),
            (
                {"per_version": True},
                "users[0].per_version is true: expected password_secret as well.",
            ),
            (
                {"per_version": True, "state": "absent", "in_use_version": "1"},
                "users[0].per_version is true: expected password_secret as well.",
            ),
            (
                {"in_use_version": "1"},
                "users[0].in_use_version is set: expected state absent and per_version true as well.",
            ),
        ],
    )
    def test_options_that_do_not_fit_are_refused(self, user, message):
        options = sql_users.ARGUMENT_SPEC["users"]["options"]
        defaults = {name: option.get("default") for name, option in options.items()}
        assert sql_users.check({"users": [{**defaults, "name": "web", **user}], "check_database": None}) == [
            message
        ]

    @pytest.mark.parametrize(
        ("value", "problem"),
        [(b"", "is empty"), (b"caf\xe9", "is not UTF-8"), (b"a\0b", "holds a zero byte")],
    )
    def test_a_value_that_is_no_password_is_told_without_it(self, google, client, value, problem):
        google.answer("GET", self.WEB, MISSING)
        google.answer(
            "GET", f"{SECRET}/versions/2:access", {"payload": {"data": base64.b64encode(value).decode()}}
        )
        with pytest.raises(DjangoGcpError) as caught:
            users(client, {"name": "web", "password_secret": "password"})
        assert caught.value.message == (
            f"Failed to use the value of secret password in project p: version 2 {problem}. Add a version that is a string of at "
            "least one character in UTF-8."
        )
        assert not google.bodies("POST")

    def test_check_mode_works_before_anything_is_there(self, google, client):
        google.answer("GET", f"{SECRET}/versions/latest", MISSING)
        google.answer("GET", self.WEB, MISSING)
        assert users(client, {"name": "web", "password_secret": "password"}, check_mode=True)["changed"]
        assert {one.method for one in google.sent} == {"GET"}


ONE, NONE = {"rows": [{"values": [{"value": "1"}]}]}, {}
STATEMENTS = [
    {"name": "make a", "check": "SELECT a;", "statement": "CREATE a"},
    {"name": "make b", "check": "SELECT b", "statement": "CREATE b"},
]


def statements(client, check_mode=False):
    params = {
        "project": "p",
        "instance": "db",
        "database": "polls",
        "statements": STATEMENTS,
        "variables": {},
    }
    return sql_statements.work(Task(params, client, check_mode))


class TestInterpolation:
    VALUES = {"role": 'o"brien', "text": "it's", "zero": "a\0b", "path": "a\\b'"}

    @pytest.mark.parametrize(
        ("sql", "filled"),
        [
            ('GRANT x TO :"role"', 'GRANT x TO "o""brien"'),
            ("SELECT :'text'", "SELECT 'it''s'"),
            ("GRANT x ON :`role`.* TO y", 'GRANT x ON `o"brien`.* TO y'),
            ("SELECT 'a'::text, :'text'::text", "SELECT 'a'::text, 'it''s'::text"),
            ("SELECT ':role', a[1:2]", "SELECT ':role', a[1:2]"),
            ("SELECT :'path'", "SELECT  E'a\\\\b'''"),
        ],
    )
    def test_values_are_quoted_as_psql_does(self, sql, filled):
        assert interpolated(sql, self.VALUES) == filled

    @pytest.mark.parametrize(
        ("sql", "message"),
        [
            (
                'GRANT x TO :"rule"',
                'The statement uses :"rule" but variables has no rule. Add it, or correct the name.',
            ),
            ("SELECT :'zero'", "The variable zero holds a zero byte. Take it out."),
        ],
    )
    def test_what_cannot_be_filled_in_is_refused(self, sql, message):
        with pytest.raises(DjangoGcpError) as caught:
            interpolated(sql, self.VALUES)
        assert caught.value.message == message


class TestStatements:
    def test_fulfilled_statements_are_one_request(self, google, client):
        google.answer("POST", EXECUTE, {"results": [ONE, ONE]})
        assert not statements(client)["changed"]
        assert google.bodies("POST") == [
            {"database": "polls", "sqlStatement": "SELECT a;\nSELECT b", "autoIamAuthn": True}
        ]

    def test_only_what_is_not_fulfilled_runs(self, google, client):
        google.answer("POST", EXECUTE, {"results": [ONE, NONE]}, {})
        assert statements(client)["actions"] == ["make b"]
        assert google.sent[-1].body["sqlStatement"] == "CREATE b"

    def test_a_statement_that_an_earlier_one_fulfilled_does_not_run(self, google, client):
        google.answer("POST", EXECUTE, {"results": [NONE, NONE]}, {}, {"results": [ONE]})
        assert statements(client)["actions"] == ["make a"]

    def test_a_check_that_needs_an_earlier_statement_is_asked_after_it(self, google, client):
        broken = {"status": {"code": 3, "message": "relation b does not exist"}}
        google.answer("POST", EXECUTE, broken, {"results": [NONE]}, {}, {"results": [NONE]}, {})
        assert statements(client)["actions"] == ["make a", "make b"]

    def test_check_mode_runs_checks_alone(self, google, client):
        google.answer("POST", EXECUTE, {"results": [NONE, ONE]})
        assert statements(client, check_mode=True)["actions"] == ["make a"]
        assert [body["sqlStatement"] for body in google.bodies("POST")] == ["SELECT a;\nSELECT b"]

    def test_check_mode_without_an_instance_runs_everything(self, google, client):
        google.answer("POST", EXECUTE, MISSING)
        assert statements(client, check_mode=True)["actions"] == ["make a", "make b"]

    def test_a_statement_whose_answer_was_lost_runs_again_only_when_it_is_needed(self, google, client):
        done = {"results": [ONE]}
        for after_loss, runs in (([done], 1), ([{"results": [NONE]}, {}], 2)):
            google.sent.clear()
            google.answer("POST", EXECUTE, {"results": [NONE, ONE]}, (503, ""), *after_loss, done)
            assert statements(client)["actions"] == ["make a"]
            assert [one.body["sqlStatement"] for one in google.sent].count("CREATE a") == runs

    def test_a_statement_waits_for_another_run_that_is_in_its_way(self, google, client):
        in_the_way = {"status": {"code": 3, "message": "ERROR: tuple concurrently updated (SQLSTATE XX000)"}}
        google.answer(
            "POST", EXECUTE, {"results": [NONE, ONE]}, in_the_way, {"results": [NONE]}, {}, {"results": [ONE]}
        )
        assert statements(client)["actions"] == ["make a"]

    def test_the_database_says_why_a_statement_failed(self, google, client):
        google.answer(
            "POST",
            EXECUTE,
            {"results": [NONE, ONE]},
            {"status": {"code": 7, "message": "permission denied."}},
        )
        with pytest.raises(DjangoGcpError) as caught:
            statements(client)
        assert caught.value.message == (
            "Failed to make a in database polls of SQL instance db: permission denied."
        )


class TestDatabaseInUse:
    DATABASE = f"{INSTANCE}/databases/site"
    IN_USE = (
        400,
        {
            "error": {
                "code": 400,
                "message": "Invalid request: failed to delete database site. Detail: pq: "
                'database "site" is being accessed by other users.',
                "errors": [{"reason": "invalid"}],
            }
        },
    )

    def absent(self, client, **options):
        params = {
            **dict.fromkeys(sql_database.ARGUMENT_SPEC),
            "state": "absent",
            "name": "site",
            "instance": "db",
            **options,
        }
        return sql_database.work(Task({**params, "project": "p"}, client, False, WAIT))

    def test_it_is_tried_until_nobody_is_connected(self, google, client, fake_clock):
        google.answer("GET", self.DATABASE, {"name": "site"})
        google.answer("DELETE", self.DATABASE, self.IN_USE, self.IN_USE, DONE)
        assert self.absent(client)["changed"]
        assert len(fake_clock.slept) == 2
        assert not google.bodies("POST")

    def test_open_connections_are_closed_from_another_database(self, google, client):
        google.answer("GET", self.DATABASE, {"name": "site"})
        google.answer("DELETE", self.DATABASE, self.IN_USE, DONE)
        google.answer("POST", EXECUTE, {"results": []})
        assert self.absent(client, close_connections=True)["changed"]
        (asked,) = google.bodies("POST")
        assert asked["database"] == "postgres"
        assert 'REVOKE CONNECT ON DATABASE "site" FROM PUBLIC' in asked["sqlStatement"]

    def test_nothing_is_closed_of_what_is_deleted_at_once(self, google, client):
        google.answer("GET", self.DATABASE, {"name": "site"})
        google.answer("DELETE", self.DATABASE, DONE)
        assert self.absent(client, close_connections=True)["changed"]
        assert not google.bodies("POST")

    def test_after_a_minute_it_says_what_to_do_and_what_was_refused(self, google, client, fake_clock, refuse):
        google.answer("GET", self.DATABASE, {"name": "site"})
        google.answer("DELETE", self.DATABASE, self.IN_USE)
        google.answer(
            "POST",
            EXECUTE,
            refuse(
                400,
                "INVALID_ARGUMENT",
                "The instance doesn't allow using executeSql to access this instance.",
            ),
        )
        with pytest.raises(ApiError) as caught:
            self.absent(client, close_connections=True)
        assert 59 < sum(fake_clock.slept) <= 61
        assert caught.value.message.startswith(
            "Failed to delete SQL database site: Invalid request: failed to delete database site."
        )
        assert (
            "Closing them was refused: Failed to close the connections to database site"
            in caught.value.message
        )
        assert "pg_stat_activity" in caught.value.message

    def test_another_refusal_is_told_at_once(self, google, client, fake_clock, refuse):
        google.answer("GET", self.DATABASE, {"name": "site"})
        google.answer(
            "DELETE",
            self.DATABASE,
            refuse(400, "INVALID_ARGUMENT", "Invalid request: must be owner of database site."),
        )
        with pytest.raises(ApiError, match="must be owner"):
            self.absent(client, close_connections=True)
        assert not fake_clock.slept


@pytest.mark.parametrize(
    ("said", "cure"),
    [
        (
            "ERROR: could not extend file: No space left on device (SQLSTATE 53100)",
            "Its disk is full: make it larger",
        ),
        ("Error 1021 (HY000): Disk full (/tmp/x)", "Its disk is full: make it larger"),
        ("FATAL: sorry, too many clients already (SQLSTATE 53300)", "It has no connection left: wait"),
        ('ERROR: relation "x" does not exist (SQLSTATE 42P01)', ""),
    ],
)
def test_what_a_server_refuses_whatever_it_is_asked_is_told_with_a_cure(google, client, said, cure):
    google.answer("POST", EXECUTE, {"status": {"code": 2, "message": said}})
    with pytest.raises(DjangoGcpError) as caught:
        execute_sql(client, "p", "db", "site", "SELECT 1", "look", repeatable=True)
    assert caught.value.message.startswith(f"Failed to look: {said}.")
    assert cure in caught.value.message
    assert caught.value.message.endswith("run again." if cure else ").")
