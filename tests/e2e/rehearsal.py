"""A rehearsal as a person would run it, and direct looks (HTTP, API, SQL) at what came of it."""

from __future__ import annotations

import base64
import contextlib
import json
import os
import re
import shutil
import signal
import socket
import struct
import subprocess
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import google.auth.transport.requests
import google.oauth2.credentials
import psycopg2
import requests
from gcp_emulator.workloads.images import remove_tree

ROOT = Path(__file__).resolve().parents[2]
BIN = ROOT / ".venv" / "bin"
PROJECT = "djangogcp-rehearsal-ssl"
REGION = "us-central1"
OPERATOR = "operator@example.com"
_PROPAGATION_SECONDS = 60
_SCOPES = ["https://www.googleapis.com/auth/cloud-platform"]


def engine_answers() -> bool:
    """Whether this machine has a container engine."""
    command = ["docker", "version"]
    return (
        shutil.which("docker") is not None
        and subprocess.run(command, capture_output=True, check=False).returncode == 0
    )


@dataclass(frozen=True)
class Run:
    """A finished command."""

    status: int
    output: str

    def counts(self, host: str) -> dict[str, int]:
        """The counts of the recap for one host: ok, changed, failed and so on."""
        recap = self.output.rpartition("PLAY RECAP")[2]
        line = next(line for line in recap.splitlines() if line.startswith(host + " "))
        return {name: int(number) for name, number in re.findall(r"(\w+)=(\d+)", line)}

    def changed_tasks(self) -> list[str]:
        """The tasks that changed something, in order."""
        found, task = [], ""
        for line in self.output.splitlines():
            if header := re.match(r"TASK \[(.*?)\]", line):
                task = header[1]
            elif line.startswith("changed:") and task not in found:
                found.append(task)
        return found


@dataclass(frozen=True)
class Process:
    """A process of a rehearsal."""

    pid: int
    command: bytes

    def listening(self) -> set[str]:
        """The addresses at which it listens in this machine's network, as ``127.0.0.1:8910``."""
        folder = Path(f"/proc/{self.pid}")
        if os.readlink(folder / "ns/net") != os.readlink("/proc/self/ns/net"):
            return set()
        sockets = {os.readlink(fd) for fd in (folder / "fd").iterdir()}
        found = set()
        for family, table in ((socket.AF_INET, "tcp"), (socket.AF_INET6, "tcp6")):
            for line in (folder / "net" / table).read_text("utf-8").splitlines()[1:]:
                fields = line.split()
                if fields[3] == "0A" and f"socket:[{fields[9]}]" in sockets:
                    address, _, port = fields[1].partition(":")
                    words = [int(address[at : at + 8], 16) for at in range(0, len(address), 8)]
                    packed = struct.pack(f"={len(words)}I", *words)
                    found.add(f"{socket.inet_ntop(family, packed)}:{int(port, 16)}")
        return found


class Rehearsal:
    """One state folder, its emulator, and ways to act on it and to look at it."""

    def __init__(self, home: Path, **environment: str) -> None:
        self.home = home
        self._environment = {**os.environ, "REHEARSAL_HOME": str(home), **environment}
        # These come from the `make test` around the tests and would change what `make` and Ansible do here.
        for name in ("ANSIBLE_HOME", "MAKEFLAGS", "MAKELEVEL", "MFLAGS"):
            self._environment.pop(name, None)
        self._sessions: dict[str, requests.Session] = {}
        self._is_as_saved = False

    @property
    def state(self) -> Path:
        return self.home / "emulator"

    @property
    def port(self) -> int:
        return int((self.state / "port").read_text("utf-8"))

    def make(self, verb: str, *words: str, timeout: float = 900) -> Run:
        """``make VERB NAME=VALUE...`` in the checkout."""
        return self._run(["make", verb, *words], timeout)

    def start(self) -> None:
        """The emulator and the variables that lead to it, without a deploy."""
        started = self._run([str(BIN / "python"), str(ROOT / "tools" / "rehearse.py"), "env"], 90)
        assert started.status == 0, started.output

    def save(self) -> None:
        """Keeps everything as it is now, for `restore`."""
        self._copy(self.home, self._saved)
        self._is_as_saved = True

    def restore(self) -> None:
        """Makes everything what it was at `save`, for somebody who is going to change it."""
        if not self._is_as_saved:
            self._copy(self._saved, self.home)
            self._sessions.clear()
        self._is_as_saved = False

    @property
    def _saved(self) -> Path:
        return self.home.with_name(f"{self.home.name}-saved")

    def _copy(self, source: Path, target: Path) -> None:
        """Copies one folder over another while the emulator stands still. Databases have owners of their own, which only cp keeps."""
        stopped = self.make("rehearse-stop")
        assert stopped.status == 0, stopped.output
        if target.exists():
            remove_tree(target)
        subprocess.run(["cp", "-a", source, target], check=True)
        self.start()

    def shell(self, line: str, *, timeout: float = 600) -> Run:
        """A line of shell after ``. .rehearsal/env``, as the README has it."""
        return self._run(["bash", "-c", f". {self.home}/env && {line}"], timeout)

    def playbook(self, playbook: str, *options: str, inventory: str | Path = "inventories/local") -> Run:
        """``ansible-playbook PLAYBOOK -i INVENTORY OPTIONS``."""
        command = ["ansible-playbook", playbook, "-i", str(inventory), *options]
        return self._run(["bash", "-c", f'. {self.home}/env && exec "$@"', "bash", *command], 900)

    @contextlib.contextmanager
    def going_on(
        self, output: Path, playbook: str, *options: str, inventory: str | Path = "inventories/local"
    ) -> Iterator[subprocess.Popen[bytes]]:
        """As `playbook`, while it runs: a process group of its own, which prints into the file ``output`` and is ended at the end."""
        command = ["ansible-playbook", playbook, "-i", str(inventory), *options]
        with (
            output.open("wb") as file,
            subprocess.Popen(
                ["bash", "-c", f'. {self.home}/env && exec "$@"', "bash", *command],
                cwd=ROOT,
                env=self._environment,
                stdin=subprocess.DEVNULL,
                stdout=file,
                stderr=subprocess.STDOUT,
                process_group=0,
                # A shell that runs tests in the background lets them ignore it.
                preexec_fn=lambda: signal.signal(signal.SIGINT, signal.default_int_handler),
            ) as process,
        ):
            try:
                yield process
            finally:
                with contextlib.suppress(ProcessLookupError):
                    os.killpg(process.pid, signal.SIGKILL)

    def _run(self, command: list[str], timeout: float) -> Run:
        done = subprocess.run(
            command,
            cwd=ROOT,
            env=self._environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=timeout,
            check=False,
        )
        return Run(done.returncode, done.stdout)

    def session(self) -> requests.Session:
        """Anonymous requests that go through the emulator's proxy."""
        session = requests.Session()
        session.trust_env = False
        session.proxies = {"https": f"http://127.0.0.1:{self.port}"}
        session.verify = str(self.state / "ca" / "ca.pem")
        return session

    def _authorized(self) -> requests.Session:
        if "operator" not in self._sessions:
            credentials = google.oauth2.credentials.Credentials.from_authorized_user_file(
                str(self.state / "credentials" / f"{OPERATOR}.json"), scopes=_SCOPES
            )
            credentials.refresh(google.auth.transport.requests.Request(self.session()))
            session = self.session()
            session.headers["Authorization"] = f"Bearer {credentials.token}"
            self._sessions["operator"] = session
        return self._sessions["operator"]

    def api(self, url: str, *, method: str = "GET", body: Any = None, status: int = 200) -> Any:
        """The JSON answer of one of Google's APIs to the operator."""
        response = self._authorized().request(method, f"https://{url}", json=body, timeout=60)
        assert response.status_code == status, f"{method} {url}: {response.status_code} {response.text}"
        return response.json() if response.content else {}

    def once_in_force(self, url: str, *, method: str = "GET", body: Any = None) -> Any:
        """As `api`, as soon as the grants and accounts of a moment ago have taken effect, which Google Cloud lets everybody wait for, too."""
        deadline = time.monotonic() + _PROPAGATION_SECONDS
        while True:
            response = self._authorized().request(method, f"https://{url}", json=body, timeout=60)
            pending = response.status_code == 403 or "does not exist" in response.text
            if not pending or time.monotonic() > deadline:
                assert response.status_code == 200, f"{method} {url}: {response.status_code} {response.text}"
                return response.json()
            time.sleep(0.1)

    def download(self, url: str) -> bytes:
        """The bytes at one of Google's addresses, for the operator."""
        response = self._authorized().get(f"https://{url}", timeout=60)
        assert response.status_code == 200, f"{url}: {response.status_code} {response.text}"
        return response.content

    def processes(self) -> list[Process]:
        """The emulator and everything that it has started, as long as each lives."""
        running = json.loads((self.state / "emulator.lock").read_text("utf-8"))["pid"]
        found, parents = {}, {}
        for folder in Path("/proc").iterdir():
            if folder.name.isdigit():
                with contextlib.suppress(OSError):  # it has ended
                    # The name in brackets may hold anything.
                    parents[int(folder.name)] = int(
                        (folder / "stat").read_text("utf-8").rpartition(")")[2].split()[1]
                    )
                    found[int(folder.name)] = (folder / "cmdline").read_bytes()

        def belongs(pid: int) -> bool:
            return pid == running or (pid in parents and belongs(parents[pid]))

        ours = str(self.state).encode()
        return [Process(pid, command) for pid, command in found.items() if belongs(pid) or ours in command]

    def containers(self) -> list[Any]:
        """What the container engine says of each container that this rehearsal runs; none where there is no engine."""
        if not engine_answers():
            return []
        listed = ["docker", "ps", "--all", "--quiet", "--filter", "label=gcp-emulator.state"]
        found = subprocess.run(listed, capture_output=True, text=True, check=True).stdout.split()
        if not found:
            return []
        shown = subprocess.run(["docker", "inspect", *found], capture_output=True, text=True, check=False)
        return [
            container
            for container in json.loads(shown.stdout)
            if any(mount.get("Source", "").startswith(f"{self.state}/") for mount in container["Mounts"])
        ]

    def service(self, site: str) -> Any:
        """The site's Cloud Run service, as the API has it."""
        return self.api(f"run.googleapis.com/v2/projects/{PROJECT}/locations/{REGION}/services/{site}")

    def get(self, site: str, path: str) -> requests.Response:
        """A page of the site at its real address."""
        return self.session().get(self.url(site) + path, timeout=60)

    def url(self, site: str) -> str:
        """The site's real address."""
        return f"https://{site}-{self.project_number}.{REGION}.run.app"

    def browser_url(self, site: str) -> str:
        """The site's address for a browser."""
        return f"http://{site}-{self.project_number}.{REGION}.run.app.localhost:{self.port}"

    @property
    def project_number(self) -> str:
        project = self.api(f"cloudresourcemanager.googleapis.com/v3/projects/{PROJECT}")
        return str(project["name"]).rpartition("/")[2]

    def secret(self, name: str) -> str:
        """The newest value of a secret, from the emulator's API."""
        found = self.api(
            f"secretmanager.googleapis.com/v1/projects/{PROJECT}/secrets/{name}/versions/latest:access"
        )
        return base64.b64decode(found["payload"]["data"]).decode()

    def secret_values(self) -> list[str]:
        """Every secret value there is: none of them may ever be printed."""
        listed = self.api(f"secretmanager.googleapis.com/v1/projects/{PROJECT}/secrets")
        names = [secret["name"].rpartition("/")[2] for secret in listed["secrets"]]
        return [self.secret(name) for name in names]

    def sql(self, statement: str, *, database: str, user: str, password: str) -> list[tuple[Any, ...]]:
        """Rows, straight from the PostgreSQL server, as one of its users. psycopg2.Error when it refuses."""
        cluster = next((self.state / "sql").rglob("server.json"))
        port = json.loads(cluster.read_text("utf-8"))["port"]
        connection = psycopg2.connect(
            host="127.0.0.1", port=port, dbname=database, user=user, password=password
        )
        try:
            with connection, connection.cursor() as cursor:
                cursor.execute(statement)
                return cursor.fetchall() if cursor.description else []
        finally:
            connection.close()

    def unhandled(self) -> list[str]:
        """API calls that the emulator could not answer."""
        answer = requests.get(f"http://127.0.0.1:{self.port}/_emulator/unhandled", timeout=10)
        return list(answer.json()["unhandled"])

    def requests(self, after: int = 0) -> list[dict[str, Any]]:
        """The emulator's log of API calls from a number on."""
        url = f"http://127.0.0.1:{self.port}/_emulator/requests"
        return list(requests.get(url, {"after": after}, timeout=10).json()["requests"])
