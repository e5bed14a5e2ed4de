"""Instances in a network: what it has to offer them, the address that they get there, and from where they are reached."""

from __future__ import annotations

import asyncio
import shutil
import tempfile
from collections.abc import Iterator
from ipaddress import IPv4Address, IPv4Network
from pathlib import Path
from typing import Any

import pytest
from gcp_emulator.databases.postgres.binaries import find_binaries
from gcp_emulator.engine.identity import identity_of
from gcp_emulator.services.compute.ports import Networks
from gcp_emulator.services.servicenetworking.ports import Connections
from gcp_emulator.services.sqladmin import kinds
from gcp_emulator.services.sqladmin.api import SqlAdmin

from emulator.tests.running import OWNER, PROJECT, RunningEmulator
from emulator.tests.services.sqladmin.test_api import SETTINGS, Sql

if not find_binaries():
    pytest.skip("no PostgreSQL server programs are installed", allow_module_level=True)

RANGE = "10.200.0.0/22"
NETWORK = f"projects/{PROJECT}/global/networks/inner"
PRIVATE = {"ipv4Enabled": False, "privateNetwork": NETWORK}


def make_network(running: RunningEmulator, name: str = "inner", services: str = RANGE) -> None:
    """A network with private services access in a range."""
    networks = running.context.ports.find(Networks)
    path = running.call(networks.declare, PROJECT, name, "europe-west1", "10.8.0.0/24")
    running.call(networks.reserve, path, f"services-{name}", services)
    running.call(running.context.ports.find(Connections).connect, path, [f"services-{name}"])


def asked(name: str, region: str = "europe-west1", **network: Any) -> dict[str, Any]:
    """An instance of MySQL: its control plane, and no server that has to start."""
    settings = SETTINGS | {"ipConfiguration": PRIVATE | network}
    return {"name": name, "region": region, "databaseVersion": "MYSQL_8_4", "settings": settings}


def private(instance: Any) -> IPv4Address:
    (address,) = (one for one in instance["ipAddresses"] if one["type"] == "PRIVATE")
    return IPv4Address(address["ipAddress"])


@pytest.fixture(scope="module", autouse=True)
def no_mysql() -> Iterator[None]:
    """As on a machine without MySQL: these tests are about addresses."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(kinds, "find_mysql", list)
        yield


@pytest.fixture
def sql(emulator: RunningEmulator) -> Sql:
    make_network(emulator)
    return Sql(emulator)


def test_what_a_network_lacks_is_told_in_cloud_sqls_words(sql: Sql) -> None:
    networks = sql.running.context.ports.find(Networks)
    sql.running.call(networks.declare, PROJECT, "lonely", "europe-west1", "10.8.0.0/24")
    lonely = f"projects/{PROJECT}/global/networks/lonely"
    refused = f"Invalid request: Incorrect Service Networking config for instance: {PROJECT}:one:"
    for network, reason in (
        (lonely, "NETWORK_NOT_PEERED"),
        (f"{lonely}s", "NETWORK_NOT_FOUND"),
        ("projects/nobody-s/global/networks/inner", "NETWORK_NOT_FOUND"),
        ("inner", "NETWORK_NOT_FOUND"),
    ):
        answer = sql.error("POST", "instances", asked("one", privateNetwork=network))
        assert answer == (400, f"{refused}{reason}.", "invalid")
    sql.running.disable("servicenetworking.googleapis.com")
    answer = sql.error("POST", "instances", asked("one"))
    assert answer == (400, f"{refused}SERVICE_NETWORKING_NOT_ENABLED.", "invalid")
    assert "items" not in sql("GET", "instances")


def test_each_region_takes_a_block_of_the_ranges(sql: Sql) -> None:
    addresses = []
    for name, region in (("a", "europe-west1"), ("b", "us-central1"), ("c", "europe-west1")):
        sql.do("POST", "instances", asked(name, region))
        instance = sql("GET", f"instances/{name}")
        assert [one["type"] for one in instance["ipAddresses"]] == ["PRIVATE"]
        addresses.append(private(instance))
    assert all(address in IPv4Network(RANGE) for address in addresses)
    first, second, third = (IPv4Network((address, 24), strict=False) for address in addresses)
    assert first == third != second
    assert len(set(addresses)) == 3


def test_instances_are_listed_by_a_filter(sql: Sql) -> None:
    """The form: the parameter ``filter`` of sql.instances.list in the discovery document."""
    for name, label in (("first", "web"), ("second", "mail")):
        body = asked(name)
        body["settings"] = body["settings"] | {"userLabels": {"for": label}}
        sql.do("POST", "instances", body)
    for text, expected in (
        ("settings.userLabels.for:web", ["first"]),
        ("state:RUNNABLE instanceType:CLOUD_SQL_INSTANCE", ["first", "second"]),
        ("name:first OR name:none", ["first"]),
        ("state:SUSPENDED", []),
    ):
        found = sql("GET", "instances", filter=text).get("items", [])
        assert [one["name"] for one in found] == expected
    assert sql.error("GET", "instances", filter="state:")[0] == 400


def test_a_range_without_a_free_block_fails_the_operation(sql: Sql) -> None:
    make_network(sql.running, "small", "10.201.0.0/25")
    network = NETWORK.replace("inner", "small")
    operation = sql.wait(sql("POST", "instances", asked("one", privateNetwork=network)))
    (error,) = operation["error"]["errors"]
    assert error["message"] == (
        "Failed to create subnetwork. Couldn't find free blocks in allocated IP ranges. Please allocate new ranges for this service "
        "provider."
    )
    assert sql("GET", "instances/one")["state"] == "FAILED"


def test_a_private_address_can_be_added_and_stays(sql: Sql) -> None:
    sql.do("POST", "instances", asked("one", ipv4Enabled=True, privateNetwork=None))
    before = sql("GET", "instances/one")["ipAddresses"]
    body = {"settings": {"ipConfiguration": {"privateNetwork": NETWORK}}}
    sql.do("PATCH", "instances/one", body)
    after = sql("GET", "instances/one")
    assert after["ipAddresses"][:-1] == before
    sql.do("PATCH", "instances/one", {"settings": {"ipConfiguration": {"ipv4Enabled": False}}})
    assert private(sql("GET", "instances/one")) == private(after)
    body = {"settings": {"ipConfiguration": {"privateNetwork": None, "ipv4Enabled": True}}}
    assert sql.error("PATCH", "instances/one", body) == (
        400,
        "This operation is not valid for this instance.",
        "invalidOperation",
    )


# From where it is reached ----------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def served() -> Iterator[Sql]:
    """An emulator with two instances that run, one of them without a public address."""
    state = Path(tempfile.mkdtemp(prefix="private-test-"))
    emulator = RunningEmulator(state)
    make_network(emulator)
    sql = Sql(emulator)
    sql.create("private", ipConfiguration=PRIVATE)
    sql.create("both", ipConfiguration=PRIVATE | {"ipv4Enabled": True})
    yield sql
    emulator.stop()
    shutil.rmtree(state)


def dial(sql: Sql, name: str, network: str | None) -> tuple[str | None, bytes]:
    """What ``/cloudsql/...`` of an instance in a network says to its log, and the first byte that a client gets."""
    connect = sql.running.emulator.service(SqlAdmin).connect
    connection = f"{PROJECT}:europe-west1:{name}"

    async def work() -> tuple[str | None, bytes]:
        told: asyncio.Future[str | None] = asyncio.get_running_loop().create_future()

        async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            identity = identity_of(OWNER.partition(":")[2])
            told.set_result(await connect.connect_instance(connection, identity, network, reader, writer))

        server = await asyncio.start_server(serve, "127.0.0.1", 0)
        reader, writer = await asyncio.open_connection(*server.sockets[0].getsockname())
        writer.write(b"\0\0\0\x08\x04\xd2\x16\x2f")  # SSLRequest
        try:
            byte = await reader.read(1)
        except ConnectionResetError:
            byte = b""
        writer.close()
        server.close()
        return await told, byte

    return sql.running.run(work())


def test_the_socket_reaches_a_private_address_from_its_network_only(served: Sql) -> None:
    assert dial(served, "private", NETWORK) == (None, b"N")
    address = private(served("GET", "instances/private"))
    for network in (None, NETWORK.replace("inner", "default")):
        assert dial(served, "private", network) == (
            "Cloud SQL connection failed. Please see https://cloud.google.com/sql/docs/postgres/connect-run for additional details: dial error: "
            f'failed to dial (connection name = "{PROJECT}:europe-west1:private"): connection to Cloud SQL instance at {address}:3307 failed: '
            "timed out after 10s",
            b"",
        )


def test_a_public_address_is_taken_where_there_is_one(served: Sql) -> None:
    assert dial(served, "both", None) == (None, b"N")


def test_sql_over_http_needs_no_network(served: Sql) -> None:
    """https://docs.cloud.google.com/sql/docs/postgres/executesql-instance: with private services access, too."""
    flag = {"name": "cloudsql.iam_authentication", "value": "on"}
    body = {"settings": {"dataApiAccess": "ALLOW_DATA_API", "databaseFlags": [flag]}}
    served.do("PATCH", "instances/private", body)
    user = {"name": OWNER.partition(":")[2], "type": "CLOUD_IAM_USER"}
    served.do("POST", "instances/private/users", user)
    statement = {"database": "postgres", "sqlStatement": "SELECT 1", "autoIamAuthn": True}
    (result,) = served("POST", "instances/private/executeSql", statement)["results"]
    assert result["rows"] == [{"values": [{"value": "1"}]}]
