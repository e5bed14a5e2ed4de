"""The metadata server of a virtual machine."""

from __future__ import annotations

import asyncio
import json
from typing import Any, Literal

import pytest
from gcp_emulator.front.http import Answer
from gcp_emulator.front.messages import Headers, Request, Response, in_one_piece
from gcp_emulator.services.iam.api import IamApi
from gcp_emulator.services.metadata.api import Metadata
from gcp_emulator.services.metadata.ports import Told
from gcp_emulator.services.oslogin.ports import LoginProfiles, LoginUser
from gcp_emulator.workloads.machines import Guest

from emulator.tests.running import PROJECT, RunningEmulator

PATH = f"projects/{PROJECT}/zones/us-central1-a/instances/web"
EMAIL = f"web-vm@{PROJECT}.iam.gserviceaccount.com"
SCOPE = "https://www.googleapis.com/auth/cloud-platform"


class Machine:
    """A metadata server, and how a machine asks it."""

    def __init__(self, emulator: RunningEmulator, account: str = EMAIL, **metadata: str) -> None:
        self.emulator = emulator
        self.tags = ["http"]
        self.guest = Guest({key.replace("_", "-"): value for key, value in metadata.items()}, {})
        told = Told(PATH, account, (SCOPE,), self._describe)
        self.answer: Answer = emulator.emulator.service(Metadata).machine(told, self.guest)

    def _describe(self) -> dict[str, Any]:
        interface = {"access-configs": {"0": {"external-ip": "198.18.0.1"}}, "ip": "10.128.0.2"}
        return {"id": 7, "name": "web", "network-interfaces": {"0": interface}, "tags": list(self.tags)}

    async def request(self, path: str, method: str = "GET", body: bytes = b"") -> Response:
        path, _, query = path.partition("?")
        flavor = Headers([("Metadata-Flavor", "Google")])
        whole = f"/computeMetadata/v1/{path}"
        return await self.answer(
            Request(method, "http", "metadata", whole, query, flavor, in_one_piece(body))
        )

    def ask(self, path: str, method: str = "GET", body: bytes = b"") -> tuple[int, str]:
        answer = self.emulator.run(self.request(path, method, body))
        assert isinstance(answer.body, bytes)
        assert answer.headers.get("Metadata-Flavor") == "Google"
        return answer.status, answer.body.decode()


@pytest.fixture
def machine(emulator: RunningEmulator) -> Machine:
    emulator.call(emulator.emulator.service(IamApi).accounts.create, PROJECT, "web-vm")
    return Machine(emulator, release="7", ssh_keys="dev:ssh-ed25519 A", enable_guest_attributes="TRUE")


@pytest.mark.parametrize(
    ("path", "expected"),
    [
        ("instance/name", "web"),
        ("instance/id", "7"),
        ("instance/tags", '["http"]'),
        ("instance/attributes/", "release\nssh-keys\nenable-guest-attributes\n"),
        ("instance/attributes/release", "7"),
        ("instance/attributes/release?alt=json", '"7"'),
        ("instance/network-interfaces/", "0/\n"),
        ("instance/network-interfaces/0/access-configs/0/external-ip", "198.18.0.1"),
        ("instance/service-accounts/default/scopes", f"{SCOPE}\n"),
        ("instance/service-accounts/default/email", EMAIL),
        ("project/attributes/", ""),
        ("project/project-id", PROJECT),
    ],
)
def test_what_a_machine_is_told(machine: Machine, path: str, expected: str) -> None:
    assert machine.ask(path) == (200, expected)


def test_all_at_once_has_names_without_hyphens_and_lists(machine: Machine) -> None:
    told = json.loads(machine.ask("instance/?recursive=true")[1])
    assert told["networkInterfaces"] == [
        {"accessConfigs": [{"externalIp": "198.18.0.1"}], "ip": "10.128.0.2"}
    ]
    # Names that are somebody's own stay as they are.
    assert told["attributes"]["ssh-keys"] == "dev:ssh-ed25519 A"
    assert told["serviceAccounts"][EMAIL]["aliases"] == ["default"]
    attributes = json.loads(machine.ask("instance/attributes/?recursive=true")[1])
    assert set(attributes) == {"release", "ssh-keys", "enable-guest-attributes"}


def test_tokens_are_those_of_its_account(machine: Machine) -> None:
    status, text = machine.ask("instance/service-accounts/default/token")
    token = json.loads(text)["access_token"]
    found = machine.emulator.call(machine.emulator.context.tokens.resolve, token)
    assert (status, found[0].email) == (200, EMAIL)


def test_a_machine_without_an_account_has_no_tokens(emulator: RunningEmulator) -> None:
    machine = Machine(emulator, account="")
    assert machine.ask("instance/service-accounts/") == (200, "")
    assert machine.ask("instance/service-accounts/default/token")[0] == 404


def test_what_it_publishes(machine: Machine) -> None:
    assert machine.ask("instance/guest-attributes/hostkeys/ssh-rsa") == (
        404,
        "The requested URL /computeMetadata/v1/instance/guest-attributes/hostkeys/ssh-rsa was not found on this server.\n",
    )
    assert machine.ask("instance/guest-attributes/hostkeys/ssh-rsa", "PUT", b"AAAA")[0] == 200
    assert machine.guest.attributes == {"hostkeys": {"ssh-rsa": "AAAA"}}
    assert machine.ask("instance/guest-attributes/hostkeys/ssh-rsa") == (200, "AAAA")
    assert machine.ask("instance/guest-attributes/hostkeys", "PUT", b"AAAA")[0] == 400
    assert machine.ask("instance/guest-attributes/hostkeys/long", "PUT", b"a" * (256 * 1024 + 1))[0] == 400
    assert machine.ask("instance/guest-attributes/hostkeys/ssh-rsa", "DELETE")[0] == 200
    assert machine.guest.attributes == {"hostkeys": {}}


def test_a_machine_that_publishes_nothing(emulator: RunningEmulator) -> None:
    machine = Machine(emulator, enable_guest_attributes="FALSE")
    for method in ("GET", "PUT"):
        assert machine.ask("instance/guest-attributes/hostkeys/ssh-rsa", method, b"AAAA")[0] == 403
    assert machine.guest.attributes == {}


def test_a_change_is_waited_for(machine: Machine) -> None:
    """Of what was asked for, and of nothing else."""

    async def run() -> tuple[str, bool, str]:
        path = "instance/attributes/release?wait_for_change=true"
        waiting = asyncio.create_task(machine.request(path))
        first = await machine.request("instance/attributes/release")
        machine.guest.change({"release": "7", "other": "1"})
        known = f"{path}&last_etag={first.headers.get('ETag')}"
        asked = asyncio.create_task(machine.request(known))
        for _ in range(5):
            await asyncio.sleep(0)
        is_early = waiting.done() or asked.done()
        machine.guest.change({"release": "8"})
        answers = [await waiting, await asked, await machine.request(known)]
        bodies = {one.body for one in answers}
        assert len(bodies) == 1
        in_time = await machine.request(path + "&timeout_sec=0")
        return str(bodies.pop()), is_early, str(in_time.body)

    assert machine.emulator.run(run()) == ("b'8'", False, "b'8'")


class Profiles:
    """Two users, of whom one may administer."""

    def users(self, project: str) -> list[LoginUser]:
        names = ("boss", "dev") if project == PROJECT else ()
        return [
            LoginUser(
                name,
                7 + number,
                8,
                f"/home/{name}",
                ("ssh-ed25519 A", "ssh-ed25519 B"),
                f"{name}@example.com",
            )
            for number, name in enumerate(names)
        ]

    def may_log_in(self, email: str, instance_path: str) -> Literal["", "login", "admin"]:
        assert instance_path == PATH
        may: dict[str, Literal["login", "admin"]] = {"boss@example.com": "admin", "dev@example.com": "login"}
        return may.get(email, "")


def test_os_login(machine: Machine) -> None:
    # In place of the emulator's own.
    machine.emulator.context.ports._providers[LoginProfiles] = Profiles()
    status, text = machine.ask("oslogin/users?username=dev")
    [profile] = json.loads(text)["loginProfiles"]
    assert (status, profile["name"]) == (200, "dev@example.com")
    account = profile["posixAccounts"][0]
    assert (account["username"], account["uid"], account["gid"]) == ("dev", "8", "8")
    keys = [one["key"] for one in profile["sshPublicKeys"].values()]
    assert keys == ["ssh-ed25519 A", "ssh-ed25519 B"]
    page = json.loads(machine.ask("oslogin/users?pagesize=256&pagetoken=")[1])
    assert [len(page["loginProfiles"]), page["nextPageToken"]] == [2, "0"]
    assert machine.ask("oslogin/users?username=other")[0] == 404
    assert json.loads(machine.ask("oslogin/users?uid=7")[1])["loginProfiles"][0]["name"] == "boss@example.com"
    for email, policy, may in (
        ("boss@example.com", "login", True),
        ("boss@example.com", "adminLogin", True),
        ("dev@example.com", "login", True),
        ("dev@example.com", "adminLogin", False),
        ("out@example.com", "login", False),
        ("boss@example.com", "other", False),
    ):
        answer = machine.ask(f"oslogin/authorize?email={email.replace('@', '%40')}&policy={policy}")
        assert answer == (200, json.dumps({"success": may}, separators=(",", ":")))
    assert machine.ask("oslogin/groups?email=x")[0] == 404
