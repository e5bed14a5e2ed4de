"""PostgreSQL clusters, with real servers."""

from __future__ import annotations

import os
import shutil
import signal
import socket
import stat
import subprocess
import sys
import tempfile
import textwrap
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import psycopg2
import pytest
from gcp_emulator.databases.postgres import roles
from gcp_emulator.databases.postgres.binaries import PostgresBinaries, curate, find_binaries, nearest
from gcp_emulator.databases.postgres.cluster import ADMIN, Cluster
from gcp_emulator.databases.process import ServerError
from gcp_emulator.databases.server import iam_password

from emulator.tests.running import until

BINARIES = find_binaries()
if not BINARIES:
    pytest.skip("no PostgreSQL server programs are installed", allow_module_level=True)

HSTORE = frozenset({"hstore"})

as_root = pytest.mark.skipif(os.geteuid() != 0, reason="is about running as root")


@pytest.fixture(scope="module")
def room() -> Iterator[Path]:
    """A folder that every account can enter, as pytest's own (0700) is not."""
    path = Path(tempfile.mkdtemp(prefix="postgres-test-"))
    path.chmod(0o755)
    yield path
    shutil.rmtree(path)


@pytest.fixture(scope="module")
def made(room: Path) -> Iterator[Cluster]:
    cluster = Cluster(room / "made", BINARIES[0])
    cluster.create()
    yield cluster
    cluster.destroy()


@pytest.fixture
def cluster(made: Cluster) -> Iterator[Cluster]:
    """A stopped cluster with data."""
    yield made
    made.stop()


def scalar(cluster: Cluster, statement: str) -> object:
    with cluster.connect() as connection, connection.cursor() as cursor:
        cursor.execute(statement)
        row = cursor.fetchone()
        return row[0] if row else None


def fake(version: str) -> PostgresBinaries:
    return PostgresBinaries(version, Path("/b"), Path("/s"), frozenset())


def test_the_installed_server_is_found_with_its_extensions() -> None:
    assert BINARIES[0].major >= 13
    assert (BINARIES[0].bin_dir / "initdb").exists()
    assert "plpgsql" in BINARIES[0].extensions


def test_the_nearest_major_version_is_taken_and_the_newer_of_two() -> None:
    candidates = [fake("18.1"), fake("16.4"), fake("14.9")]
    assert [nearest(candidates, major).version for major in (18, 17, 15, 13)] == [
        "18.1",
        "18.1",
        "16.4",
        "14.9",
    ]


def test_without_a_server_nearest_says_so() -> None:
    with pytest.raises(LookupError, match=r"^No PostgreSQL server programs were found\.$"):
        nearest([], 15)


def test_a_started_server_listens_on_loopback_only_and_has_no_socket_file(cluster: Cluster) -> None:
    cluster.start()
    assert scalar(cluster, "SHOW listen_addresses") == "127.0.0.1"
    assert scalar(cluster, "SHOW unix_socket_directories") == ""
    assert scalar(cluster, "SHOW server_encoding") == "UTF8"
    assert scalar(cluster, "SHOW data_checksums") == "on"
    assert cluster.status().state == "running"


def test_the_superuser_needs_its_password_which_only_the_owner_reads(cluster: Cluster) -> None:
    cluster.start()
    mode = (cluster.directory / "admin-password").stat().st_mode
    assert stat.S_IMODE(mode) == 0o600
    with (
        pytest.raises(psycopg2.OperationalError, match=f'password authentication failed for user "{ADMIN}"'),
        cluster.connect(password="wrong"),
    ):
        pass


@as_root
def test_the_server_does_not_run_as_root(cluster: Cluster) -> None:
    cluster.start()
    assert Path(f"/proc/{cluster.status().pid}").stat().st_uid != 0


def test_settings_reach_the_server(cluster: Cluster) -> None:
    cluster.start({"max_connections": "37", "application_name": "it's"})
    assert scalar(cluster, "SHOW max_connections") == "37"
    cluster.reload({"max_connections": "37", "work_mem": "5MB"})
    deadline = time.monotonic() + 5
    while scalar(cluster, "SHOW work_mem") != "5MB":
        assert time.monotonic() < deadline, "a reload did not apply work_mem in 5 s"


def test_data_and_port_survive_a_restart(cluster: Cluster) -> None:
    cluster.start()
    port = cluster.port
    scalar(cluster, "CREATE TABLE IF NOT EXISTS kept AS SELECT 7 AS seven; SELECT 1")
    cluster.restart()
    assert scalar(cluster, "SELECT seven FROM kept") == 7
    assert cluster.port == port


def test_stopping_a_stopped_server_does_nothing(cluster: Cluster) -> None:
    cluster.stop()
    assert cluster.status().state == "stopped"


def test_a_taken_port_is_replaced_and_the_new_one_remembered(cluster: Cluster) -> None:
    with socket.socket() as other:
        other.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        other.bind(("127.0.0.1", cluster.port))
        other.listen()
        taken = cluster.port
        cluster.start()
        assert cluster.port != taken
        assert scalar(cluster, "SELECT 1") == 1
    assert Cluster(cluster.directory, cluster.binaries).port == cluster.port


def test_a_killed_server_is_known_as_crashed_and_recovers(cluster: Cluster) -> None:
    cluster.start()
    scalar(cluster, "CREATE TABLE IF NOT EXISTS survivor AS SELECT 1; SELECT 1")
    process = cluster._process
    pid = cluster.status().pid
    assert process is not None
    assert pid is not None
    os.kill(pid, signal.SIGKILL)
    process.wait(10)
    assert cluster.status().state == "crashed"
    cluster.start()
    assert scalar(cluster, "SELECT count(*) FROM survivor") == 1


def test_what_is_left_of_a_killed_server_is_waited_for(cluster: Cluster) -> None:
    """A process of it that does not see its end: it still uses the memory of all."""
    cluster.start()
    process, pid = cluster._process, cluster.status().pid
    assert process is not None
    assert pid is not None
    with cluster.connect() as connection:
        left = connection.info.backend_pid
        os.kill(left, signal.SIGSTOP)
        os.kill(pid, signal.SIGKILL)
        process.wait(10)
    said = cluster._log.stat().st_size

    def go_on() -> None:
        try:
            until(lambda: b"shared memory block" in cluster._log.read_bytes()[said:])
        finally:
            os.kill(left, signal.SIGCONT)

    with ThreadPoolExecutor(1) as pool:
        going_on = pool.submit(go_on)
        cluster.start()
        going_on.result()
    assert b"shared memory block" in cluster._log.read_bytes()[said:]
    assert scalar(cluster, "SELECT 1") == 1


def test_a_pid_file_of_another_program_is_stale(cluster: Cluster) -> None:
    (cluster._data / "postmaster.pid").write_text(
        f"{os.getpid()}\n{cluster._data}\n0\n{cluster.port}\n\n\n\nready\n"
    )
    assert cluster.status().state == "crashed"
    cluster.start()
    assert scalar(cluster, "SELECT 1") == 1


def test_a_server_of_another_emulator_is_left_alone(cluster: Cluster) -> None:
    cluster.start()
    other = Cluster(cluster.directory, cluster.binaries)
    expected = (
        f"The PostgreSQL server of {cluster.directory} already runs (pid {cluster.status().pid}, port {cluster.port}) "
        "and was not started by this emulator. Stop the emulator that started it."
    )
    for action in (other.stop, other.start):
        with pytest.raises(ServerError) as caught:
            action()
        assert str(caught.value) == expected
    assert scalar(cluster, "SELECT 1") == 1


def test_a_cluster_is_not_made_twice(cluster: Cluster) -> None:
    with pytest.raises(ServerError) as caught:
        cluster.create()
    assert str(caught.value) == f"There is a PostgreSQL cluster in {cluster.directory} already."


def test_a_server_that_cannot_start_says_why(cluster: Cluster) -> None:
    with pytest.raises(ServerError, match=r"did not start: .*shared_buffers.*"):
        cluster.start({"shared_buffers": "nonsense"})
    assert cluster.status().state == "stopped"


def test_a_backup_is_a_cluster_that_starts(cluster: Cluster, room: Path) -> None:
    cluster.start()
    scalar(cluster, "CREATE TABLE IF NOT EXISTS saved AS SELECT 42 AS answer; SELECT 1")
    assert cluster.backup("1700000000000") > 1_000_000
    copy = Cluster(room / "copy", cluster.binaries)
    copy.create()
    shutil.rmtree(copy._data)
    (cluster._backups / "1700000000000").rename(copy._data)
    shutil.copy(cluster.directory / "admin-password", copy.directory / "admin-password")
    copy.start()
    try:
        assert scalar(copy, "SELECT answer FROM saved") == 42
    finally:
        copy.destroy()
    with pytest.raises(FileNotFoundError):
        cluster.drop_backup("1700000000000")


def test_the_server_ends_with_a_killed_emulator(made: Cluster) -> None:
    program = textwrap.dedent(
        """
        import sys
        from pathlib import Path
        from gcp_emulator.databases.postgres.cluster import Cluster
        from gcp_emulator.databases.postgres.binaries import find_binaries
        cluster = Cluster(Path(sys.argv[1]), find_binaries()[0])
        cluster.start()
        print(cluster.status().pid, flush=True)
        sys.stdin.read()
        """
    )
    emulator = subprocess.Popen(
        [sys.executable, "-c", program, str(made.directory)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        env=os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)},
    )
    assert emulator.stdout is not None
    assert int(emulator.stdout.readline()) == made.status().pid
    emulator.kill()
    emulator.communicate()
    # A new start waits for the old server to be gone.
    made.start()
    assert scalar(made, "SELECT 1") == 1
    made.stop()


@as_root
def test_a_folder_closed_to_the_account_is_no_obstacle(room: Path) -> None:
    closed = room / "closed"
    closed.mkdir(mode=0o700)
    cluster = Cluster(closed / "deep" / "cluster", curate(BINARIES[0], closed / "programs", HSTORE, HSTORE))
    cluster.create()
    cluster.start()
    try:
        assert scalar(cluster, "CREATE EXTENSION hstore; SELECT 'a=>1'::hstore::text") == '"a"=>"1"'
        assert cluster.backup("1") > 0
    finally:
        cluster.destroy()
    assert not (closed / "deep" / "cluster").exists()


def test_servers_that_are_made_at_the_same_time_share_one_tree(room: Path) -> None:
    programs = room / "together"
    with ThreadPoolExecutor() as threads:
        made = list(threads.map(lambda _: curate(BINARIES[0], programs, HSTORE, HSTORE), range(4)))
    assert made == [made[0]] * 4
    assert [path.name for path in programs.iterdir()] == [f"postgresql-{BINARIES[0].version}"]


@pytest.fixture(scope="module")
def curated(room: Path) -> Iterator[Cluster]:
    """Cloud SQL's choice of extensions, and databases made in each way that there is."""
    needed = {"pg_trgm", "dblink", "pageinspect", "pg_stat_statements"} - BINARIES[0].extensions
    if needed:
        pytest.skip(f"this PostgreSQL lacks {', '.join(sorted(needed))}")
    allowed = frozenset({"pg_trgm", "dblink", "pg_stat_statements"})
    cluster = Cluster(
        room / "curated", curate(BINARIES[0], room / "programs", allowed, frozenset({"pg_trgm"}))
    )
    cluster.create()
    cluster.start()
    roles.bootstrap(cluster, "root-password")
    roles.put_user(cluster, "ordinary", "BUILT_IN", password="secret", roles=[])
    roles.put_user(
        cluster, "admin@project.iam", "CLOUD_IAM_SERVICE_ACCOUNT", password=None, roles=["cloudsqlsuperuser"]
    )
    roles.create_database(cluster, "by_api", "UTF8", roles.DEFAULT_COLLATION)
    with cluster.connect() as connection, connection.cursor() as cursor:
        cursor.execute("GRANT ALL ON DATABASE by_api TO ordinary")
        cursor.execute("CREATE DATABASE from_template0 OWNER ordinary TEMPLATE template0")
        cursor.execute("CREATE DATABASE from_template1 OWNER ordinary")
    yield cluster
    cluster.destroy()


def has_extension(cluster: Cluster, database: str, name: str) -> bool:
    with cluster.connect(database) as connection, connection.cursor() as cursor:
        cursor.execute("SELECT FROM pg_extension WHERE extname = %s", [name])
        return cursor.fetchone() is not None


EVERY_DATABASE = pytest.mark.parametrize("database", ["by_api", "from_template0", "from_template1"])


@EVERY_DATABASE
def test_an_ordinary_user_makes_trusted_extensions(curated: Cluster, database: str) -> None:
    with curated.connect(database, "ordinary", "secret") as connection, connection.cursor() as cursor:
        cursor.execute("CREATE EXTENSION pg_trgm")
    assert has_extension(curated, database, "pg_trgm")


@EVERY_DATABASE
@pytest.mark.parametrize("extension", ["dblink", "pg_stat_statements"])
def test_an_ordinary_user_makes_no_other_extension_of_the_list(
    curated: Cluster, database: str, extension: str
) -> None:
    with curated.connect(database, "ordinary", "secret") as connection, connection.cursor() as cursor:
        with pytest.raises(psycopg2.errors.InsufficientPrivilege) as caught:
            cursor.execute(f"CREATE EXTENSION {extension}")
        assert caught.value.diag.message_primary == f'permission denied to create extension "{extension}"'
        assert caught.value.diag.message_hint == "Must be superuser to create this extension."
    assert not has_extension(curated, database, extension)


@pytest.mark.parametrize("extension", ["dblink", "pg_stat_statements"])
def test_a_cloudsqlsuperuser_makes_every_listed_extension_which_then_is_no_obstacle_to_others(
    curated: Cluster, extension: str
) -> None:
    admin = "admin@project.iam"
    with (
        curated.connect("by_api", admin, iam_password(curated, admin)) as connection,
        connection.cursor() as cursor,
    ):
        cursor.execute(f"CREATE EXTENSION {extension}")
        cursor.execute("SELECT extowner::regrole::text FROM pg_extension WHERE extname = %s", [extension])
        assert cursor.fetchone() == (f'"{admin}"',)
    with curated.connect("by_api", "ordinary", "secret") as connection, connection.cursor() as cursor:
        cursor.execute(f"CREATE EXTENSION IF NOT EXISTS {extension}")
    with curated.connect("by_api") as connection, connection.cursor() as cursor:
        cursor.execute(f"DROP EXTENSION {extension}")


def test_whose_role_is_set_counts_and_not_who_logged_in(curated: Cluster) -> None:
    with curated.connect() as connection, connection.cursor() as cursor:
        cursor.execute("GRANT ordinary TO postgres")
    with curated.connect("by_api", "postgres", "root-password") as connection, connection.cursor() as cursor:
        cursor.execute("SET ROLE ordinary")
        with pytest.raises(psycopg2.errors.InsufficientPrivilege):
            cursor.execute("CREATE EXTENSION dblink")


def test_nothing_in_a_database_keeps_watch_over_extensions(curated: Cluster) -> None:
    """A dump would hold it, and who restores may not make it."""
    assert scalar(curated, "SELECT count(*) FROM pg_event_trigger") == 0


def test_a_tree_made_before_gets_the_rules_of_today(room: Path) -> None:
    allowed = frozenset({"dblink"})
    older = curate(BINARIES[0], room / "older", allowed, allowed)
    assert "trusted" not in (BINARIES[0].share_dir / "extension/dblink.control").read_text("utf-8")
    scripts = {path.name: path.read_bytes() for path in (older.share_dir / "extension").glob("dblink--*.sql")}
    newer = curate(BINARIES[0], room / "older", allowed, frozenset())
    assert newer == older
    changed = {
        path.name
        for path in (newer.share_dir / "extension").glob("dblink--*.sql")
        if path.read_bytes() != scripts[path.name]
    }
    assert changed == {name for name in scripts if name.count("--") == 1}


def test_an_extension_that_is_not_listed_is_not_there(curated: Cluster) -> None:
    with curated.connect("by_api", "ordinary", "secret") as connection, connection.cursor() as cursor:
        with pytest.raises(
            psycopg2.errors.FeatureNotSupported, match='extension "pageinspect" is not available'
        ):
            cursor.execute("CREATE EXTENSION pageinspect")
        cursor.execute("SELECT name FROM pg_available_extensions ORDER BY 1")
        assert [name for (name,) in cursor.fetchall()] == [
            "dblink",
            "pg_stat_statements",
            "pg_trgm",
            "plpgsql",
        ]
