"""To a machine as a careful operator goes: OpenSSH as it is, through the collection's ProxyCommand and the emulator's Identity-Aware Proxy, with a key
that OS Login was given and host keys that the machine has published. The machine is an sshd of this test."""

from __future__ import annotations

import asyncio
import contextlib
import getpass
import hashlib
import os
import shlex
import shutil
import socket
import struct
import subprocess
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from ansible_collections.org.djangogcp.plugins.lookup.iap_proxy_command import PROGRAM, command
from gcp_emulator.services.oslogin.ports import LoginProfiles

from tests.integration.cloud import NOBODY, OWNER, PROJECT, REGION, Cloud, until

ROOT = Path(__file__).resolve().parents[2]
ZONE = f"{REGION}-a"
MACHINE = "reached"
SSHD = shutil.which("sshd", path=f"{os.environ['PATH']}:/usr/sbin")
SIZE = 10 * 2**20

pytestmark = pytest.mark.skipif(
    SSHD is None or shutil.which("ssh") is None, reason="needs openssh-client and openssh-server"
)


def new_key(file: Path) -> str:
    """Make a key pair; the public one without its comment."""
    subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", file], check=True)
    return " ".join(Path(f"{file}.pub").read_text().split()[:2])


class Cable:
    """A way to the emulator that can be cut: after so many bytes, once."""

    def __init__(self, port: int) -> None:
        self._port = port
        self._listener = socket.create_server(("127.0.0.1", 0))
        self._pairs: list[tuple[socket.socket, socket.socket]] = []
        self.port = self._listener.getsockname()[1]
        #: How many bytes are left until it is cut; None for never.
        self.left: int | None = None
        self.cuts = 0
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                client, _ = self._listener.accept()
                server = socket.create_connection(("127.0.0.1", self._port))
                self._pairs.append((client, server))
                for source, target in ((client, server), (server, client)):
                    threading.Thread(target=self._pass, args=(source, target), daemon=True).start()

    def _pass(self, source: socket.socket, target: socket.socket) -> None:
        with contextlib.suppress(OSError):
            while data := source.recv(65536):
                if self.left is not None:
                    self.left -= len(data)
                    if self.left < 0:
                        self.left = None
                        self.cut()
                        return
                target.sendall(data)
            target.shutdown(socket.SHUT_WR)

    def cut(self) -> None:
        """Break all connections off."""
        self.cuts += 1
        for pair in self._pairs:
            for one in pair:
                with contextlib.suppress(OSError):
                    one.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
                    one.shutdown(socket.SHUT_RDWR)
                    one.close()
        self._pairs.clear()

    def close(self) -> None:
        with contextlib.suppress(OSError):
            # Who waits for a connection holds it open otherwise.
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        self.cut()


class Way:
    """What it takes to run ssh to the machine."""

    def __init__(self, cloud: Cloud, folder: Path, cable: Cable) -> None:
        self.cloud, self.folder, self.cable = cloud, folder, cable
        self.known_hosts = folder / "known_hosts"

    def environment(self, user: str = OWNER) -> dict[str, str]:
        way = f"http://127.0.0.1:{self.cable.port}"
        return {**os.environ, **self.cloud.variables(user), "HTTPS_PROXY": way, "https_proxy": way}

    def ssh(
        self, said: str, *, user: str = OWNER, port: int = 22, content: bytes = b""
    ) -> subprocess.CompletedProcess[bytes]:
        options = {
            "ProxyCommand": command(MACHINE, PROJECT, ZONE),
            "Port": port,
            "HostKeyAlias": MACHINE,
            "UserKnownHostsFile": self.known_hosts,
            "GlobalKnownHostsFile": "/dev/null",
            "StrictHostKeyChecking": "yes",
            "IdentityFile": self.folder / "login",
            "IdentitiesOnly": "yes",
            "BatchMode": "yes",
        }
        given = (f"-o{name}={value}" for name, value in options.items())
        return subprocess.run(
            ["ssh", "-F", "none", *given, f"{getpass.getuser()}@{MACHINE}", said],
            env=self.environment(user),
            input=content,
            capture_output=True,
            timeout=120,
            check=False,
        )


@pytest.fixture
def sshd(tmp_path: Path) -> Iterator[tuple[int, Path]]:
    """An sshd that lets in whose keys are in a file: its port, and the folder with that file and its host key."""
    assert SSHD is not None
    folder = tmp_path / "machine"
    folder.mkdir(mode=0o700)
    new_key(folder / "host")
    if os.getuid() == 0:
        # Where root's sshd shuts in what has not logged in yet; the service makes it as it starts.
        Path("/run/sshd").mkdir(mode=0o755, exist_ok=True)
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    settings = {
        "Port": port,
        "ListenAddress": "127.0.0.1",
        "HostKey": folder / "host",
        "AuthorizedKeysFile": folder / "authorized_keys",
        "PasswordAuthentication": "no",
        "KbdInteractiveAuthentication": "no",
        "PermitRootLogin": "prohibit-password",
        "StrictModes": "no",
        "UsePAM": "no",
        "PidFile": "none",
    }
    (folder / "config").write_text("".join(f"{name} {value}\n" for name, value in settings.items()))
    with (folder / "log").open("wb") as log:
        running = subprocess.Popen([SSHD, "-D", "-e", "-f", folder / "config"], stderr=log)
    try:
        until(lambda: "Server listening" in (folder / "log").read_text())
        yield port, folder
    finally:
        running.terminate()
        running.wait(20)


@pytest.fixture
def way(
    cloud: Cloud, sshd: tuple[int, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Way]:
    """A machine that runs where tunnels get in, whose host keys are known, and a key to log in with."""
    port, machine = sshd
    ports = {22: port, 23: 9}
    monkeypatch.setattr(
        cloud.running.context.machines,
        "connect",
        lambda name, asked: asyncio.open_connection("127.0.0.1", ports[asked]),
    )
    kind, key = Path(f"{machine}/host.pub").read_text().split()[:2]
    published = {"hostkeys": {kind: key}}
    monkeypatch.setattr(cloud.running.context.machines, "guest_attributes", lambda name: published)
    cloud.ok("compute_network", name="reached", auto_create_subnetworks=True)
    cloud.ok(
        "compute_firewall",
        name="reached-ssh",
        network="reached",
        allowed=[{"ip_protocol": "tcp", "ports": ["22", "23"]}],
        source_ranges=["35.235.240.0/20"],
    )
    cloud.ok(
        "compute_instance",
        name=MACHINE,
        zone=ZONE,
        machine_type="e2-small",
        boot_image="projects/debian-cloud/global/images/family/debian-12",
        subnetwork=f"projects/{PROJECT}/regions/{REGION}/subnetworks/reached",
        metadata={"enable-oslogin": "TRUE", "enable-guest-attributes": "TRUE"},
    )
    public = new_key(tmp_path / "login")
    login = cloud.ok("oslogin_ssh_key", key=public)
    # What the guest of Google's images does: it lets in whom OS Login names.
    users = cloud.running.call(lambda: list(cloud.running.context.ports.find(LoginProfiles).users(PROJECT)))
    (user,) = (one for one in users if one.username == login["username"])
    (machine / "authorized_keys").write_text("".join(f"{key}\n" for key in user.ssh_keys))
    cable = Cable(cloud.running.emulator.front.port)
    found = Way(cloud, tmp_path, cable)
    (told,) = cloud.ok("compute_instance_info", zone=ZONE, names=[MACHINE], host_keys=True)["instances"]
    found.known_hosts.write_text("".join(f"{MACHINE} {key}\n" for key in told["host_keys"]))
    yield found
    cable.close()
    cloud.ok("oslogin_ssh_key", key=public, state="absent")


def test_a_command(way: Way) -> None:
    done = way.ssh("cat; echo over >&2; exit 7", content=b"said")
    assert (done.stdout, done.stderr, done.returncode) == (b"said", b"over\n", 7)


@pytest.mark.parametrize("cut", [None, SIZE // 2], ids=["whole", "cut in the middle"])
def test_much_each_way(way: Way, cut: int | None) -> None:
    content = os.urandom(SIZE)
    way.cable.left = cut
    up = way.ssh("sha256sum", content=content)
    assert up.stdout.split()[:1] == [hashlib.sha256(content).hexdigest().encode()], up.stderr
    (way.folder / "much").write_bytes(content)
    way.cable.left = cut
    down = way.ssh(f"cat {shlex.quote(str(way.folder / 'much'))}")
    assert (down.returncode, down.stdout == content) == (0, True), down.stderr
    assert way.cable.cuts == (0 if cut is None else 2)


def test_both_ways_at_once_over_a_connection_that_breaks(way: Way) -> None:
    content = os.urandom(SIZE)
    way.cable.left = SIZE
    done = way.ssh("cat", content=content)
    assert (done.returncode, done.stdout == content) == (0, True), done.stderr
    assert way.cable.cuts == 1


def test_another_host_key_is_refused(way: Way) -> None:
    way.known_hosts.write_text(f"{MACHINE} {new_key(way.folder / 'other')}\n")
    done = way.ssh("true")
    assert done.returncode == 255
    assert b"Host key verification failed." in done.stderr
    way.known_hosts.write_text("")
    assert b"Host key verification failed." in way.ssh("true").stderr


TARGET = f"Failed to open a tunnel to port {{}} of instance {MACHINE} ({ZONE}, {PROJECT}): "


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        (
            {"user": NOBODY},
            TARGET.format(22)
            + "Identity-Aware Proxy refuses it (4033 not authorized). Grant roles/iap.tunnelResourceAccessor to who connects, on project "
            f"{PROJECT}, and check the names of project, zone and instance.",
        ),
        (
            {"port": 23},
            TARGET.format(23)
            + "Identity-Aware Proxy does not reach it (4003 failed to connect to backend). See that a firewall rule of its network allows "
            "tcp:23 from 35.235.240.0/20, and that something listens there.",
        ),
        (
            {"port": 80},
            TARGET.format(80)
            + "Identity-Aware Proxy does not reach it (4003 failed to connect to backend). See that a firewall rule of its network allows "
            "tcp:80 from 35.235.240.0/20, and that something listens there.",
        ),
    ],
    ids=["no permission", "nothing listens", "no firewall rule"],
)
def test_what_is_wrong_is_said_in_a_line(way: Way, options: dict[str, Any], sentence: str) -> None:
    done = way.ssh("true", **options)
    assert done.returncode == 255
    assert done.stderr.decode().splitlines()[0] == sentence


def test_a_machine_that_does_not_run(way: Way) -> None:
    url = f"compute.googleapis.com/compute/v1/projects/{PROJECT}/zones/{ZONE}/instances/{MACHINE}"
    way.cloud.api(f"{url}/stop", method="POST")
    until(lambda: way.cloud.api(url)["status"] == "TERMINATED")
    try:
        first = way.ssh("true").stderr.decode().splitlines()[0]
    finally:
        way.cloud.api(f"{url}/start", method="POST")
        until(lambda: way.cloud.api(url)["status"] == "RUNNING")
    assert first == (
        TARGET.format(22)
        + "Identity-Aware Proxy finds no such instance that runs (4047 Failed to lookup instance). Check its name and zone, and start it; one "
        "that has just been made is found after a minute."
    )


def test_a_network_that_leads_nowhere(way: Way) -> None:
    way.cable.close()
    first = way.ssh("true").stderr.decode().splitlines()[0]
    assert "refused" in first
    assert "HTTPS_PROXY" in first


def test_no_credential_is_in_an_argument(way: Way) -> None:
    """Asked of the machine, which is this one, while the tunnel is there."""
    shown = way.ssh("ps -ww -eo args").stdout.decode()
    assert PROGRAM.name in shown
    tokens: Callable[[], list[str]] = way.cloud.running.context.store.collection("tokens").names
    assert [token for token in way.cloud.running.call(tokens) if token in shown] == []


def test_ansible_reaches_it(way: Way) -> None:
    lookup = (
        f"lookup('org.djangogcp.iap_proxy_command', inventory_hostname, project='{PROJECT}', zone='{ZONE}')"
    )
    options = f"-o HostKeyAlias={MACHINE} -o UserKnownHostsFile={way.known_hosts} -o StrictHostKeyChecking=yes -o IdentitiesOnly=yes"
    variables = {
        "ansible_user": getpass.getuser(),
        "ansible_ssh_private_key_file": str(way.folder / "login"),
        "ansible_ssh_common_args": f"-F none -o ProxyCommand={{{{ {lookup} | quote }}}} {options}",
        # A path of this test is too long for the socket of one.
        "ansible_ssh_args": "-o ControlMaster=no",
    }
    inventory = way.folder / "inventory.yml"
    inventory.write_text(yaml.safe_dump({"all": {"hosts": {MACHINE: variables}}}), "utf-8")
    done = subprocess.run(
        [
            ROOT / ".venv/bin/ansible",
            MACHINE,
            "-i",
            inventory,
            "-m",
            "ansible.builtin.raw",
            "-a",
            "echo said",
        ],
        cwd=ROOT,
        env=way.environment(),
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert "said" in done.stdout
