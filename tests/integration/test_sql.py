"""The modules sql_instance, sql_backup_run, sql_database, sql_database_copy, sql_users and sql_statements on a real PostgreSQL."""

from __future__ import annotations

from typing import Any

import psycopg2
import pytest
from gcp_emulator.databases.postgres.binaries import find_binaries
from gcp_emulator.services.sqladmin.api import SqlAdmin

from tests.integration.cloud import OWNER, PROJECT, REGION, Cloud

if not find_binaries():
    pytest.skip("no PostgreSQL server programs are installed", allow_module_level=True)

URL = f"sqladmin.googleapis.com/v1/projects/{PROJECT}/instances"
INSTANCE = {
    "name": "life",
    "region": REGION,
    "database_version": "POSTGRES_17",
    "edition": "ENTERPRISE",
    "tier": "db-f1-micro",
    "deletion_protection_enabled": True,
    "user_labels": {"site": "polls"},
    "database_flags": {"max_connections": 60},
    "backup_configuration": {"enabled": True, "start_time": "03:00"},
}


def test_the_life_of_an_instance(cloud: Cloud) -> None:
    before = cloud.resources()
    planned = cloud.ok("sql_instance", check=True, **INSTANCE)
    assert planned["actions"] == ["create SQL instance life"]
    assert planned["instance"]["connection_name"] == f"{PROJECT}:{REGION}:life"
    assert cloud.resources() == before

    assert cloud.ok("sql_instance", **INSTANCE)["changed"] is True
    made = cloud.api(f"{URL}/life")
    assert made["state"] == "RUNNABLE"
    assert made["settings"]["databaseFlags"] == [{"name": "max_connections", "value": "60"}]
    assert cloud.sql("life", "postgres", "SHOW max_connections") == [("60",)]
    unchanged = cloud.ok("sql_instance", **INSTANCE)
    assert unchanged["changed"] is False
    assert cloud.ok("sql_instance_info", names=["life", "none"])["instances"] == [unchanged["instance"]]
    assert "life" in [one["name"] for one in cloud.ok("sql_instance_info")["instances"]]

    update = {
        "name": "life",
        "tier": "db-custom-1-3840",
        "database_flags": {"cloudsql.iam_authentication": True},
        "user_labels": {"team": "web"},
        "insights_config": {"query_insights_enabled": True},
    }
    planned = cloud.ok("sql_instance", check=True, **update)
    assert planned["diff"]["before"]["database_flags"] == {"max_connections": "60"}
    assert planned["diff"]["after"] == {
        "tier": "db-custom-1-3840",
        "database_flags": {"cloudsql.iam_authentication": "on"},
        "user_labels": {"team": "web"},
        "insights_config": {"query_insights_enabled": True},
    }
    assert cloud.api(f"{URL}/life")["settings"] == made["settings"]
    assert cloud.ok("sql_instance", **update)["actions"] == ["update SQL instance life"]
    settings = cloud.api(f"{URL}/life")["settings"]
    assert settings["tier"] == "db-custom-1-3840"
    assert settings["databaseFlags"] == [{"name": "cloudsql.iam_authentication", "value": "on"}]
    assert settings["userLabels"] == {"team": "web"}
    assert settings["backupConfiguration"]["startTime"] == "03:00", "not asked, so left alone"
    assert cloud.ok("sql_instance", **update)["changed"] is False

    absent = {"name": "life", "state": "absent"}
    assert cloud.error("sql_instance", **absent).endswith(
        "Set deletion_protection_enabled to false first, if its data may be lost."
    )
    cloud.ok("sql_instance", name="life", deletion_protection_enabled=False)
    assert cloud.ok("sql_instance", **absent)["actions"] == ["delete SQL instance life"]
    assert cloud.absent(f"{URL}/life")
    assert cloud.ok("sql_instance", **absent)["changed"] is False

    message = cloud.error("sql_instance", **INSTANCE)
    assert message.startswith("Failed to create SQL instance life: ")
    assert "(HTTP 409 " in message
    assert message.endswith(
        "The name of a deleted Cloud SQL instance stays locked for one week. Choose another name, or wait until a week "
        "after its deletion."
    )


def test_an_update_that_goes_on_is_waited_for(cloud: Cloud) -> None:
    name = "updating"
    cloud.ok("sql_instance", **{**INSTANCE, "name": name, "deletion_protection_enabled": False})
    cloud.running.plan({"method": "sql.instances.patch", "kind": "operation_hangs"})
    started = cloud.ok("sql_instance", name=name, database_flags={"max_connections": 70}, wait=False)
    assert (started["changed"], started["instance"]["state"]) == (True, "RUNNABLE")
    operation = f"{URL.removesuffix('/instances')}/operations/{started['operation']}"
    waited = cloud.run("sql_instance", name=name, wait_timeout=1)
    assert (waited.failed, waited.values.get("timed_out")) == (True, True)
    assert cloud.api(operation)["status"] != "DONE"
    cloud.running.session(None).delete(f"{cloud.running.proxy}/_emulator/faults")
    assert cloud.ok("sql_instance", name=name)["operation"] == ""
    assert cloud.api(operation)["status"] == "DONE"
    assert cloud.sql(name, "postgres", "SHOW max_connections") == [("70",)]
    cloud.ok("sql_instance", name=name, state="absent")


def test_an_instance_of_mysql_with_a_replica_a_database_and_users(cloud: Cloud) -> None:
    shop = {
        "name": "shop",
        "region": REGION,
        "database_version": "MYSQL_8_0",
        "edition": "ENTERPRISE",
        "tier": "db-n1-standard-1",
        "database_flags": {"slow_query_log": True, "max_connections": 100},
        "backup_configuration": {"enabled": True, "binary_log_enabled": True, "start_time": "03:00"},
        "location_preference": {"zone": f"{REGION}-b"},
        "password_validation_policy": {"enable_password_policy": True, "min_length": 12},
        "user_labels": {"site": "shop"},
    }
    replica = {
        "name": "shop-copy",
        "region": REGION,
        "master_instance_name": "shop",
        "tier": "db-n1-standard-1",
    }
    database = {"instance": "shop", "name": "wares", "charset": "utf8mb4", "collation": "utf8mb4_bin"}
    cloud.ok("secretmanager_secrets", secrets=[{"name": "clerk", "value": "s3cret-Word-1"}])
    clerk = {"name": "clerk", "password_secret": "clerk", "database_roles": ["cloudsqlsuperuser"]}
    here, anywhere = clerk | {"host": "10.0.0.5"}, clerk | {"host": "%"}
    steps: list[tuple[str, dict[str, Any]]] = [
        ("sql_instance", shop),
        ("sql_instance", replica),
        ("sql_database", database),
        ("sql_users", {"instance": "shop", "users": [here, anywhere]}),
    ]
    for again in (False, True):
        assert [cloud.ok(module, **options)["changed"] for module, options in steps] == [not again] * len(
            steps
        )
    assert cloud.api(f"{URL}/shop")["replicaNames"] == ["shop-copy"]
    told = cloud.ok("sql_users_info", instance="shop")["users"]
    assert [(one["name"], one["host"]) for one in told] == [
        ("clerk", ""),
        ("clerk", "10.0.0.5"),
        ("root", ""),
    ]
    assert (
        cloud.ok("sql_database_info", instance="shop", names=["wares"])["databases"][0]["collation"]
        == "utf8mb4_bin"
    )
    cloud.ok("sql_users", instance="shop", users=[{"name": "clerk", "host": "10.0.0.5", "state": "absent"}])
    hosts = [one["host"] for one in cloud.api(f"{URL}/shop/users")["items"]]
    assert hosts == ["", ""]
    cloud.ok("sql_instance", name="shop-copy", state="absent")
    cloud.ok("sql_instance", name="shop", state="absent")


def test_an_instance_with_too_much_to_do_is_asked_again(cloud: Cloud, sql_instance: str) -> None:
    cloud.running.plan({"method": "sql.databases.get", "kind": "too_many_operations", "count": 2})
    assert cloud.ok("sql_database", instance=sql_instance, name="postgres")["changed"] is False
    cloud.running.plan({"method": "sql.databases.insert", "kind": "too_many_operations"})
    assert cloud.ok("sql_database", instance=sql_instance, name="crowded")["changed"] is True


def test_a_backup_is_made_and_waited_for(cloud: Cloud, sql_instance: str) -> None:
    backups = f"{URL}/{sql_instance}/backupRuns"
    asked = {"instance": sql_instance, "description": "before something"}
    planned = cloud.ok("sql_backup_run", check=True, **asked)
    assert planned["actions"] == [f"make a backup of SQL instance {sql_instance}"]
    before = cloud.api(backups).get("items", [])
    made = cloud.ok("sql_backup_run", **asked)
    newest, *others = cloud.api(backups)["items"]
    assert others == before
    assert (newest["id"], newest["status"]) == (made["backup_id"], "SUCCESSFUL")
    assert newest["description"] == "before something"
    assert made["actions"] == [f"make the backup {newest['id']} of SQL instance {sql_instance}"]
    begun = cloud.ok("sql_backup_run", instance=sql_instance, wait=False)["backup_id"]
    # An instance does one thing at a time: the second one is made when that has ended.
    second = cloud.ok("sql_backup_run", instance=sql_instance)["backup_id"]
    assert second != begun
    assert cloud.api(f"{backups}/{begun}")["status"] == "SUCCESSFUL"


def test_backups_on_demand_are_deleted_by_their_ids(cloud: Cloud, sql_instance: str) -> None:
    backups = f"{URL}/{sql_instance}/backupRuns"
    first, second = (cloud.ok("sql_backup_run", instance=sql_instance)["backup_id"] for _ in range(2))
    asked = {"instance": sql_instance, "state": "absent", "backup_ids": [first, "1"]}
    planned = cloud.ok("sql_backup_run", check=True, **asked)
    (action,) = planned["actions"]
    assert action.startswith(f"delete backup {first} of 20")
    assert action.endswith(f" MB) of SQL instance {sql_instance}")
    done = cloud.ok("sql_backup_run", **asked)
    assert done["diff"] == planned["diff"]
    ids = [one["id"] for one in cloud.api(backups)["items"]]
    assert first not in ids
    assert second in ids
    assert cloud.ok("sql_backup_run", **asked)["changed"] is False


def test_the_region_of_an_instance_cannot_change(cloud: Cloud, sql_instance: str) -> None:
    assert cloud.error("sql_instance", name=sql_instance, region="europe-west1") == (
        f"Failed to update SQL instance {sql_instance}: Google Cloud cannot change region from 'us-central1' to "
        "'europe-west1'. Make an instance with another name and move the data, or ask for what is there."
    )


def test_a_tier_that_the_edition_does_not_have_is_refused(cloud: Cloud) -> None:
    before = cloud.resources()
    asked = {**INSTANCE, "name": "unfit", "tier": "db-perf-optimized-N-2"}
    message = cloud.error("sql_instance", **asked)
    assert message.startswith("Failed to create SQL instance unfit: ")
    assert "db-perf-optimized-N-2" in message
    assert cloud.resources() == before


def test_the_life_of_a_database(cloud: Cloud, sql_instance: str) -> None:
    before, asked = cloud.resources(), {"instance": sql_instance, "name": "polls"}
    assert cloud.ok("sql_database", check=True, **asked)["actions"] == ["create SQL database polls"]
    assert cloud.resources() == before
    assert cloud.ok("sql_database", **asked)["changed"] is True
    databases = "SELECT count(*) FROM pg_database WHERE datname = 'polls'"
    assert cloud.sql(sql_instance, "postgres", databases) == [(1,)]
    unchanged = cloud.ok("sql_database", **asked)
    assert unchanged["changed"] is False
    told = cloud.ok("sql_database_info", instance=sql_instance)["databases"]
    assert unchanged["database"] in told
    assert "postgres" in [one["name"] for one in told]
    assert cloud.ok("sql_database_info", instance="none")["databases"] == []
    assert cloud.ok("sql_database", **asked, charset="utf8")["changed"] is False
    assert cloud.error("sql_database", **asked, charset="LATIN1") == (
        "Failed to update SQL database polls: Google Cloud cannot change charset from 'UTF8' to 'LATIN1'. Ask for what "
        "is there, or delete the SQL database and run again to make it anew."
    )
    assert cloud.ok("sql_database", **asked, state="absent")["actions"] == ["delete SQL database polls"]
    assert cloud.sql(sql_instance, "postgres", databases) == [(0,)]
    assert cloud.ok("sql_database", **asked, state="absent")["changed"] is False


def connected(cloud: Cloud, instance: str, database: str, user: str) -> psycopg2.extensions.connection:
    """A connection of a user of the database, as an instance of the site holds one."""
    port = cloud.running.emulator.service(SqlAdmin).servers[f"{PROJECT}/{instance}"].port
    return psycopg2.connect(host="127.0.0.1", port=port, dbname=database, user=user, password="held-open")


def test_a_database_is_deleted_although_somebody_is_connected(
    cloud: Cloud, sql_instance: str, database: dict[str, str]
) -> None:
    asked = {"instance": sql_instance, "name": "held"}
    cloud.ok("sql_database", **asked)
    user = "CREATE ROLE holder LOGIN PASSWORD 'held-open'; GRANT CONNECT ON DATABASE held TO holder; SELECT 1"
    cloud.sql(sql_instance, "postgres", user)
    connection = connected(cloud, sql_instance, "held", "holder")
    assert cloud.ok("sql_database", check=True, **asked, state="absent")["changed"] is True
    done = cloud.ok("sql_database", **asked, state="absent", close_connections=True)
    assert done["actions"] == ["delete SQL database held"]
    with pytest.raises(psycopg2.OperationalError), connection.cursor() as cursor:
        cursor.execute("SELECT 1")
    there = "DROP ROLE holder; SELECT count(*) FROM pg_database WHERE datname = 'held'"
    assert cloud.sql(sql_instance, "postgres", there) == [(0,)]


def may_log_in(cloud: Cloud, instance: str, user: str, password: str) -> bool:
    """Whether the server accepts a password, over TCP as the Cloud SQL proxy would bring it."""
    port = cloud.running.emulator.service(SqlAdmin).servers[f"{PROJECT}/{instance}"].port
    try:
        psycopg2.connect(host="127.0.0.1", port=port, dbname="postgres", user=user, password=password).close()
    except psycopg2.OperationalError as error:
        if "password authentication failed" not in str(error):
            raise
        return False
    return True


def roles(cloud: Cloud, instance: str, user: str) -> list[str]:
    """The roles that a user is a member of."""
    rows = cloud.sql(
        instance,
        "postgres",
        "SELECT r.rolname FROM pg_auth_members m JOIN pg_roles r ON r.oid = m.roleid JOIN pg_roles u ON u.oid = m.member "
        f"WHERE u.rolname = '{user}' ORDER BY 1",
    )
    return [row[0] for row in rows]


def test_the_life_of_a_user(cloud: Cloud, sql_instance: str) -> None:
    old, new = "oldpasswordofauser", "newpasswordofauser"
    cloud.ok("secretmanager_secrets", secrets=[{"name": "user-password", "value": old}])

    def user(**options: Any) -> dict[str, Any]:
        return {"instance": sql_instance, "users": [{"name": "polls_web", **options}]}

    before, asked = cloud.resources(), user(password_secret="user-password")
    planned = cloud.ok("sql_users", check=True, **asked)
    assert planned["actions"] == ["create SQL user polls_web"]
    assert cloud.resources() == before
    assert cloud.ok("sql_users", **asked)["users"][0]["password_version"] == "1"
    (told,) = cloud.ok("sql_users_info", instance=sql_instance, names=["polls_web"])["users"]
    assert (told["name"], told["type"]) == ("polls_web", "BUILT_IN")
    assert told in cloud.ok("sql_users_info", instance=sql_instance)["users"]
    assert may_log_in(cloud, sql_instance, "polls_web", old)
    assert cloud.ok("sql_users", **asked)["changed"] is False

    cloud.ok("secretmanager_secrets", secrets=[{"name": "user-password", "value": new}])
    planned = cloud.ok("sql_users", check=True, **asked)
    assert planned["diff"][0]["after"]["password"] == "******** (new)"
    assert may_log_in(cloud, sql_instance, "polls_web", old)
    assert cloud.ok("sql_users", **asked)["actions"] == ["update SQL user polls_web"]
    assert may_log_in(cloud, sql_instance, "polls_web", new)
    assert not may_log_in(cloud, sql_instance, "polls_web", old)
    assert cloud.ok("sql_users", **asked)["changed"] is False

    assert cloud.error("sql_users", **user(type="CLOUD_IAM_USER")) == (
        "Failed to update SQL user polls_web: Google Cloud cannot change type from 'BUILT_IN' to 'CLOUD_IAM_USER'. Delete "
        "the user and run again to make it anew; what it owns must belong to somebody else first."
    )
    assert cloud.ok("sql_users", **user(state="absent"))["actions"] == ["delete SQL user polls_web"]
    count = "SELECT count(*) FROM pg_roles WHERE rolname = 'polls_web'"
    assert cloud.sql(sql_instance, "postgres", count) == [(0,)]
    assert cloud.ok("sql_users", **user(state="absent"))["changed"] is False
    assert cloud.never_printed(old)
    assert cloud.never_printed(new)


def test_a_user_for_each_version_of_a_password(cloud: Cloud, sql_instance: str) -> None:
    passwords = [
        "first-of-versions/#@?%",
        "second-of-versions \N{LATIN SMALL LETTER E WITH ACUTE}\n",
        "third-of-versions",
    ]
    group = {"name": "shop_web", "random_password": True, "database_roles": []}
    each = {
        "name": "shop_web",
        "password_secret": "shop-password",
        "per_version": True,
        "database_roles": ["shop_web"],
    }
    removed = {"name": "shop_web", "state": "absent", "password_secret": "shop-password", "per_version": True}

    def ensure(*users: dict[str, Any], **options: Any) -> Any:
        return cloud.ok("sql_users", instance=sql_instance, users=list(users), **options)

    def there() -> list[str]:
        names = "SELECT rolname FROM pg_roles WHERE rolname ~ '^shop_web' ORDER BY 1"
        return [row[0] for row in cloud.sql(sql_instance, "postgres", names)]

    for number, password in enumerate(passwords, 1):
        cloud.ok("secretmanager_secrets", secrets=[{"name": "shop-password", "value": password}])
        planned = ensure(group, each, check=True)
        assert planned["actions"][-1] == f"create SQL user shop_web_{number}"
        assert ensure(group, each)["users"][1]["name"] == f"shop_web_{number}"
        assert ensure(group, each)["changed"] is False
        assert may_log_in(cloud, sql_instance, f"shop_web_{number}", password)
        assert may_log_in(cloud, sql_instance, "shop_web_1", passwords[0]), "its password never changes"
        assert roles(cloud, sql_instance, f"shop_web_{number}") == ["shop_web"]
    assert roles(cloud, sql_instance, "shop_web") == []
    inherits = "SELECT pg_has_role('shop_web_3', 'shop_web', 'USAGE'), pg_has_role('shop_web', 'cloudsqlsuperuser', 'MEMBER')"
    assert cloud.sql(sql_instance, "postgres", inherits) == [(True, False)]

    assert ensure({**removed, "in_use_version": "1"})["changed"] is False
    planned = ensure({**removed, "in_use_version": "3"}, check=True)
    assert planned["actions"] == ["delete SQL user shop_web_2"]
    assert there() == ["shop_web", "shop_web_1", "shop_web_2", "shop_web_3"]
    assert ensure({**removed, "in_use_version": "3"})["actions"] == ["delete SQL user shop_web_2"]
    assert ensure({**removed, "in_use_version": "3"})["changed"] is False
    assert there() == ["shop_web", "shop_web_1", "shop_web_3"]
    annotations = cloud.api(f"secretmanager.googleapis.com/v1/projects/{PROJECT}/secrets/shop-password")[
        "annotations"
    ]
    assert sorted(text.partition(f"{sql_instance}/")[2] for text in annotations.values()) == [
        "shop_web is used with version 3",
        "shop_web_1 has version 1",
        "shop_web_3 has version 3",
    ]
    # As when a run ended between making the user and writing it down: it is given the same password again.
    body = {"annotations": {}}
    url = f"secretmanager.googleapis.com/v1/projects/{PROJECT}/secrets/shop-password?updateMask=annotations"
    cloud.api(url, method="PATCH", body=body)
    assert ensure(group, each)["actions"] == ["update SQL user shop_web_3"]
    assert may_log_in(cloud, sql_instance, "shop_web_3", passwords[2])
    assert ensure(group, each)["changed"] is False

    everything = [
        {"name": "shop_web", "state": "absent", "per_version": True},
        {"name": "shop_web", "state": "absent"},
    ]
    assert ensure(*everything)["changed"] is True
    assert there() == []
    assert ensure(*everything)["changed"] is False
    assert [password for password in passwords if not cloud.never_printed(password.strip())] == []


def test_the_password_secret_of_a_user_must_have_a_version(cloud: Cloud, sql_instance: str) -> None:
    cloud.ok("secretmanager_secrets", secrets=[{"name": "empty-password"}])
    users = [{"name": "unlucky", "password_secret": "empty-password"}]
    assert cloud.error("sql_users", instance=sql_instance, users=users) == (
        f"Failed to set the password of SQL user unlucky: the secret empty-password in project {PROJECT} has no enabled "
        "newest version. Add one, for instance with the module org.djangogcp.secretmanager_secrets."
    )


def test_the_user_of_a_service_account_gets_its_roles(cloud: Cloud, sql_instance: str) -> None:
    account = f"deployer@{PROJECT}.iam.gserviceaccount.com"
    cloud.ok("iam_service_accounts", service_accounts=[{"name": "deployer"}])
    user = {"name": account, "type": "CLOUD_IAM_SERVICE_ACCOUNT", "database_roles": ["cloudsqlsuperuser"]}
    assert cloud.ok("sql_users", instance=sql_instance, users=[user])["changed"] is True
    assert "cloudsqlsuperuser" in roles(cloud, sql_instance, f"deployer@{PROJECT}.iam")
    assert cloud.ok("sql_users", instance=sql_instance, users=[user])["changed"] is False


@pytest.fixture(scope="module")
def database(cloud: Cloud, sql_instance: str) -> dict[str, str]:
    """A database in which the owner may run statements."""
    cloud.ok("sql_database", instance=sql_instance, name="statements")
    user = {"name": OWNER, "type": "CLOUD_IAM_USER", "database_roles": ["cloudsqlsuperuser"]}
    cloud.ok("sql_users", instance=sql_instance, users=[user])
    return {"instance": sql_instance, "database": "statements"}


def test_a_statement_runs_once(cloud: Cloud, database: dict[str, str]) -> None:
    statement = {
        "name": "create the extension unaccent",
        "check": "SELECT 1 FROM pg_extension WHERE extname = 'unaccent'",
        "statement": "CREATE EXTENSION unaccent",
    }
    dependent = {
        "name": "make a table",
        "check": "SELECT 1 FROM pg_tables WHERE tablename = 'words'",
        "statement": "CREATE TABLE words (word text DEFAULT unaccent('é'))",
    }
    asked = {**database, "statements": [statement, dependent]}
    planned = cloud.ok("sql_statements", check=True, **asked)
    assert planned["actions"] == ["create the extension unaccent", "make a table"]
    extensions = "SELECT count(*) FROM pg_extension WHERE extname = 'unaccent'"
    assert cloud.sql(*database.values(), extensions) == [(0,)]
    assert cloud.ok("sql_statements", **asked)["changed"] is True
    assert cloud.sql(*database.values(), extensions) == [(1,)]
    assert cloud.sql(*database.values(), "SELECT count(*) FROM words") == [(0,)]
    assert cloud.ok("sql_statements", **asked)["changed"] is False


def test_a_statement_that_the_database_refuses_is_explained(cloud: Cloud, database: dict[str, str]) -> None:
    wrong = {"name": "drop it", "check": "SELECT 1 WHERE false", "statement": "DROP TABLE nowhere"}
    message = cloud.error("sql_statements", **database, statements=[wrong])
    assert message.startswith("Failed to drop it in database statements of SQL instance shared: ")
    assert 'table "nowhere" does not exist' in message


def test_a_missing_database_is_named(cloud: Cloud, database: dict[str, str]) -> None:
    asked = {"name": "look", "check": "SELECT 1", "statement": "SELECT 2"}
    message = cloud.error(
        "sql_statements", instance=database["instance"], database="nowhere", statements=[asked]
    )
    assert message.startswith("Failed to check whether to look in database nowhere of SQL instance shared: ")
    assert "nowhere" in message.partition(": ")[2]


def test_a_database_is_copied_into_an_empty_one(cloud: Cloud) -> None:
    # The newest one of which every distribution that has a server has pg_dump, too.
    instance = "copied"
    asked_of_it = {
        **INSTANCE,
        "name": instance,
        "database_version": "POSTGRES_15",
        "deletion_protection_enabled": False,
    }
    cloud.ok("sql_instance", **asked_of_it, data_api_access="ALLOW_DATA_API")
    flag = {"cloudsql.iam_authentication": True}
    cloud.ok("sql_instance", name=instance, database_flags=flag)
    operator = {"name": OWNER, "type": "CLOUD_IAM_USER", "database_roles": ["cloudsqlsuperuser"]}
    bucket, user = f"{PROJECT}-copies", {"name": "copier", "random_password": True}
    for name in ("template", "filled"):
        cloud.ok("sql_database", instance=instance, name=name)
    cloud.ok("sql_users", instance=instance, users=[user, operator])
    make = {
        "name": "make it",
        "check": "SELECT 1 FROM pg_tables WHERE tablename = 'words'",
        "statement": "CREATE TABLE words (word text); INSERT INTO words VALUES ('one'), ('two')",
    }
    give = {
        "name": "give it",
        "check": "SELECT 1 WHERE false",
        "statement": "GRANT CREATE ON SCHEMA public TO copier",
    }
    cloud.ok("sql_statements", instance=instance, database="template", statements=[make])
    cloud.ok("sql_statements", instance=instance, database="filled", statements=[give])
    cloud.ok("storage_buckets", buckets=[{"name": bucket, "location": REGION}])
    asked = {
        "instance": instance,
        "source": "template",
        "target": "filled",
        "import_user": "copier",
        "bucket": bucket,
    }
    refused = cloud.error("sql_database_copy", **asked, timeout_seconds=1)
    assert "The service account does not have the required permissions for the bucket" in refused
    agent = cloud.api(f"{URL}/{instance}")["serviceAccountEmailAddress"]
    grant = {
        "resource_type": "bucket",
        "resource": bucket,
        "role": "roles/storage.objectAdmin",
        "members": [f"serviceAccount:{agent}"],
    }
    cloud.ok("iam_members", members=[grant])
    planned = cloud.ok("sql_database_copy", check=True, **asked)
    done = cloud.ok("sql_database_copy", **asked)
    assert (
        planned["actions"]
        == done["actions"]
        == [f"copy database template of SQL instance {instance} into filled"]
    )
    assert cloud.ok("sql_database_copy", **asked)["changed"] is False
    found = {
        "name": "look",
        "check": "SELECT 1 FROM pg_tables WHERE tablename = 'words' AND tableowner = 'copier'",
        "statement": "SELECT 1",
    }
    assert (
        cloud.ok("sql_statements", check=True, instance=instance, database="filled", statements=[found])[
            "changed"
        ]
        is False
    )
    listed = cloud.api(f"storage.googleapis.com/storage/v1/b/{bucket}/o")
    assert "items" not in listed, "nothing of it is left in the bucket"
