"""A machine that really runs: Debian 12 in a container, as whoever logs in to it, asks it and stops it sees it. All tests share one."""

from __future__ import annotations

import base64
import json
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Literal

import pytest
from gcp_emulator.services.iam.api import IamApi
from gcp_emulator.services.oslogin.ports import LoginProfiles, LoginUser
from gcp_emulator.workloads.docker.command import LABEL, check_engine_for_machines, docker
from gcp_emulator.workloads.docker.machines import ContainerMachines
from gcp_emulator.workloads.sandbox.process import SandboxUnavailable

from emulator.tests.running import PROJECT, RunningEmulator
from emulator.tests.running import until as until_true
from emulator.tests.services.compute.conftest import API, ZONE, Caller, refusal

VM = f"{ZONE}/instances/web"
ACCOUNT = f"web-vm@{PROJECT}.iam.gserviceaccount.com"
BUCKET = "machines-read-this"
STORAGE = "https://storage.googleapis.com"
STARTUP = """\
#!/bin/sh
echo "started as $(id -un)"
date +%s%N >> /var/boots
mkdir -p /srv/web && echo 'the page' > /srv/web/page
systemd-run --quiet --unit=web --working-directory=/srv/web python3 -m http.server 80
"""
#: A way through the emulator's port to the SSH of a machine, for ProxyCommand.
TUNNEL = """\
import os, socket, sys, threading
port, address = sys.argv[1:]
link = socket.create_connection(("127.0.0.1", int(port)))
link.sendall(f"CONNECT {address}:22 HTTP/1.1\\r\\nHost: {address}\\r\\n\\r\\n".encode())
head = b""
while not head.endswith(b"\\r\\n\\r\\n"):
    byte = link.recv(1)
    if not byte:
        sys.exit(head.decode())
    head += byte
if b" 200 " not in head.split(b"\\r\\n")[0]:
    sys.exit(head.decode() + link.recv(4096).decode())
def up():
    while data := os.read(0, 65536):
        link.sendall(data)
    link.shutdown(socket.SHUT_WR)
threading.Thread(target=up, daemon=True).start()
while data := link.recv(65536):
    os.write(1, data)
"""


@dataclass
class Profiles:
    """OS Login as the tests want it."""

    people: list[LoginUser] = field(default_factory=list)
    may: dict[str, Literal["", "login", "admin"]] = field(default_factory=dict)

    def users(self, project: str) -> list[LoginUser]:
        return self.people if project == PROJECT else []

    def may_log_in(self, email: str, instance_path: str) -> Literal["", "login", "admin"]:
        return self.may.get(email, "") if instance_path == VM else ""


class Machine:
    """The machine, and how tests reach it."""

    def __init__(self, emulator: RunningEmulator, folder: Path) -> None:
        self.emulator = emulator
        self.caller = Caller(emulator.session())
        self.profiles = Profiles()
        self.own_logins = emulator.context.ports.find(LoginProfiles)
        # In place of the emulator's own OS Login.
        emulator.context.ports._providers[LoginProfiles] = self.profiles
        self._folder = folder
        self._key = folder / "key"
        subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(self._key)], check=True)
        self.public_key = self._key.with_suffix(".pub").read_text().strip()
        (folder / "tunnel.py").write_text(TUNNEL)

    @property
    def machines(self) -> ContainerMachines:
        found = self.emulator.context.machines
        assert isinstance(found, ContainerMachines)
        return found

    @property
    def address(self) -> str:
        interface = self.caller.get(VM)["networkInterfaces"][0]
        found: str = interface["accessConfigs"][0]["natIP"]
        return found

    def host_keys(self) -> dict[str, str]:
        found = self.caller.get(f"{VM}/getGuestAttributes", queryPath="hostkeys/")
        return {one["key"]: one["value"] for one in found["queryValue"]["items"]}

    def ssh(self, user: str, command: str) -> subprocess.CompletedProcess[str]:
        """Runs a command in the machine, whose host keys are those that it has published."""
        known = self._folder / "known_hosts"
        known.write_text("".join(f"web {kind} {key}\n" for kind, key in self.host_keys().items()))
        tunnel = f"{sys.executable} {self._folder / 'tunnel.py'} {self.emulator.emulator.front.port} {self.address}"
        options = {
            "ProxyCommand": tunnel,
            "UserKnownHostsFile": known,
            "GlobalKnownHostsFile": "/dev/null",
            "StrictHostKeyChecking": "yes",
            "HostKeyAlias": "web",
            "IdentitiesOnly": "yes",
            "IdentityFile": self._key,
            "BatchMode": "yes",
            "LogLevel": "ERROR",
        }
        words = [word for name, value in options.items() for word in ("-o", f"{name}={value}")]
        return subprocess.run(
            ["ssh", "-F", "/dev/null", *words, f"{user}@web", command],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )

    def said(self, user: str, command: str) -> str:
        done = self.ssh(user, command)
        assert done.returncode == 0, done.stderr + done.stdout
        return done.stdout.strip()

    def set_metadata(self, **items: str) -> None:
        told = self.caller.get(VM)["metadata"]
        kept = {one["key"]: one["value"] for one in told["items"]}
        changed = kept | {key.replace("_", "-"): value for key, value in items.items()}
        body = {
            "fingerprint": told["fingerprint"],
            "items": [{"key": key, "value": value} for key, value in changed.items()],
        }
        self.caller.do(f"{VM}/setMetadata", body)

    def console(self) -> str:
        found: str = self.caller.get(f"{VM}/serialPort", port=1)["contents"]
        return found

    def container(self) -> list[str]:
        mark = self.machines.mark
        return docker("ps", "--all", "--quiet", "--filter", f"label={LABEL}={mark}").split()


until = partial(until_true, seconds=30)


@pytest.fixture(scope="module")
def state(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("machines") / "state"


@pytest.fixture(scope="module")
def vm(state: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Machine]:
    """A machine that runs, with an account that may read a bucket, and leaves nothing behind; without an engine the tests are skipped."""
    try:
        check_engine_for_machines()
    except SandboxUnavailable as why:
        pytest.skip(str(why))
    if not docker("image", "ls", "--quiet", "debian:12-slim"):
        pytest.skip("the engine has no image debian:12-slim (python3 tools/engine.py up)")
    running = RunningEmulator(state, machines="containers")
    try:
        machine = Machine(running, tmp_path_factory.mktemp("ssh"))
        accounts = running.emulator.service(IamApi).accounts
        running.call(accounts.create, PROJECT, "web-vm")
        session = running.session()
        assert session.post(f"{STORAGE}/storage/v1/b?project={PROJECT}", json={"name": BUCKET}).ok
        query = {"uploadType": "media", "name": "note"}
        assert session.post(f"{STORAGE}/upload/storage/v1/b/{BUCKET}/o", params=query, data=b"read by it").ok
        running.grant(
            f"projects/_/buckets/{BUCKET}", "roles/storage.objectViewer", f"serviceAccount:{ACCOUNT}"
        )
        for name, port in (("ssh", "22"), ("web", "80")):
            rule = {"name": name, "allowed": [{"IPProtocol": "tcp", "ports": [port]}]}
            machine.caller.do(f"projects/{PROJECT}/global/firewalls", rule | {"sourceRanges": ["0.0.0.0/0"]})
        metadata = {
            "enable-guest-attributes": "TRUE",
            "startup-script": STARTUP,
            "ssh-keys": f"dev:{machine.public_key}",
        }
        machine.caller.machine(
            "web",
            metadata={"items": [{"key": key, "value": value} for key, value in metadata.items()]},
            serviceAccounts=[
                {"email": ACCOUNT, "scopes": ["https://www.googleapis.com/auth/cloud-platform"]}
            ],
        )
        until(lambda: "Finished running startup scripts" in machine.console())
        yield machine
        machine.caller.delete(VM)
        assert machine.container() == []
        assert refusal(machine.caller.session.get(f"{API}/{VM}/getGuestAttributes"))[0] == 404
        assert list(running.context.unhandled) == []
    finally:
        running.stop()
        machines = running.context.machines
        assert isinstance(machines, ContainerMachines)
        machines.clear()


def test_the_startup_script_ran_as_root_and_is_on_the_console(vm: Machine) -> None:
    assert "startup-script: started as root\r\n" in vm.console()
    output = vm.caller.get(f"{VM}/serialPort", port=1, start=100)
    assert output["start"] == "100"
    assert int(output["next"]) > 1000
    assert vm.caller.get(f"{VM}/serialPort", port=2)["contents"] == ""


def test_host_keys_are_published(vm: Machine) -> None:
    assert sorted(vm.host_keys()) == ["ecdsa-sha2-nistp256", "ssh-ed25519", "ssh-rsa"]
    assert base64.b64decode(vm.host_keys()["ssh-ed25519"])[4:15] == b"ssh-ed25519"


def test_who_has_a_key_in_the_metadata_logs_in_as_an_administrator(vm: Machine) -> None:
    """The host's key is the one that was published, or ssh would refuse it."""
    assert vm.said("dev", "id -un; sudo -n id -un; hostname").split() == ["dev", "root", "web"]
    refused = vm.ssh("ops", "true")
    assert refused.returncode == 255
    assert "Permission denied" in refused.stderr


def test_the_account_of_the_machine_reads_an_object(vm: Machine) -> None:
    """By its token, through the proxy that every program finds, with certificates that it trusts; also as root, and in a unit of the system."""
    program = (
        "import json, os, urllib.request as r\n"
        "def get(url, **headers): return r.urlopen(r.Request(url, headers=headers)).read()\n"
        "of = 'http://metadata.google.internal/computeMetadata/v1/instance/service-accounts/default/'\n"
        "flavor = {'Metadata-Flavor': 'Google'}\n"
        "token = json.loads(get(of + 'token', **flavor))['access_token']\n"
        f"url = '{STORAGE}/storage/v1/b/{BUCKET}/o/note?alt=media'\n"
        "print(get(of + 'email', **flavor).decode(), get(url, Authorization='Bearer ' + token).decode())\n"
    )
    encoded = base64.b64encode(program.encode()).decode()
    run = f'python3 -c "$(echo {encoded} | base64 -d)"'
    vm.said("dev", f"echo {encoded} | base64 -d > /tmp/read.py")
    for command in (
        run,
        "sudo -n python3 /tmp/read.py",
        "sudo -n systemd-run -q --pipe --wait python3 /tmp/read.py",
    ):
        assert vm.said("dev", command) == f"{ACCOUNT} read by it"


def test_what_the_machine_is_told_of_itself(vm: Machine) -> None:
    def told(path: str) -> str:
        url = f"http://169.254.169.254/computeMetadata/v1/{path}"
        return vm.said("dev", f"curl -sS -H Metadata-Flavor:Google '{url}'")

    record = vm.caller.get(VM)
    assert told("instance/id") == record["id"]
    assert told("instance/hostname") == f"web.us-central1-a.c.{PROJECT}.internal"
    assert told("instance/zone").endswith("/zones/us-central1-a")
    interface = json.loads(told("instance/network-interfaces/?recursive=true"))[0]
    assert interface["ip"] == record["networkInterfaces"][0]["networkIP"]
    assert interface["accessConfigs"][0]["externalIp"] == vm.address


def test_a_change_of_metadata_is_waited_for(vm: Machine) -> None:
    url = "http://metadata.google.internal/computeMetadata/v1/instance/attributes/?recursive=true&wait_for_change=true"
    vm.said(
        "dev", f"sudo -n systemd-run -q --unit=waits curl -sS -o /run/seen -H Metadata-Flavor:Google '{url}'"
    )
    vm.said("dev", "until pgrep -x curl; do :; done")
    vm.set_metadata(release="7", ssh_keys=f"dev:{vm.public_key}\nlate:{vm.public_key}")
    seen = until(lambda: vm.ssh("dev", "sudo -n cat /run/seen").stdout)
    assert json.loads(seen)["release"] == "7"
    # A key that is new in it opens at once.
    assert vm.said("late", "sudo -n id -un") == "root"


def test_its_address_leads_to_it_as_far_as_the_firewall_lets_in(vm: Machine) -> None:
    session = vm.emulator.session(None)
    name = ".".join(reversed(vm.address.split("."))) + ".bc.googleusercontent.com"
    until(lambda: session.get(f"http://{vm.address}/page").status_code == 200)
    for host in (vm.address, name):
        assert session.get(f"http://{host}/page").text == "the page\n"
    assert session.get(f"http://{vm.address}/none").status_code == 404
    rule = f"{API}/projects/{PROJECT}/global/firewalls/web"
    vm.caller.ended(vm.caller.session.patch(rule, json={"disabled": True}))
    answer = session.get(f"http://{vm.address}/page")
    vm.caller.ended(vm.caller.session.patch(rule, json={"disabled": False}))
    assert answer.status_code == 504
    assert "firewall" in answer.text


def test_os_login_decides_who_may_log_in_and_how(vm: Machine) -> None:
    numbers = {
        "boss_example_com": (70001, "admin"),
        "dev_example_com": (70002, "login"),
        "out_example_com": (70003, ""),
    }
    for name, (number, may) in numbers.items():
        email = f"{name.split('_')[0]}@example.com"
        user = LoginUser(name, number, number, f"/home/{name}", (vm.public_key,), email)
        vm.profiles.people.append(user)
        vm.profiles.may[email] = may  # type: ignore[assignment]
    vm.set_metadata(enable_oslogin="TRUE")
    try:
        command = "id -u; pwd; sudo -n id -u || echo no administrator"
        assert vm.said("boss_example_com", command).split("\n") == ["70001", "/home/boss_example_com", "0"]
        assert vm.said("dev_example_com", command).split("\n")[-1] == "no administrator"
        for nobody in ("out_example_com", "dev"):
            assert "Permission denied" in vm.ssh(nobody, "true").stderr
        vm.profiles.may["boss@example.com"] = "login"
        assert vm.said("boss_example_com", command).split("\n")[-1] == "no administrator"
    finally:
        vm.set_metadata(enable_oslogin="FALSE")


def test_os_login_as_google_is_asked_for_it(vm: Machine) -> None:
    """Keys by the API of OS Login, rights by IAM, the connection through Identity-Aware Proxy's door."""
    emulator = vm.emulator
    emulator.context.ports._providers[LoginProfiles] = vm.own_logins
    someone = "user:someone@example.com"
    body, params = {"key": vm.public_key}, {"projectId": PROJECT}
    url = "https://oslogin.googleapis.com/v1/users/someone@example.com:importSshPublicKey"
    try:
        profile = emulator.session(someone).post(url, json=body, params=params).json()["loginProfile"]
        name = profile["posixAccounts"][0]["username"]
        vm.set_metadata(enable_oslogin="TRUE")
        assert "Permission denied" in vm.ssh(name, "true").stderr
        emulator.grant(f"projects/{PROJECT}", "roles/compute.osAdminLogin", someone)
        emulator.grant(
            f"projects/{PROJECT}/serviceAccounts/{ACCOUNT}", "roles/iam.serviceAccountUser", someone
        )
        assert vm.said(name, "id -un; sudo -n id -un").split() == [name, "root"]
    finally:
        vm.set_metadata(enable_oslogin="FALSE")
        emulator.context.ports._providers[LoginProfiles] = vm.profiles


def test_a_stopped_machine_keeps_its_files(vm: Machine) -> None:
    keys = vm.host_keys()
    boots = int(vm.said("dev", "echo kept > note; wc -l < /var/boots"))
    vm.caller.do(f"{VM}/stop")
    assert vm.caller.get(VM)["status"] == "TERMINATED"
    refused = vm.ssh("dev", "true")
    assert refused.returncode == 255
    assert f"{VM} does not run" in refused.stderr
    vm.caller.do(f"{VM}/start")
    assert vm.caller.get(VM)["status"] == "RUNNING"
    until(lambda: "Finished running startup scripts" in vm.console())
    assert vm.said("dev", "cat note; wc -l < /var/boots").split() == ["kept", str(boots + 1)]
    assert vm.host_keys() == keys
    vm.caller.do(f"{VM}/reset")
    until(lambda: "Finished running startup scripts" in vm.console())
    assert vm.said("dev", "cat note; wc -l < /var/boots").split() == ["kept", str(boots + 2)]


def test_a_machine_reboots_and_shuts_down_by_itself(vm: Machine) -> None:
    boots = int(vm.said("dev", "wc -l < /var/boots"))
    vm.ssh("dev", "sudo -n reboot")
    until(lambda: vm.ssh("dev", "wc -l < /var/boots").stdout.strip() == str(boots + 1))
    assert vm.caller.get(VM)["status"] == "RUNNING"
    vm.ssh("dev", "sudo -n poweroff")
    until(lambda: vm.caller.get(VM)["status"] == "TERMINATED")
    # What is told it meanwhile, it knows at the next start.
    vm.set_metadata(while_off="1")
    vm.caller.do(f"{VM}/start")
    until(lambda: "Finished running startup scripts" in vm.console())
    assert vm.said("dev", "wc -l < /var/boots") == str(boots + 2)
    url = "http://metadata/computeMetadata/v1/instance/attributes/while-off"
    assert vm.said("dev", f"curl -sS -H Metadata-Flavor:Google {url}") == "1"


def test_an_image_that_cannot_be_started_is_named(vm: Machine) -> None:
    image = "projects/ubuntu-os-cloud/global/images/family/ubuntu-2404-lts-amd64"
    disk = {"boot": True, "initializeParams": {"sourceImage": image}}
    body = {"name": "noble", "machineType": "e2-small", "disks": [disk], "networkInterfaces": [{}]}
    ended = vm.caller.ended(vm.caller.post(f"{ZONE}/instances", body), fails=True)
    told = ended["error"]["errors"][0]
    assert told["code"] == "UNSUPPORTED_OPERATION"
    assert "ubuntu-2404" in told["message"]
    assert "of the families debian-12 and debian-13" in told["message"]
    assert vm.caller.session.get(f"{API}/{ZONE}/instances/noble").status_code == 404


def test_a_machine_of_an_emulator_that_was_killed_is_taken_over(vm: Machine) -> None:
    """It goes on running; one that nobody knows is removed."""

    async def take_over() -> list[str]:
        running = vm.machines._running.pop(VM)
        await running.close()
        await vm.machines.open([VM])
        found = vm.container()
        await vm.machines.start(running._machine)
        return found

    form = ("inspect", "--format", "{{.State.StartedAt}}")
    before = vm.container()
    since = docker(*form, *before)
    labels = {
        "gcp-emulator.state": vm.machines.mark,
        "gcp-emulator.machine": "projects/p/zones/z/instances/stray",
    }
    words = [word for name, value in labels.items() for word in ("--label", f"{name}={value}")]
    docker("run", "--detach", *words, "debian:12-slim", "sleep", "60")
    assert vm.emulator.run(take_over()) == before
    assert docker(*form, *before) == since
    until(lambda: "startup-script: started as root" in vm.console())
    assert (
        vm.said("dev", "curl -sS -H Metadata-Flavor:Google http://metadata/computeMetadata/v1/instance/name")
        == "web"
    )
