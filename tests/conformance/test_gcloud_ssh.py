"""gcloud, unmodified, on its way to a machine: its tunnel through Identity-Aware Proxy, and OS Login. The machine is a server of this test."""

from __future__ import annotations

import asyncio
import os
import shutil
import subprocess
import tempfile
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from emulator.tests.running import PROJECT, RunningEmulator
from emulator.tests.services.compute.conftest import ZONE, Caller
from tests.conformance.cloud import GCLOUD, OWNER, Cloud

pytestmark = pytest.mark.skipif(
    GCLOUD is None, reason="gcloud is not installed (https://cloud.google.com/sdk/docs/install)"
)
PLACE = ("--zone", ZONE.rpartition("/")[2], "--project", PROJECT)


async def shout(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Says in capitals what it hears, and hangs up after a line that ends with a dot."""
    heard = b""
    while not heard.endswith(b".\n") and (data := await reader.read(65536)):
        heard += data
        writer.write(data.upper())
        await writer.drain()
    writer.close()


@pytest.fixture
def machine(monkeypatch: pytest.MonkeyPatch) -> Iterator[Cloud]:
    """A machine that runs, and lets tunnels in to port 22, where it shouts, and 23, where nothing listens."""
    folder = Path(tempfile.mkdtemp(prefix="conformance-"))
    running = RunningEmulator(folder / "state", machines="records")
    try:
        caller = Caller(running.session())
        rule = {
            "sourceRanges": ["35.235.240.0/20"],
            "allowed": [{"IPProtocol": "tcp", "ports": ["22", "23"]}],
        }
        caller.make(f"projects/{PROJECT}/global/firewalls", name="ssh", **rule)
        caller.machine("web")
        server = running.run(asyncio.start_server(shout, "127.0.0.1"))
        ports = {22: server.sockets[0].getsockname()[1], 23: 9}

        async def connect(name: str, port: int) -> Any:
            return await asyncio.open_connection("127.0.0.1", ports[port])

        monkeypatch.setattr(running.context.machines, "connect", connect)
        yield Cloud(running)
        running.call(server.close)
        assert list(running.context.unhandled) == []
    finally:
        running.stop()
        shutil.rmtree(folder)


def tunnel(machine: Cloud, *, name: str = "web", port: int = 22) -> subprocess.Popen[bytes]:
    """gcloud with a tunnel between its standard input and output."""
    assert GCLOUD is not None
    arguments = ("compute", "start-iap-tunnel", name, str(port), "--listen-on-stdin", *PLACE)
    return subprocess.Popen(
        [GCLOUD, *arguments],
        env={**os.environ, **machine.variables},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )


def refusal(machine: Cloud, **target: Any) -> str:
    return tunnel(machine, **target).communicate(b"x", timeout=120)[1].decode()


def test_a_tunnel(machine: Cloud) -> None:
    content = os.urandom(2**20).hex().encode() + b".\n"
    with tunnel(machine) as gcloud:
        assert gcloud.stdin is not None
        assert gcloud.stdout is not None
        # It hangs up as soon as its input ends, so that stays open.
        writing = threading.Thread(target=gcloud.stdin.write, args=(content,))
        writing.start()
        said = gcloud.stdout.read(len(content))
        writing.join()
    assert said == content.upper()


def test_refusals_are_those_that_it_knows(machine: Cloud) -> None:
    assert "[4003: 'failed to connect to backend']. (Failed to connect to port 23)" in refusal(
        machine, port=23
    )
    assert "[4047: 'Failed to lookup instance']" in refusal(machine, name="none")


def test_os_login(machine: Cloud, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    # Whose profile it is, is not in the credentials.
    monkeypatch.setenv("CLOUDSDK_CORE_ACCOUNT", OWNER)
    subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", tmp_path / "key"], check=True)
    public = (tmp_path / "key.pub").read_text().strip()
    login = ("compute", "os-login")
    added = machine.gcloud_json(*login, "ssh-keys", "add", "--key-file", tmp_path / "key.pub", "--ttl", "1h")
    (account,) = added["loginProfile"]["posixAccounts"]
    assert account["username"] == "owner_example_com"
    (key,) = machine.gcloud_json(*login, "ssh-keys", "list")
    assert key["value"]["key"] == public
    assert machine.gcloud_json(*login, "describe-profile")["posixAccounts"] == [account]
    machine.gcloud(*login, "ssh-keys", "update", "--key-file", tmp_path / "key.pub", "--ttl", "2h")
    url = f"oslogin.googleapis.com/v1/users/{OWNER}/loginProfile"
    (changed,) = machine.api(url)["sshPublicKeys"].values()
    assert int(changed["expirationTimeUsec"]) > int(key["value"]["expirationTimeUsec"])
    machine.gcloud(*login, "ssh-keys", "remove", "--key-file", tmp_path / "key.pub")
    assert machine.api(url).get("sshPublicKeys", {}) == {}
    machine.gcloud(*login, "remove-profile", "--quiet")
    assert machine.api(url).get("posixAccounts", []) == []
