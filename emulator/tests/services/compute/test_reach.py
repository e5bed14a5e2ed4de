"""What the firewall rules of a network let in to a machine."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from gcp_emulator.services.compute.ports import MachinePorts

from emulator.tests.running import PROJECT, RunningEmulator
from emulator.tests.services.compute.conftest import ZONE, Caller

FIREWALLS = f"projects/{PROJECT}/global/firewalls"
VM = f"{ZONE}/instances/web"
IAP = "35.235.240.0/20"
ALLOWED = [{"IPProtocol": "tcp", "ports": ["22"]}]
SSH: dict[str, Any] = {"sourceRanges": [IAP], "allowed": ALLOWED}
ROBOT = f"web-robot@{PROJECT}.iam.gserviceaccount.com"


@pytest.fixture
def connected(emulator: RunningEmulator, monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, int]]:
    """What was connected to: machines that take every connection."""
    found: list[tuple[str, int]] = []

    async def connect(name: str, port: int) -> Any:
        found.append((name, port))

    monkeypatch.setattr(emulator.context.machines, "connect", connect)
    return found


def refusal(emulator: RunningEmulator, port: int = 22, source: str = "35.235.240.1") -> str:
    """Why a connection is refused, "" when it is not."""

    async def connect() -> str:
        try:
            await emulator.context.ports.find(MachinePorts).connect(VM, port, source=source)
        except ConnectionError as error:
            return str(error)
        return ""

    return emulator.run(connect())


@pytest.mark.parametrize(
    ("rules", "gets_in"),
    [
        ([], False),
        ([SSH], True),
        ([SSH | {"allowed": [{"IPProtocol": "all"}]}], True),
        ([SSH | {"allowed": [{"IPProtocol": "6"}]}], True),
        ([SSH | {"allowed": [{"IPProtocol": "tcp", "ports": ["80", "20-30"]}]}], True),
        ([SSH | {"allowed": [{"IPProtocol": "tcp", "ports": ["23-30"]}]}], False),
        ([SSH | {"allowed": [{"IPProtocol": "udp", "ports": ["22"]}]}], False),
        ([SSH | {"sourceRanges": ["130.211.0.0/22"]}], False),
        ([{"allowed": ALLOWED}], True),
        ([{"allowed": ALLOWED, "sourceTags": ["bastion"]}], False),
        ([SSH | {"disabled": True}], False),
        ([{"allowed": ALLOWED, "direction": "EGRESS", "destinationRanges": [IAP]}], False),
        ([SSH | {"network": "global/networks/other"}], False),
        ([SSH | {"targetTags": ["ssh"]}], True),
        ([SSH | {"targetTags": ["db"]}], False),
        ([SSH | {"targetServiceAccounts": [ROBOT]}], True),
        ([SSH | {"targetServiceAccounts": [f"other-{ROBOT}"]}], False),
        ([SSH, {"sourceRanges": [IAP], "denied": ALLOWED, "priority": 900}], False),
        ([SSH, {"sourceRanges": [IAP], "denied": ALLOWED}], False),
        ([SSH, {"sourceRanges": [IAP], "denied": ALLOWED, "priority": 1100}], True),
    ],
)
def test_rules(
    emulator: RunningEmulator,
    caller: Caller,
    connected: list[tuple[str, int]],
    rules: list[dict[str, Any]],
    gets_in: bool,
) -> None:
    caller.make(f"projects/{PROJECT}/global/networks", name="other", autoCreateSubnetworks=False)
    accounts = f"https://iam.googleapis.com/v1/projects/{PROJECT}/serviceAccounts"
    assert caller.session.post(accounts, json={"accountId": "web-robot"}).status_code == 200
    caller.machine(
        "web",
        tags={"items": ["ssh"]},
        serviceAccounts=[{"email": ROBOT, "scopes": ["https://www.googleapis.com/auth/cloud-platform"]}],
    )
    for number, rule in enumerate(rules):
        caller.make(FIREWALLS, name=f"rule-{number}", **({"network": "global/networks/default"} | rule))
    why = refusal(emulator)
    assert why == (
        "" if gets_in else f"no firewall rule of its network lets tcp:22 from 35.235.240.1 in to {VM}"
    )
    assert connected == ([(VM, 22)] if gets_in else [])


def test_a_machine_that_does_not_run(
    emulator: RunningEmulator, caller: Caller, connected: list[tuple[str, int]]
) -> None:
    assert refusal(emulator) == f"{VM} does not run"
    caller.make(FIREWALLS, name="ssh", **SSH)
    caller.machine("web")
    assert refusal(emulator) == ""
    caller.do(f"{VM}/stop")
    assert refusal(emulator) == f"{VM} does not run"


def test_a_record_has_no_ports(emulator: RunningEmulator, caller: Caller) -> None:
    caller.make(FIREWALLS, name="ssh", **SSH)
    caller.machine("web")
    assert refusal(emulator).startswith(f"nothing runs {VM}")


def test_that_a_connection_is_what_the_machine_gives(
    emulator: RunningEmulator, caller: Caller, monkeypatch: pytest.MonkeyPatch
) -> None:
    caller.make(FIREWALLS, name="ssh", **SSH)
    caller.machine("web")

    async def greet(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"SSH-2.0-of-a-test")
        writer.close()

    async def speak() -> bytes:
        async with await asyncio.start_server(greet, "127.0.0.1") as server:
            port = server.sockets[0].getsockname()[1]

            async def connect(name: str, asked: int) -> Any:
                return await asyncio.open_connection("127.0.0.1", port)

            monkeypatch.setattr(emulator.context.machines, "connect", connect)
            found = emulator.context.ports.find(MachinePorts)
            reader, writer = await found.connect(VM, 22, source="35.235.240.1")
            said = await reader.read()
            writer.close()
            return said

    assert emulator.run(speak()) == b"SSH-2.0-of-a-test"
