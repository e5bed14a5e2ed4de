"""Cloud SQL's roles, users and databases, and SQL over the wire, on one real server."""

from __future__ import annotations

import asyncio
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import psycopg2
import pytest
from gcp_emulator.databases.postgres import roles
from gcp_emulator.databases.postgres.binaries import find_binaries
from gcp_emulator.databases.postgres.cluster import Cluster
from gcp_emulator.databases.postgres.roles import Database, User
from gcp_emulator.databases.postgres.wire import Execution, SqlError, SqlTimeoutError, execute
from gcp_emulator.databases.server import iam_password

#: The newest of each major version that Cloud SQL has and this machine, too.
BINARIES = {one.major: one for one in reversed(find_binaries()) if one.major >= 15}
if not BINARIES:
    pytest.skip("no PostgreSQL server programs are installed", allow_module_level=True)


@pytest.fixture(scope="module", params=BINARIES.values(), ids=lambda one: f"PostgreSQL {one.major}")
def cluster(request: pytest.FixtureRequest) -> Iterator[Cluster]:
    room = Path(tempfile.mkdtemp(prefix="postgres-test-"))
    room.chmod(0o755)
    cluster = Cluster(room / "cluster", request.param)
    cluster.create()
    cluster.start()
    roles.bootstrap(cluster, "root-password")
    yield cluster
    cluster.destroy()
    shutil.rmtree(room)


@pytest.fixture
def database(cluster: Cluster) -> Iterator[str]:
    roles.create_database(cluster, "site", "UTF8", "en_US.UTF8")
    yield "site"
    with cluster.connect() as connection, connection.cursor() as cursor:
        cursor.execute("DROP DATABASE IF EXISTS site")


@pytest.fixture
def user(cluster: Cluster) -> Iterator[str]:
    """A user with no role at all."""
    roles.put_user(cluster, "web", "BUILT_IN", password="first", roles=[])
    yield "web"
    with cluster.connect() as connection, connection.cursor() as cursor:
        cursor.execute("DROP DATABASE IF EXISTS site")
        cursor.execute("DROP ROLE IF EXISTS web")


def run(
    cluster: Cluster, sql: str, user: str = "postgres", password: str = "root-password", **limits: float
) -> Execution:
    options = {"seconds": 10.0, **limits}
    return asyncio.run(execute(cluster.port, "site", user, password, sql, **options))  # type: ignore[arg-type]


def attributes(cluster: Cluster, name: str) -> tuple[bool, bool, bool]:
    with cluster.connect() as connection, connection.cursor() as cursor:
        cursor.execute("SELECT rolsuper, rolcreaterole, rolcreatedb FROM pg_roles WHERE rolname = %s", [name])
        row = cursor.fetchone()
        assert row is not None
        return row[0], row[1], row[2]


def test_a_new_instance_has_the_user_and_the_database_postgres(cluster: Cluster) -> None:
    assert roles.list_users(cluster) == [User("postgres", "BUILT_IN", ("cloudsqlsuperuser",))]
    assert roles.list_databases(cluster) == [Database("postgres", "UTF8", "en_US.UTF8")]
    assert attributes(cluster, "postgres") == (False, True, True)


def test_a_user_made_without_roles_becomes_cloudsqlsuperuser(cluster: Cluster) -> None:
    roles.put_user(cluster, "plain", "BUILT_IN", password="x", roles=None)
    assert User("plain", "BUILT_IN", ("cloudsqlsuperuser",)) in roles.list_users(cluster)
    assert attributes(cluster, "plain") == (False, True, True)
    roles.set_roles(cluster, "plain", ["pg_read_all_data"], revoke_existing=True)
    assert User("plain", "BUILT_IN", ("pg_read_all_data",)) in roles.list_users(cluster)
    assert attributes(cluster, "plain") == (False, False, False)
    roles.drop_user(cluster, "plain")


def test_a_user_made_with_roles_gets_only_those(cluster: Cluster, user: str) -> None:
    assert User(user, "BUILT_IN", ()) in roles.list_users(cluster)
    assert attributes(cluster, user) == (False, False, False)


def test_a_role_that_does_not_exist_leaves_no_user_behind(cluster: Cluster) -> None:
    with pytest.raises(psycopg2.errors.UndefinedObject, match='role "nobody" does not exist'):
        roles.put_user(cluster, "half", "BUILT_IN", password="x", roles=["nobody"])
    assert "half" not in [user.name for user in roles.list_users(cluster)]


def test_a_changed_password_is_the_one_that_counts(cluster: Cluster, database: str, user: str) -> None:
    assert run(cluster, "SELECT 1", user, "first").error is None
    roles.set_password(cluster, user, "second")
    assert run(cluster, "SELECT 1", user, "second").error is None
    with pytest.raises(SqlError, match=r'^password authentication failed for user "web"$'):
        run(cluster, "SELECT 1", user, "first")


def test_an_iam_user_logs_in_with_the_derived_password_only(cluster: Cluster, database: str) -> None:
    name = "deployer@project.iam"
    roles.put_user(cluster, name, "CLOUD_IAM_SERVICE_ACCOUNT", password=None, roles=["cloudsqlsuperuser"])
    assert User(name, "CLOUD_IAM_SERVICE_ACCOUNT", ("cloudsqlsuperuser",)) in roles.list_users(cluster)
    answer = run(cluster, "SELECT session_user", name, iam_password(cluster, name))
    assert answer.results[0].rows == [[name]]
    roles.drop_user(cluster, name)


def test_databases_belong_to_cloudsqlsuperuser_and_others_cannot_write_to_public(
    cluster: Cluster, database: str, user: str
) -> None:
    with cluster.connect() as connection, connection.cursor() as cursor:
        cursor.execute("SELECT datdba::regrole::text FROM pg_database WHERE datname = %s", [database])
        assert cursor.fetchone() == ("cloudsqlsuperuser",)
    error = run(cluster, "CREATE TABLE t ()", user, "first").error
    assert error is not None
    assert error.message == "permission denied for schema public"


def test_the_api_cannot_drop_a_database_that_a_user_owns(cluster: Cluster, database: str, user: str) -> None:
    with cluster.connect() as connection, connection.cursor() as cursor:
        cursor.execute(f"ALTER DATABASE {database} OWNER TO {user}")
    with pytest.raises(psycopg2.errors.InsufficientPrivilege, match="must be owner of database site"):
        roles.drop_database(cluster, database)


def test_a_user_whose_objects_remain_is_not_dropped(cluster: Cluster, database: str, user: str) -> None:
    with cluster.connect(database) as connection, connection.cursor() as cursor:
        cursor.execute(f"CREATE SCHEMA theirs AUTHORIZATION {user}")
    with pytest.raises(psycopg2.errors.DependentObjectsStillExist) as caught:
        roles.drop_user(cluster, user)
    assert (
        caught.value.diag.message_primary == 'role "web" cannot be dropped because some objects depend on it'
    )
    assert caught.value.diag.message_detail == "1 object in database site"


def test_every_statement_has_its_result_in_postgresqls_own_text(cluster: Cluster, database: str) -> None:
    answer = run(
        cluster,
        "SELECT 1 AS a, NULL::text AS b, true AS c; CREATE TABLE t (i int); INSERT INTO t VALUES (1), (2)",
    )
    assert [result.tag for result in answer.results] == ["SELECT 1", "CREATE TABLE", "INSERT 0 2"]
    assert answer.results[0].columns == [("a", "INT4"), ("b", "TEXT"), ("c", "BOOL")]
    assert answer.results[0].rows == [["1", None, "t"]]
    assert answer.error is None


def test_a_failing_statement_undoes_those_before_it(cluster: Cluster, database: str) -> None:
    answer = run(cluster, "CREATE TABLE gone (); SELECT * FROM missing")
    assert answer.error is not None
    assert answer.error.text() == 'ERROR: relation "missing" does not exist (SQLSTATE 42P01)'
    assert run(cluster, "SELECT to_regclass('gone')").results[0].rows == [[None]]


def test_notices_are_returned(cluster: Cluster, database: str) -> None:
    answer = run(cluster, "DROP TABLE IF EXISTS nothing")
    assert [notice.text() for notice in answer.notices] == [
        'NOTICE: table "nothing" does not exist, skipping (SQLSTATE 00000)'
    ]


def test_rows_beyond_the_limits_are_dropped(cluster: Cluster, database: str) -> None:
    many = "SELECT repeat('x', 100) FROM generate_series(1, 50)"
    assert len(run(cluster, many, row_limit=3).results[0].rows) == 3
    cut = run(cluster, many, byte_limit=1000).results[0]
    assert cut.truncated
    assert 0 < len(cut.rows) < 50


def test_a_statement_that_takes_too_long_is_cancelled_in_the_server(cluster: Cluster, database: str) -> None:
    with pytest.raises(
        SqlTimeoutError, match=r"^The statements ran longer than 0\.2 s and were cancelled\.$"
    ):
        run(cluster, "SELECT pg_sleep(60)", seconds=0.2)
    left = "SELECT count(*) FROM pg_stat_activity WHERE query LIKE 'SELECT pg_sleep(60)%'"
    for _ in range(200):
        if run(cluster, left).results[0].rows == [["0"]]:
            return
    pytest.fail("the cancelled statement still runs")


def test_copy_from_the_client_fails_instead_of_waiting(cluster: Cluster, database: str) -> None:
    answer = run(cluster, "CREATE TABLE t (i int); COPY t FROM STDIN")
    assert answer.error is not None
    assert "COPY from the client is not possible here" in answer.error.message
