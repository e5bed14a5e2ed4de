"""Databases, users and SQL of an instance over HTTP; what happened is read from PostgreSQL itself."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psycopg2
import pytest
from gcp_emulator.databases.postgres import roles
from gcp_emulator.databases.postgres.binaries import find_binaries
from gcp_emulator.services.sqladmin.api import SqlAdmin

from emulator.tests.running import PROJECT, RunningEmulator
from emulator.tests.services.sqladmin.test_api import HOST, Sql

if not find_binaries():
    pytest.skip("no PostgreSQL server programs are installed", allow_module_level=True)

DEPLOYER = "serviceAccount:deployer@other-project.iam.gserviceaccount.com"
ROLE = "deployer@other-project.iam"
IAM_FLAG = [{"name": "cloudsql.iam_authentication", "value": "on"}]


@pytest.fixture(scope="module")
def sql() -> Iterator[Sql]:
    """An emulator with the instance ``main``, open to executeSql and IAM users."""
    state = Path(tempfile.mkdtemp(prefix="sqladmin-test-"))
    running = RunningEmulator(state)
    calls = Sql(running)
    calls.create("main", dataApiAccess="ALLOW_DATA_API", databaseFlags=IAM_FLAG)
    running.grant(f"projects/{PROJECT}", "roles/owner", DEPLOYER)
    yield calls
    running.stop()
    shutil.rmtree(state)


@pytest.fixture
def database(sql: Sql) -> Iterator[str]:
    sql.do("POST", "instances/main/databases", {"name": "site"})
    yield "site"
    with server(sql).connect() as connection, connection.cursor() as cursor:
        cursor.execute("DROP DATABASE IF EXISTS site")


@pytest.fixture
def deployer(sql: Sql) -> Iterator[str]:
    user = {"name": ROLE, "type": "CLOUD_IAM_SERVICE_ACCOUNT", "databaseRoles": ["cloudsqlsuperuser"]}
    sql.do("POST", "instances/main/users", user)
    yield ROLE
    with server(sql).connect() as connection, connection.cursor() as cursor:
        cursor.execute("DROP DATABASE IF EXISTS site")
        cursor.execute(f'DROP ROLE IF EXISTS "{ROLE}"')


def server(sql: Sql) -> Any:
    return sql.running.emulator.service(SqlAdmin).servers[f"{PROJECT}/main"]


def can_log_in(sql: Sql, user: str, password: str) -> bool:
    try:
        with server(sql).connect("postgres", user, password):
            return True
    except psycopg2.OperationalError:
        return False


def execute(sql: Sql, statement: str, member: str = DEPLOYER, **body: Any) -> Any:
    payload = {"database": "site", "sqlStatement": statement, "autoIamAuthn": True} | body
    return sql.running.session(member).post(
        f"{HOST}/v1/projects/{PROJECT}/instances/main/executeSql", json=payload
    )


# Databases -----------------------------------------------------------------------------------------------------------


def test_a_database_is_made_in_postgresql_and_dropped_there(sql: Sql) -> None:
    operation = sql.do("POST", "instances/main/databases", {"name": "polls"})
    assert operation["operationType"] == "CREATE_DATABASE"
    database = sql("GET", "instances/main/databases/polls")
    assert database.pop("etag")
    assert database == {
        "kind": "sql#database",
        "name": "polls",
        "charset": "UTF8",
        "collation": "en_US.UTF8",
        "instance": "main",
        "project": PROJECT,
        "selfLink": f"{HOST}/v1/projects/{PROJECT}/instances/main/databases/polls",
    }
    owner = "SELECT datdba::regrole::text FROM pg_database WHERE datname = 'polls'"
    assert sql.query("main", owner) == "cloudsqlsuperuser"
    assert [one["name"] for one in sql("GET", "instances/main/databases")["items"]] == ["polls", "postgres"]
    sql.do("DELETE", "instances/main/databases/polls")
    assert sql.query("main", owner) is None
    assert sql.error("GET", "instances/main/databases/polls") == (404, "Not Found", "notFound")


def test_a_database_that_exists_is_refused_and_the_instance_stays_usable(sql: Sql, database: str) -> None:
    assert sql.error("POST", "instances/main/databases", {"name": database}) == (
        400,
        'Invalid request: failed to create database site. Detail: pq: database "site" already exists.',
        "invalid",
    )
    assert sql("GET", "instances/main/databases/site")["name"] == database


def test_an_operation_that_a_full_disk_did_not_let_begin_leaves_the_instance_idle(sql: Sql) -> None:
    sql.running.plan({"method": "sql.databases.insert", "kind": "disk_full"})
    code, _message, _reason = sql.error("POST", "instances/main/databases", {"name": "polls"})
    assert code == 500
    assert sql.do("DELETE", "instances/main/databases/polls")["operationType"] == "DELETE_DATABASE"


def test_the_api_does_not_drop_what_somebody_is_connected_to(sql: Sql, database: str) -> None:
    with server(sql).connect(database):
        assert sql.error("DELETE", f"instances/main/databases/{database}") == (
            400,
            'Invalid request: failed to delete database site. Detail: pq: database "site" is being accessed by other users.',
            "invalid",
        )
    sql.do("DELETE", f"instances/main/databases/{database}")


def test_the_api_does_not_drop_what_a_user_owns(sql: Sql, database: str) -> None:
    sql.do("POST", "instances/main/users", {"name": "owner", "password": "x"})
    with server(sql).connect() as connection, connection.cursor() as cursor:
        cursor.execute(f"ALTER DATABASE {database} OWNER TO owner")
    assert sql.error("DELETE", f"instances/main/databases/{database}") == (
        400,
        'Invalid request: failed to delete database "site". Detail: pq: must be owner of database site. (Please use psql '
        'client to delete database that is not owned by "cloudsqlsuperuser").',
        "invalid",
    )
    with server(sql).connect() as connection, connection.cursor() as cursor:
        cursor.execute(f"ALTER DATABASE {database} OWNER TO cloudsqlsuperuser")
    sql.do("DELETE", "instances/main/users", name="owner")


def test_the_collation_of_a_database_is_fixed(sql: Sql, database: str) -> None:
    assert sql.error("PATCH", f"instances/main/databases/{database}", {"collation": "C"}) == (
        400, "Invalid request: The collation of a PostgreSQL database cannot be changed.", "invalid",
    )  # fmt: skip
    sql.do("PATCH", f"instances/main/databases/{database}", {"collation": "en_US.UTF8"})


# Users ---------------------------------------------------------------------------------------------------------------


def test_a_user_logs_in_with_the_password_given_last(sql: Sql) -> None:
    operation = sql.do("POST", "instances/main/users", {"name": "app", "password": "first"})
    assert operation["operationType"] == "CREATE_USER"
    assert can_log_in(sql, "app", "first")
    sql.do("PUT", "instances/main/users", {"password": "second"}, name="app")
    assert can_log_in(sql, "app", "second")
    assert not can_log_in(sql, "app", "first")
    user = sql("GET", "instances/main/users/app")
    assert user.pop("etag")
    assert user == {
        "kind": "sql#user",
        "name": "app",
        "host": "",
        "iamStatus": "IAM_STATUS_UNSPECIFIED",
        "instance": "main",
        "passwordPolicy": {"status": {}},
        "project": PROJECT,
        "databaseRoles": ["cloudsqlsuperuser"],
    }
    sql.do("DELETE", "instances/main/users", name="app")
    assert sql.query("main", "SELECT count(*) FROM pg_roles WHERE rolname = 'app'") == 0
    assert sql.error("GET", "instances/main/users/app") == (
        404,
        "The user app does not exist.",
        "userDoesNotExist",
    )


def test_database_roles_replace_the_default_and_can_be_changed(sql: Sql) -> None:
    sql.do(
        "POST",
        "instances/main/users",
        {"name": "web", "password": "x", "databaseRoles": ["pg_read_all_data"]},
    )
    assert sql("GET", "instances/main/users/web")["databaseRoles"] == ["pg_read_all_data"]
    sql.do(
        "PUT",
        "instances/main/users",
        {},
        name="web",
        databaseRoles=["pg_monitor"],
        revokeExistingRoles="true",
    )
    assert sql("GET", "instances/main/users/web")["databaseRoles"] == ["pg_monitor"]
    sql.do("DELETE", "instances/main/users", name="web")
    assert sql.error("POST", "instances/main/users", {"name": "web", "databaseRoles": ["missing"]}) == (
        400, 'Invalid request: failed to create user web: . role "missing" does not exist.', "invalid",
    )  # fmt: skip


def test_an_empty_list_of_roles_is_none_and_the_default_applies_until_it_is_revoked(sql: Sql) -> None:
    sql.do("POST", "instances/main/users", {"name": "web", "password": "x", "databaseRoles": []})
    assert sql("GET", "instances/main/users/web")["databaseRoles"] == ["cloudsqlsuperuser"]
    sql.do("PUT", "instances/main/users", {}, name="web", revokeExistingRoles="true")
    assert "databaseRoles" not in sql("GET", "instances/main/users/web")
    createrole = "SELECT rolcreaterole FROM pg_roles WHERE rolname = 'web'"
    assert sql.query("main", createrole) is False
    sql.do("DELETE", "instances/main/users", name="web")


def test_a_user_who_owns_something_is_not_deleted(sql: Sql, database: str) -> None:
    sql.do("POST", "instances/main/users", {"name": "keeper", "password": "x"})
    with server(sql).connect(database) as connection, connection.cursor() as cursor:
        cursor.execute("CREATE TABLE kept (); ALTER TABLE kept OWNER TO keeper")
    assert sql.error("DELETE", "instances/main/users", name="keeper") == (
        400,
        'Invalid request: failed to delete user keeper: . role "keeper" cannot be dropped because some objects depend on it '
        "Details: 1 object in database site.",
        "invalid",
    )
    with server(sql).connect(database) as connection, connection.cursor() as cursor:
        cursor.execute("DROP TABLE kept")
    sql.do("DELETE", "instances/main/users", name="keeper")


@pytest.mark.parametrize(
    ("body", "message"),
    [
        ({"password": "x"}, "For IAM users, password or hostname should not be specified."),
        (
            {"name": ROLE + ".gserviceaccount.com"},
            f"Invalid IAM user name ({ROLE}.gserviceaccount.com): the suffix .gserviceaccount.com must be omitted.",
        ),
        ({"name": "deployer"}, "Invalid IAM user name (deployer): a lower case e-mail address is expected."),
    ],
)
def test_iam_users_have_a_form(sql: Sql, body: dict[str, str], message: str) -> None:
    user = {"name": ROLE, "type": "CLOUD_IAM_SERVICE_ACCOUNT"} | body
    assert sql.error("POST", "instances/main/users", user) == (400, f"Invalid request: {message}", "invalid")


def test_passwords_are_neither_stored_nor_logged_nor_shown(sql: Sql) -> None:
    secret = "Unmistakable-7391"
    sql.do("POST", "instances/main/users", {"name": "hidden", "password": secret})
    sql.do("PUT", "instances/main/users", {"password": secret + "b"}, name="hidden")
    assert secret not in str(sql("GET", "instances/main/users"))
    sql.do("DELETE", "instances/main/users", name="hidden")
    state = sql.running.emulator.settings.state
    files = [path for path in (state / "sql").rglob("*") if path.is_file() and "programs" not in path.parts]
    files += list(state.glob("store.sqlite*"))
    assert len(files) > 100
    assert [path for path in files if secret.encode() in path.read_bytes()] == []


def test_a_server_that_goes_away_is_no_fault_of_the_caller(sql: Sql, monkeypatch: pytest.MonkeyPatch) -> None:
    """A caller may try again, and reads why."""

    def lost(cluster: Any) -> None:
        raise psycopg2.OperationalError("server closed the connection unexpectedly")

    monkeypatch.setattr(roles, "list_databases", lost)
    status, message, _reason = sql.error("GET", "instances/main/databases")
    assert status == 503
    assert message.startswith(
        "The PostgreSQL server of the instance went away (server closed the connection unexpectedly). Its last words: "
    )
    assert message.endswith(server(sql).last_words())


# executeSql ----------------------------------------------------------------------------------------------------------


def test_sql_runs_as_the_callers_iam_user(sql: Sql, database: str, deployer: str) -> None:
    statement = "SELECT session_user::text AS who, NULL::int AS nothing; CREATE EXTENSION pg_trgm; SELECT 1 WHERE false"
    answer = execute(sql, statement)
    assert answer.status_code == 200, answer.text
    body = answer.json()
    assert body["results"] == [
        {
            "message": "SELECT 1",
            "columns": [{"name": "who", "type": "TEXT"}, {"name": "nothing", "type": "INT4"}],
            "rows": [{"values": [{"value": ROLE}, {"nullValue": True}]}],
        },
        {"message": "CREATE EXTENSION"},
        {"message": "SELECT 0", "columns": [{"name": "?column?", "type": "INT4"}]},
    ]
    assert body["metadata"]["sqlStatementExecutionTime"].endswith("s")
    assert "status" not in body
    assert sql.query("main", "SELECT count(*) FROM pg_extension WHERE extname = 'pg_trgm'", database) == 1


def test_the_grants_of_a_deploy_work_for_a_cloudsqlsuperuser(sql: Sql, database: str, deployer: str) -> None:
    for name in ("site_migrator", "site_web"):
        sql.do(
            "POST", "instances/main/users", {"name": name, "password": "x", "databaseRoles": ["pg_monitor"]}
        )
    statements = f"""
        GRANT CONNECT ON DATABASE site TO site_web;
        GRANT ALL ON SCHEMA public TO site_migrator;
        GRANT USAGE ON SCHEMA public TO site_web;
        GRANT site_migrator TO "{ROLE}";
        ALTER DEFAULT PRIVILEGES FOR ROLE site_migrator IN SCHEMA public
            GRANT SELECT, INSERT, UPDATE, DELETE ON TABLES TO site_web;
    """
    answer = execute(sql, statements).json()
    assert "status" not in answer, answer
    with server(sql).connect(database, "site_migrator", "x") as connection, connection.cursor() as cursor:
        cursor.execute("CREATE TABLE vote (i int)")
    with server(sql).connect(database, "site_web", "x") as connection, connection.cursor() as cursor:
        cursor.execute("INSERT INTO vote VALUES (1)")
        with pytest.raises(psycopg2.errors.InsufficientPrivilege):
            cursor.execute("CREATE TABLE denied ()")
    with server(sql).connect() as connection, connection.cursor() as cursor:
        cursor.execute("DROP DATABASE site")
    for name in ("site_migrator", "site_web"):
        sql.do("DELETE", "instances/main/users", name=name)


def test_an_error_of_the_database_is_in_the_status_and_nothing_remains(
    sql: Sql, database: str, deployer: str
) -> None:
    body = execute(sql, "CREATE TABLE half (); SELECT * FROM missing").json()
    assert body["status"] == {
        "code": 3,
        "message": 'ERROR: relation "missing" does not exist (SQLSTATE 42P01)',
    }
    assert "results" not in body
    assert sql.query("main", "SELECT to_regclass('half')", database) is None
    denied = execute(sql, "CREATE ROLE boss SUPERUSER").json()["status"]
    assert denied["code"] == 7
    assert "superuser" in denied["message"].lower()


def test_notices_are_messages(sql: Sql, database: str, deployer: str) -> None:
    assert execute(sql, "DROP TABLE IF EXISTS nothing").json()["messages"] == [
        {"message": 'NOTICE: table "nothing" does not exist, skipping (SQLSTATE 00000)', "severity": "NOTICE"}
    ]


def test_rows_are_limited_on_request(sql: Sql, database: str, deployer: str) -> None:
    body = execute(sql, "SELECT generate_series(1, 5) AS n", rowLimit="2").json()
    assert [row["values"][0]["value"] for row in body["results"][0]["rows"]] == ["1", "2"]


def test_more_than_ten_megabytes_are_an_error_or_partial(sql: Sql, database: str, deployer: str) -> None:
    large = "SELECT repeat('x', 1000000) FROM generate_series(1, 12)"
    answer = execute(sql, large)
    assert answer.status_code == 400
    assert (
        answer.json()["error"]["message"]
        == "Invalid request: The result of the SQL statements exceeds 10 MB."
    )
    result = execute(sql, large, partialResultMode="ALLOW_PARTIAL_RESULT").json()["results"][0]
    assert result["partialResult"] is True
    assert len(result["rows"]) == 10


def test_a_caller_who_is_no_user_of_the_database_is_refused(sql: Sql, database: str) -> None:
    answer = execute(sql, "SELECT 1", "user:owner@example.com")
    assert answer.status_code == 400
    assert answer.json()["error"]["message"] == (
        'Invalid request: failed to connect to the database: password authentication failed for user "owner@example.com".'
    )


def test_a_password_in_a_regional_secret_logs_a_built_in_user_in(sql: Sql, database: str) -> None:
    sql.do("POST", "instances/main/users", {"name": "app", "password": "s3cret"})
    name = f"projects/{PROJECT}/locations/europe-west1/secrets/app/versions/1"
    store = sql.running.context.store
    sql.running.call(
        store.collection("secretmanager.secrets").put, name.rpartition("/versions/")[0], {"lastVersion": 1}
    )
    sql.running.call(
        store.collection("secretmanager.versions").put, name, {"state": "ENABLED", "data": "czNjcmV0"}
    )
    login = {"autoIamAuthn": False, "user": "app"}
    body = execute(sql, "SELECT session_user::text", passwordSecretVersion=name, **login).json()
    assert body["results"][0]["rows"] == [{"values": [{"value": "app"}]}]
    wrong = name.replace("europe-west1", "us-central1")
    assert execute(sql, "SELECT 1", passwordSecretVersion=wrong, **login).json()["error"]["message"] == (
        f"Invalid request: passwordSecretVersion ({wrong}) must be projects/PROJECT/locations/europe-west1/secrets/SECRET/"
        "versions/VERSION, a regional secret in the region of the instance."
    )
    sql.do("DELETE", "instances/main/users", name="app")


def test_the_data_api_and_iam_logins_must_be_switched_on(sql: Sql, database: str, deployer: str) -> None:
    sql.do("PATCH", "instances/main", {"settings": {"databaseFlags": []}})
    assert execute(sql, "SELECT 1").json()["error"]["message"] == (
        "Invalid request: IAM authentication is not enabled for the instance."
    )
    sql.do(
        "PATCH",
        "instances/main",
        {"settings": {"databaseFlags": IAM_FLAG, "dataApiAccess": "DISALLOW_DATA_API"}},
    )
    assert execute(sql, "SELECT 1").json()["error"]["message"] == (
        "Invalid request: The instance doesn't allow using executeSql to access this instance."
    )
    sql.do("PATCH", "instances/main", {"settings": {"dataApiAccess": "ALLOW_DATA_API"}})
    assert execute(sql, "SELECT 1").status_code == 200


# Exports and imports -------------------------------------------------------------------------------------------------

BUCKET = f"{PROJECT}-dumps"
OBJECTS = f"https://storage.googleapis.com/storage/v1/b/{BUCKET}"


@pytest.fixture
def bucket(sql: Sql) -> Iterator[str]:
    """A bucket that the instance may write to and read."""
    session = sql.running.session()
    made = session.post(
        f"https://storage.googleapis.com/storage/v1/b?project={PROJECT}",
        json={"name": BUCKET, "iamConfiguration": {"uniformBucketLevelAccess": {"enabled": True}}},
    )
    assert made.status_code == 200, made.text
    agent = sql("GET", "instances/main")["serviceAccountEmailAddress"]
    policy = session.get(f"{OBJECTS}/iam").json()
    policy["bindings"].append({"role": "roles/storage.objectAdmin", "members": [f"serviceAccount:{agent}"]})
    assert session.put(f"{OBJECTS}/iam", json=policy).status_code == 200
    yield BUCKET
    for one in session.get(f"{OBJECTS}/o").json().get("items", []):
        session.delete(f"{OBJECTS}/o/{one['name']}")
    assert session.delete(OBJECTS).status_code == 204


def dump(name: str, **asked: Any) -> Any:
    return {
        "exportContext": {"fileType": "SQL", "uri": f"gs://{BUCKET}/{name}", "databases": ["site"], **asked}
    }


def load(name: str, **asked: Any) -> Any:
    return {"importContext": {"fileType": "SQL", "uri": f"gs://{BUCKET}/{name}", "database": "copy", **asked}}


@pytest.mark.parametrize("name", ["site.sql", "site.sql.gz"])
def test_what_was_exported_is_imported_as_somebody_else(
    sql: Sql, database: str, bucket: str, name: str
) -> None:
    users = [{"name": one, "password": "secret"} for one in ("first", "second")]
    for user in users:
        sql.do("POST", "instances/main/users", user)
    with server(sql).connect(database) as connection, connection.cursor() as cursor:
        cursor.execute(
            "ALTER SCHEMA public OWNER TO first; CREATE TABLE t (n integer PRIMARY KEY, word text)"
        )
        cursor.execute("ALTER TABLE t OWNER TO first; GRANT SELECT ON t TO PUBLIC")
        cursor.execute("COMMENT ON TABLE t IS 'words'; INSERT INTO t VALUES (1, 'it''s'), (2, E'a\\tb')")
    sql.do("POST", "instances/main/databases", {"name": "copy"})
    try:
        with server(sql).connect("copy") as connection, connection.cursor() as cursor:
            cursor.execute("ALTER SCHEMA public OWNER TO second")
        assert sql.do("POST", "instances/main/export", dump(name))["operationType"] == "EXPORT"
        done = sql.do("POST", "instances/main/import", load(name, importUser="second"))
        assert (done["operationType"], done.get("error")) == ("IMPORT", None)
        with server(sql).connect("copy") as connection, connection.cursor() as cursor:
            cursor.execute("SELECT n, word FROM t ORDER BY n")
            assert cursor.fetchall() == [(1, "it's"), (2, "a\tb")]
            cursor.execute(
                "SELECT tableowner, obj_description('t'::regclass) FROM pg_tables WHERE tablename = 't'"
            )
            assert cursor.fetchall() == [("second", "words")]
            cursor.execute("SELECT relacl FROM pg_class WHERE relname = 't'")
            assert cursor.fetchall() == [(None,)]
    finally:
        with server(sql).connect() as connection, connection.cursor() as cursor:
            cursor.execute("DROP DATABASE copy")
        with server(sql).connect("site") as connection, connection.cursor() as cursor:
            cursor.execute("ALTER SCHEMA public OWNER TO pg_database_owner; DROP OWNED BY first")
        for user in users:
            sql.do("DELETE", "instances/main/users", name=user["name"])


def test_what_cannot_be_imported_changes_nothing_and_is_told(sql: Sql, database: str, bucket: str) -> None:
    sql.running.session().post(
        f"https://storage.googleapis.com/upload/storage/v1/b/{BUCKET}/o?uploadType=media&name=bad.sql",
        data="CREATE TABLE t (n integer); SELECT nothing;",
    )
    failed = sql.wait(sql("POST", "instances/main/import", load("bad.sql", database="site")))
    assert 'column "nothing" does not exist' in failed["error"]["errors"][0]["message"]
    with server(sql).connect(database) as connection, connection.cursor() as cursor:
        cursor.execute("SELECT count(*) FROM pg_tables WHERE schemaname = 'public'")
        assert cursor.fetchall() == [(0,)]


def test_the_instance_needs_the_bucket_and_who_asks_a_place(sql: Sql, database: str, bucket: str) -> None:
    session = sql.running.session()
    policy = session.get(f"{OBJECTS}/iam").json()
    kept = [one for one in policy["bindings"] if one["role"] != "roles/storage.objectAdmin"]
    assert session.put(f"{OBJECTS}/iam", json={**policy, "bindings": kept}).status_code == 200
    refused = (403, "The service account does not have the required permissions for the bucket.", "forbidden")
    assert sql.error("POST", "instances/main/export", dump("site.sql")) == refused
    assert sql.error("POST", "instances/main/import", load("site.sql")) == refused
    nowhere = sql.error("POST", "instances/main/export", dump("site.sql", uri="site.sql"))
    assert nowhere[:2] == (400, "Invalid request: the URI must be of the form gs://bucketName/fileName.")
    several = sql.error("POST", "instances/main/export", dump("site.sql", databases=[]))
    assert several[0] == 400
    assert sql.error("POST", "instances/main/export", dump("site.csv", fileType="CSV"))[0] == 400
