#!/usr/bin/python3 -IS
"""What stands in for Google's guest environment in a virtual machine of gcp-emulator's. It is not Google's, and does of it only what is here.

Usage: environment ways | boot | startup-script | accounts | authorized-keys USER

``ways`` leads from the addresses that programs know to the emulator's sockets. ``boot`` installs the emulator's certificates and makes the host
keys. ``startup-script`` runs the script of that name. ``accounts`` makes the accounts of those who may log in, and ``authorized-keys`` prints the
keys of one, for sshd. Everything is asked of the metadata server.

Sources: https://github.com/GoogleCloudPlatform/guest-agent (google_guest_agent/instance_setup.go: when host keys are made and published, and as what;
google_guest_agent/oslogin.go: which keys of the metadata decide), https://github.com/GoogleCloudPlatform/guest-oslogin (src/oslogin_utils.cc: what is
asked of the metadata server, and the files of administrators), https://cloud.google.com/compute/docs/connect/add-ssh-keys (the form of ``ssh-keys``),
https://cloud.google.com/compute/docs/instances/startup-scripts/linux. The words of the startup script's log are assumed.
"""

from __future__ import annotations

import asyncio
import contextlib
import ctypes
import grp
import http.client
import json
import os
import pwd
import re
import shutil
import socket
import subprocess
import sys
import tempfile
from collections.abc import Callable, Coroutine, Iterator
from datetime import datetime
from pathlib import Path
from typing import Any
from urllib.parse import quote

METADATA_ADDRESS = "169.254.169.254"
#: The network in which the metadata server is, the link to it, and the address of the machine's end.
NETWORK = "metadata"
OWN_ADDRESS = "169.254.169.253"
PROXY_PORT = 3128
SQL_PORT = 3307
#: Whatever loopback address is knocked at.
EVERYWHERE = "0.0.0.0"  # noqa: S104 - who comes from outside is not let in
#: Where the emulator shows its sockets and files.
SHOWN = Path("/var/lib/gcp-emulator")
BUNDLE = Path("/etc/ssl/certs/ca-certificates.crt")
#: What is put here is kept when the system's own certificates change.
OWN_CERTIFICATES = Path("/usr/local/share/ca-certificates/gcp-emulator.crt")
INSTANCE_ID = Path("/etc/google_instance_id")
KEY_TYPES = ("ecdsa", "ed25519", "rsa")
ADMINISTRATORS = Path("/var/google-sudoers.d")
_USER = re.compile(r"[a-z_][a-z0-9_.-]{0,31}", re.IGNORECASE)
_SECONDS = 30
#: Of linux/sched.h.
_CLONE_NEWNET = 0x40000000
_CHUNK = 64 * 1024


class Metadata:
    """The metadata server. OSError when it does not answer."""

    def __init__(self, host: str = METADATA_ADDRESS, port: int = 80) -> None:
        self._host = host
        self._port = port

    def get(self, path: str) -> str | None:
        """What is at a path below ``computeMetadata/v1``; None where nothing is."""
        status, text = self._ask("GET", path, None)
        return text if status == 200 else None

    def publish(self, path: str, value: str) -> bool:
        """Writes a guest attribute; False when the instance publishes none."""
        return self._ask("PUT", f"instance/guest-attributes/{path}", value)[0] == 200

    def _ask(self, method: str, path: str, body: str | None) -> tuple[int, str]:
        connection = http.client.HTTPConnection(self._host, self._port, timeout=_SECONDS)
        try:
            connection.request(method, f"/computeMetadata/v1/{path}", body, {"Metadata-Flavor": "Google"})
            answer = connection.getresponse()
            return answer.status, answer.read().decode()
        finally:
            connection.close()


# ---------------------------------------------------------------- who may log in


def is_true(value: str) -> bool:
    """Whether a value of the metadata says yes (https://cloud.google.com/compute/docs/metadata/setting-custom-metadata#boolean)."""
    return value.strip().lower() in ("true", "yes", "y", "1")


def keys_of(text: str, now: datetime) -> dict[str, list[str]]:
    """The keys of a value of ``ssh-keys`` by user, without those that have expired or cannot be read.

    A line is ``USER:KEY``; at the end of a key that expires is ``google-ssh {"userName": ..., "expireOn": "2026-01-31T12:00:00+0000"}``.
    """
    found: dict[str, list[str]] = {}
    for line in text.splitlines():
        user, _, key = line.strip().partition(":")
        key, mark, terms = key.strip().partition(" google-ssh ")
        if not _USER.fullmatch(user) or len(key.split()) < 2 or (mark and _has_expired(terms, now)):
            continue
        found.setdefault(user, []).append(key)
    return found


def _has_expired(terms: str, now: datetime) -> bool:
    try:
        return datetime.strptime(json.loads(terms)["expireOn"], "%Y-%m-%dT%H:%M:%S%z") <= now
    except (ValueError, KeyError, TypeError):
        return True


class Logins:
    """Who may log in, and by which keys, as the metadata server tells it now."""

    def __init__(self, metadata: Metadata) -> None:
        self._metadata = metadata
        self._of_project = self._attributes("project")
        self._of_instance = self._attributes("instance")

    def _attributes(self, whose: str) -> dict[str, str]:
        found: dict[str, str] = json.loads(self._metadata.get(f"{whose}/attributes/?recursive=true") or "{}")
        return found

    @property
    def by_os_login(self) -> bool:
        """Whether OS Login decides. What the instance says goes before what its project says."""
        return is_true(self._of_instance.get("enable-oslogin", self._of_project.get("enable-oslogin", "")))

    def keys(self, user: str) -> list[str]:
        """The public keys with which a user may log in now."""
        if not self.by_os_login:
            return self.metadata_keys().get(user, [])
        text = self._metadata.get(f"oslogin/users?username={quote(user, safe='')}")
        profiles = json.loads(text or "{}").get("loginProfiles", [])
        if not profiles or not self.allows(profiles[0]["name"], "login"):
            return []
        return [one["key"] for one in profiles[0].get("sshPublicKeys", {}).values()]

    def metadata_keys(self) -> dict[str, list[str]]:
        """The keys of the instance's metadata and, unless the instance blocks them, of its project's."""
        texts = [self._of_instance.get("ssh-keys", "")]
        if not is_true(self._of_instance.get("block-project-ssh-keys", "")):
            texts.append(self._of_project.get("ssh-keys", ""))
        return keys_of("\n".join(texts), datetime.now().astimezone())

    def profiles(self) -> Iterator[dict[str, Any]]:
        """The profiles of all users of OS Login."""
        page: dict[str, Any] = {"nextPageToken": ""}
        # The last page has the number 0 for it (guest-oslogin, src/oslogin_utils.cc).
        while (following := page.get("nextPageToken", "0")) != "0":
            text = self._metadata.get(f"oslogin/users?pagesize=256&pagetoken={following}")
            page = json.loads(text or "{}")
            yield from page.get("loginProfiles", [])

    def allows(self, email: str, policy: str) -> bool:
        """Whether somebody has the policy ``login`` or ``adminLogin`` on this instance."""
        text = self._metadata.get(f"oslogin/authorize?email={quote(email, safe='')}&policy={policy}")
        return bool(json.loads(text or "{}").get("success"))


def see_to_accounts(logins: Logins) -> None:
    """Makes the accounts that are missing of all who may log in, and keeps the list of administrators. Accounts are never removed."""
    if not logins.by_os_login:
        for user in logins.metadata_keys():
            _make_account(user, ["--groups", "google-sudoers"])
        return
    for profile in logins.profiles():
        account = profile["posixAccounts"][0]
        user, uid, gid = account["username"], int(account["uid"]), int(account["gid"])
        if not _USER.fullmatch(user):
            continue
        may = logins.allows(profile["name"], "login")
        administrator = ADMINISTRATORS / user
        if may:
            _make_group(user, gid)
            _make_account(
                user, ["--uid", str(uid), "--gid", str(gid), "--home-dir", account["homeDirectory"]]
            )
        if may and logins.allows(profile["name"], "adminLogin"):
            administrator.write_text(f"{user} ALL=(ALL) NOPASSWD: ALL\n", "ascii")
            administrator.chmod(0o440)
        else:
            administrator.unlink(missing_ok=True)


def _make_group(name: str, gid: int) -> None:
    try:
        grp.getgrgid(gid)
    except KeyError:
        _run("groupadd", "--gid", str(gid), name)


def _make_account(user: str, options: list[str]) -> None:
    try:
        pwd.getpwnam(user)
    except KeyError:
        # The numbers of OS Login would make files of last logins that are huge, though empty.
        _run(
            *("useradd", "--create-home", "--shell", "/bin/bash", "--password", "*", "--no-log-init"),
            *options,
            user,
        )


def _run(*command: str) -> None:
    """Runs a command; what it prints is no answer to whoever connects."""
    subprocess.run(command, stdin=subprocess.DEVNULL, stdout=sys.stderr, check=False)


# ---------------------------------------------------------------- boot


def boot(metadata: Metadata) -> None:
    """Trusts the emulator's certificates. At the first boot of an instance, makes its host keys and publishes them, where it publishes anything."""
    OWN_CERTIFICATES.parent.mkdir(parents=True, exist_ok=True)
    for target in (OWN_CERTIFICATES, BUNDLE):
        shutil.copyfile(SHOWN / "certificates.pem", target)
    number = metadata.get("instance/id") or ""
    if INSTANCE_ID.is_file() and INSTANCE_ID.read_text("ascii").strip() == number:
        return
    for kind in KEY_TYPES:
        path = Path(f"/etc/ssh/ssh_host_{kind}_key")
        for old in (path, path.with_suffix(".pub")):
            old.unlink(missing_ok=True)
        subprocess.run(
            ["/usr/bin/ssh-keygen", "-q", "-t", kind, "-N", "", "-f", str(path)],
            stdin=subprocess.DEVNULL,
            check=True,
        )
        algorithm, key = path.with_suffix(".pub").read_text("ascii").split()[:2]
        if metadata.publish(f"hostkeys/{algorithm}", key):
            print(f"Published the host key {algorithm} as a guest attribute.", flush=True)
    INSTANCE_ID.write_text(f"{number}\n", "ascii")


def startup_script(metadata: Metadata) -> None:
    """Runs the startup script as root; its output is this one's."""
    key = "startup-script"
    print("Starting startup scripts.", flush=True)
    script = metadata.get(f"instance/attributes/{key}") or metadata.get(f"project/attributes/{key}")
    if script:
        with tempfile.TemporaryDirectory(prefix="metadata-scripts") as folder:
            path = Path(folder, key)
            path.write_text(script, "utf-8")
            path.chmod(0o700)
            process = subprocess.Popen(
                ["/bin/bash", "-c", str(path)],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                text=True,
                errors="replace",
            )
            assert process.stdout
            for line in process.stdout:
                print(f"{key}: {line.rstrip()}", flush=True)
            print(f"{key} exit status {process.wait()}", flush=True)
    else:
        print("No startup scripts to run.", flush=True)
    print("Finished running startup scripts.", flush=True)


# ---------------------------------------------------------------- ways


def listen_apart() -> socket.socket:
    """Listens at the address of the metadata server, in a network apart: where a port of one address is taken, no program can listen on that port of all
    addresses, as web servers do."""
    here = f"ip -n {NETWORK}"
    if not Path("/run/netns", NETWORK).exists():
        for command in (
            f"ip netns add {NETWORK}",
            f"ip link add {NETWORK} type veth peer name {NETWORK} netns {NETWORK}",
            f"ip address add {OWN_ADDRESS} peer {METADATA_ADDRESS} dev {NETWORK}",
            f"ip link set {NETWORK} up",
            f"{here} address add {METADATA_ADDRESS} peer {OWN_ADDRESS} dev {NETWORK}",
            f"{here} link set {NETWORK} up",
        ):
            subprocess.run(command.split(), check=True)
    with open("/proc/self/ns/net", "rb") as own, open(f"/run/netns/{NETWORK}", "rb") as apart:
        _enter(apart.fileno())
        try:
            return socket.create_server((METADATA_ADDRESS, 80))
        finally:
            _enter(own.fileno())


def _enter(network: int) -> None:
    """Sockets that are made from now on are of another network. (os.setns is of Python 3.12.)"""
    if ctypes.CDLL(None, use_errno=True).setns(network, _CLONE_NEWNET) != 0:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number))


async def ways(metadata: socket.socket, proxy: tuple[str, int], sql: tuple[str, int]) -> None:
    """Leads from a listening socket and two addresses to the emulator, until it is ended.

    Connections to any loopback address of the port of Cloud SQL go to that address of the emulator's machine: an instance has one of its own.
    """
    # asyncio forgets the task of a connection whose client has gone.
    going: set[asyncio.Task[None]] = set()

    def accepting(handler: Callable[..., Coroutine[Any, Any, None]], name: str) -> Callable[..., None]:
        def accept(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            task = asyncio.create_task(handler(name, reader, writer))
            going.add(task)
            task.add_done_callback(going.discard)

        return accept

    await asyncio.start_server(accepting(_lead, "metadata"), sock=metadata)
    await asyncio.start_server(accepting(_lead, "proxy"), *proxy, backlog=512)
    await asyncio.start_server(accepting(_lead_to_sql, "proxy"), *sql, backlog=512)
    notify("READY=1")
    await asyncio.Event().wait()


def notify(state: str) -> None:
    """Tells systemd (https://www.freedesktop.org/software/systemd/man/latest/sd_notify.html)."""
    address = os.environ.get("NOTIFY_SOCKET", "")
    if address:
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sender:
            sender.sendto(state.encode(), address.replace("@", "\0", 1))


async def _lead(name: str, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    try:
        server = await asyncio.open_unix_connection(str(SHOWN / name))
        await _both_ways((reader, writer), server)
    except OSError as error:
        print(f"{name}: {error}", file=sys.stderr, flush=True)
    finally:
        writer.close()


async def _lead_to_sql(name: str, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    host = writer.get_extra_info("sockname")[0]
    try:
        # From outside of this machine nobody gets in here.
        if host.startswith("127."):
            server = await asyncio.open_unix_connection(str(SHOWN / name))
            server[1].write(f"CONNECT {host}:{SQL_PORT} HTTP/1.1\r\nHost: {host}\r\n\r\n".encode())
            head = await server[0].readuntil(b"\r\n\r\n")
            if head.split(b" ", 2)[1] == b"200":
                await _both_ways((reader, writer), server)
            server[1].close()
    except (OSError, EOFError) as error:
        print(f"Cloud SQL at {host}: {error}", file=sys.stderr, flush=True)
    finally:
        writer.close()


async def _both_ways(
    one: tuple[asyncio.StreamReader, asyncio.StreamWriter],
    other: tuple[asyncio.StreamReader, asyncio.StreamWriter],
) -> None:
    try:
        await asyncio.gather(_pump(one[0], other[1]), _pump(other[0], one[1]))
    finally:
        other[1].close()


async def _pump(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    # A side that has gone is no error.
    with contextlib.suppress(OSError):
        while data := await reader.read(_CHUNK):
            writer.write(data)
            await writer.drain()
        if writer.can_write_eof():
            writer.write_eof()


# ---------------------------------------------------------------- the command


def main(verb: str, *arguments: str) -> None:
    """Runs one verb."""
    metadata = Metadata()
    if verb == "ways":
        asyncio.run(ways(listen_apart(), ("127.0.0.1", PROXY_PORT), (EVERYWHERE, SQL_PORT)))
    elif verb == "boot":
        boot(metadata)
    elif verb == "startup-script":
        startup_script(metadata)
    elif verb == "accounts":
        see_to_accounts(Logins(metadata))
    elif verb == "authorized-keys":
        print("\n".join(Logins(metadata).keys(arguments[0])))
    else:
        raise SystemExit(f"environment: there is no verb {verb}")


if __name__ == "__main__":
    main(*sys.argv[1:])
