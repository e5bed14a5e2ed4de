"""What stands in for Google's guest environment in a machine: its pure parts, and the ways that it opens."""

from __future__ import annotations

import asyncio
import grp
import json
import pwd
import socket
from datetime import UTC, datetime
from pathlib import Path

import pytest
from gcp_emulator.workloads.guest import environment
from gcp_emulator.workloads.guest.environment import Logins, Metadata, is_true, keys_of

NOW = datetime(2026, 6, 1, 12, tzinfo=UTC)
KEY = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIA"


class Told(Metadata):
    """A metadata server that tells what it is given."""

    def __init__(self, told: dict[str, str]) -> None:
        super().__init__()
        self._told = told
        self.published: dict[str, str] = {}

    def get(self, path: str) -> str | None:
        return self._told.get(path)


def attributes(instance: dict[str, str], project: dict[str, str] | None = None) -> dict[str, str]:
    """What is told of the metadata of an instance and its project."""
    return {
        "instance/attributes/?recursive=true": json.dumps(instance),
        "project/attributes/?recursive=true": json.dumps(project or {}),
    }


@pytest.mark.parametrize(
    ("value", "says_yes"),
    [("TRUE", True), ("true", True), ("Y", True), ("1", True), ("FALSE", False), ("", False), ("on", False)],
)
def test_what_says_yes(value: str, says_yes: bool) -> None:
    assert is_true(value) is says_yes


def test_keys_of_users() -> None:
    text = f"dev:{KEY} dev@laptop\n\nops:{KEY}\r\ndev:ssh-rsa AAAAB3 second\n"
    assert keys_of(text, NOW) == {
        "dev": [f"{KEY} dev@laptop", "ssh-rsa AAAAB3 second"],
        "ops": [KEY],
    }


@pytest.mark.parametrize(
    "line",
    [
        "no key at all",
        "dev:",
        "dev:ssh-ed25519",
        f"../root:{KEY}",
        f"-x:{KEY}",
        f":{KEY}",
        f'dev:{KEY} google-ssh {{"userName":"dev@example.com","expireOn":"2026-06-01T12:00:00+0000"}}',
        f'dev:{KEY} google-ssh {{"userName":"dev@example.com"}}',
        f"dev:{KEY} google-ssh soon",
    ],
)
def test_lines_without_a_key_that_counts(line: str) -> None:
    assert keys_of(line, NOW) == {}


def test_a_key_counts_until_it_expires() -> None:
    terms = '{"userName":"dev@example.com","expireOn":"2026-06-01T12:00:01+0000"}'
    assert keys_of(f"dev:{KEY} google-ssh {terms}", NOW) == {"dev": [KEY]}


@pytest.mark.parametrize(
    ("instance", "project", "expected"),
    [
        ({"ssh-keys": f"dev:{KEY} i"}, {"ssh-keys": f"dev:{KEY} p"}, [f"{KEY} i", f"{KEY} p"]),
        (
            {"ssh-keys": f"dev:{KEY} i", "block-project-ssh-keys": "TRUE"},
            {"ssh-keys": f"dev:{KEY} p"},
            [f"{KEY} i"],
        ),
        ({"ssh-keys": f"ops:{KEY}"}, {}, []),
        # Where OS Login decides, keys of the metadata count no more.
        ({"ssh-keys": f"dev:{KEY}", "enable-oslogin": "TRUE"}, {}, []),
        ({"ssh-keys": f"dev:{KEY}"}, {"enable-oslogin": "TRUE"}, []),
        ({"ssh-keys": f"dev:{KEY}", "enable-oslogin": "FALSE"}, {"enable-oslogin": "TRUE"}, [KEY]),
    ],
)
def test_whose_keys_open(instance: dict[str, str], project: dict[str, str], expected: list[str]) -> None:
    assert Logins(Told(attributes(instance, project))).keys("dev") == expected


def profile(user: str, uid: int) -> dict[str, object]:
    """A login profile as the metadata server tells it."""
    account = {"username": user, "uid": str(uid), "gid": str(uid), "homeDirectory": f"/home/{user}"}
    keys = {"a": {"key": KEY}, "b": {"key": f"{KEY} second"}}
    return {"name": f"{user}@example.com", "posixAccounts": [account], "sshPublicKeys": keys}


def os_login() -> dict[str, str]:
    """An instance in which `root_too` is an administrator, `plain` is not, and `nobody_here` may not log in."""
    users = {"root_too": 70001, "plain": 70002, "nobody_here": 70003}
    told = attributes({"enable-oslogin": "TRUE"})
    pages = [[("root_too", 70001), ("plain", 70002)], [("nobody_here", 70003)]]
    for token, page, following in (("", pages[0], "t"), ("t", pages[1], "0")):
        body = {"loginProfiles": [profile(*one) for one in page], "nextPageToken": following}
        told[f"oslogin/users?pagesize=256&pagetoken={token}"] = json.dumps(body)
    for user, uid in users.items():
        told[f"oslogin/users?username={user}"] = json.dumps({"loginProfiles": [profile(user, uid)]})
        for policy in ("login", "adminLogin"):
            may = user == "root_too" or (user, policy) == ("plain", "login")
            query = f"email={user}%40example.com&policy={policy}"
            told[f"oslogin/authorize?{query}"] = json.dumps({"success": may})
    return told


@pytest.mark.parametrize(
    ("user", "number"), [("root_too", 2), ("plain", 2), ("nobody_here", 0), ("other", 0)]
)
def test_keys_by_os_login(user: str, number: int) -> None:
    assert Logins(Told(os_login())).keys(user) == [KEY, f"{KEY} second"][:number]


def made(monkeypatch: pytest.MonkeyPatch, told: dict[str, str]) -> list[str]:
    """The commands by which accounts are made of what is told, on a system without any of them."""
    commands: list[str] = []

    def unknown(wanted: object) -> None:
        raise KeyError(wanted)

    monkeypatch.setattr(pwd, "getpwnam", unknown)
    monkeypatch.setattr(grp, "getgrgid", unknown)
    monkeypatch.setattr(environment, "_run", lambda *command: commands.append(" ".join(command)))
    environment.see_to_accounts(Logins(Told(told)))
    return commands


def test_accounts_by_os_login(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(environment, "ADMINISTRATORS", tmp_path)
    (tmp_path / "plain").write_text("was one before")
    options = "--create-home --shell /bin/bash --password * --no-log-init"
    assert made(monkeypatch, os_login()) == [
        "groupadd --gid 70001 root_too",
        f"useradd {options} --uid 70001 --gid 70001 --home-dir /home/root_too root_too",
        "groupadd --gid 70002 plain",
        f"useradd {options} --uid 70002 --gid 70002 --home-dir /home/plain plain",
    ]
    assert [path.name for path in tmp_path.iterdir()] == ["root_too"]
    assert (tmp_path / "root_too").read_text() == "root_too ALL=(ALL) NOPASSWD: ALL\n"


def test_accounts_by_metadata_are_administrators(monkeypatch: pytest.MonkeyPatch) -> None:
    assert made(monkeypatch, attributes({"ssh-keys": f"dev:{KEY}"})) == [
        "useradd --create-home --shell /bin/bash --password * --no-log-init --groups google-sudoers dev"
    ]


@pytest.mark.parametrize(
    ("told", "expected"),
    [
        ({}, ["No startup scripts to run."]),
        (
            {"instance/attributes/startup-script": "#!/bin/sh\necho one\necho two >&2\nexit 3\n"},
            ["startup-script: one", "startup-script: two", "startup-script exit status 3"],
        ),
        ({"project/attributes/startup-script": "echo $0 | grep -c metadata"},
         ["startup-script: 1", "startup-script exit status 0"]),
    ],
)  # fmt: skip
def test_startup_scripts(
    capsys: pytest.CaptureFixture[str], told: dict[str, str], expected: list[str]
) -> None:
    environment.startup_script(Told(told))
    lines = capsys.readouterr().out.splitlines()
    assert lines == ["Starting startup scripts.", *expected, "Finished running startup scripts."]


def test_systemd_is_told(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    path = str(tmp_path / "notify")
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as receiver:
        receiver.bind(path)
        monkeypatch.setenv("NOTIFY_SOCKET", path)
        environment.notify("READY=1")
        assert receiver.recv(100) == b"READY=1"


def test_ways_lead_to_the_emulators_sockets(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Cloud SQL's by the proxy, which is asked for the address that was knocked at."""
    monkeypatch.setattr(environment, "SHOWN", tmp_path)
    asked: list[bytes] = []

    async def metadata(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"metadata:" + await reader.read())
        writer.close()

    async def proxy(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        asked.append(await reader.readuntil(b"\r\n\r\n"))
        if b"127.64.1.3" in asked[-1]:
            writer.write(b"HTTP/1.1 502 Bad Gateway\r\n\r\n")
        else:
            writer.write(b"HTTP/1.1 200 Connection established\r\n\r\n")
            writer.write(b"sql:" + await reader.read())
        writer.close()

    async def ask(host: str, port: int) -> bytes:
        reader, writer = await asyncio.open_connection(host, port)
        writer.write(b"hello")
        writer.write_eof()
        answer = await reader.read()
        writer.close()
        return answer

    async def run() -> list[bytes]:
        servers = [
            await asyncio.start_unix_server(metadata, tmp_path / "metadata"),
            await asyncio.start_unix_server(proxy, tmp_path / "proxy"),
        ]
        listener = socket.create_server(("127.0.0.1", 0))
        ports = [listener.getsockname()[1], *free_ports(2)]
        going = asyncio.create_task(
            environment.ways(listener, ("127.0.0.1", ports[1]), ("0.0.0.0", ports[2]))
        )
        async with asyncio.timeout(10):
            while True:
                try:
                    answers = [await ask("127.64.1.2", ports[2])]
                    break
                except ConnectionRefusedError:
                    await asyncio.sleep(0)
            answers.append(await ask("127.0.0.1", ports[0]))
            answers.append(await ask("127.64.1.3", ports[2]))
        going.cancel()
        for server in servers:
            server.close()
        return answers

    assert asyncio.run(run()) == [b"sql:hello", b"metadata:hello", b""]
    assert [one.split(b" ")[1] for one in asked] == [b"127.64.1.2:3307", b"127.64.1.3:3307"]


def free_ports(number: int) -> list[int]:
    """Ports on which nobody listens."""
    sockets = [socket.create_server(("127.0.0.1", 0)) for _ in range(number)]
    ports: list[int] = [one.getsockname()[1] for one in sockets]
    for one in sockets:
        one.close()
    return ports
