"""The emulator by itself: latency, throughput, start, memory."""

from __future__ import annotations

import json
import os
import re
import socket
import ssl
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import google.auth.transport.requests
import google.oauth2.credentials
import requests

from tests.bench import wire
from tests.bench.table import Row, median

ROOT = Path(__file__).parents[2]
BIN = ROOT / ".venv/bin"
PROJECT = "bench-project"
OWNER = "owner@example.com"
_HOST = "secretmanager.googleapis.com"
_SEED = {
    "projects": [{"id": PROJECT, "bindings": [{"role": "roles/owner", "members": [f"user:{OWNER}"]}]}],
    "users": [OWNER],
}


class Emulator:
    """A running emulator of its own, with one project and its owner."""

    def __init__(self, state: Path) -> None:
        self.state = state
        self.port = _free_port()
        seed = state.with_suffix(".seed.json")
        seed.write_text(json.dumps(_SEED), "utf-8")
        begin = time.perf_counter()
        command: list[str | Path] = [BIN / "gcp-emulator", "start", "--state", state, "--seed", seed]
        command += ["--port", str(self.port)]
        starter = subprocess.Popen(command, stdout=subprocess.DEVNULL)
        self._wait()
        #: From the command to the first answer, in seconds.
        self.seconds_to_ready = time.perf_counter() - begin
        if starter.wait() != 0:
            raise RuntimeError(f"the emulator did not start; see {state}/emulator.log")
        self.pid = int(json.loads((state / "emulator.lock").read_text("utf-8"))["pid"])

    def _wait(self) -> None:
        request = wire.get("/_emulator/health", f"127.0.0.1:{self.port}")
        deadline = time.monotonic() + 60
        while True:
            try:
                with wire.tcp(self.port) as connection:
                    wire.exchange(connection, request)
                return
            except ConnectionError:
                if time.monotonic() > deadline:
                    raise
                time.sleep(0.005)

    def stop(self) -> None:
        """Ends it and what it runs."""
        subprocess.run(
            [BIN / "gcp-emulator", "stop", "--state", self.state], check=True, stdout=subprocess.DEVNULL
        )

    @property
    def megabytes(self) -> float:
        """The memory of the one process, in MiB."""
        status = Path(f"/proc/{self.pid}/status").read_text("utf-8")
        found = re.search(r"VmRSS:\s+(\d+)", status)
        assert found is not None
        return int(found[1]) / 1024

    def token(self) -> str:
        """An access token of the owner."""
        credentials = google.oauth2.credentials.Credentials.from_authorized_user_file(
            str(self.state / "credentials" / f"{OWNER}.json")
        )
        credentials.refresh(google.auth.transport.requests.Request(self.session()))
        return str(credentials.token)

    def session(self, token: str | None = None) -> requests.Session:
        """A session through the proxy."""
        session = requests.Session()
        session.trust_env = False
        session.proxies = {"https": f"http://127.0.0.1:{self.port}"}
        session.verify = str(self.state / "ca/ca.pem")
        if token is not None:
            session.headers["Authorization"] = f"Bearer {token}"
        return session

    def enable(self, session: requests.Session, *apis: str) -> None:
        """Enables APIs and waits until they are."""
        url = f"https://serviceusage.googleapis.com/v1/projects/{PROJECT}/services"
        ids = [f"{api}.googleapis.com" for api in apis]
        session.post(f"{url}:batchEnable", json={"serviceIds": ids}).raise_for_status()
        while any(session.get(f"{url}/{name}").json()["state"] != "ENABLED" for name in ids):
            time.sleep(0.02)

    def operation(self, session: requests.Session, url: str, body: dict[str, Any]) -> None:
        """A call of Cloud SQL that takes time, awaited."""
        answer = session.post(url, json=body)
        answer.raise_for_status()
        while session.get(answer.json()["selfLink"]).json()["status"] != "DONE":
            time.sleep(0.05)


@contextmanager
def running(state: Path) -> Iterator[Emulator]:
    """An emulator as long as the block lasts."""
    emulator = Emulator(state)
    try:
        yield emulator
    finally:
        emulator.stop()


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def measure(folder: Path, *, starts: int = 5, requests_: int = 3000, seconds: float = 4) -> list[Row]:
    """The rows of the emulator."""
    ready = [_start_once(folder / f"start{number}") for number in range(starts)]
    with running(folder / "emulator") as emulator:
        rows = _latencies(emulator, requests_, seconds)
        megabytes = emulator.megabytes
    return [
        Row(
            "emulator: from its start to the first answer",
            f"{median(ready):.2f} s",
            "",
            "1.5 s",
            median(ready) < 1.5,
        ),
        *rows,
        Row("emulator: memory after that", f"{megabytes:.0f} MiB", "", "150 MiB", megabytes < 150),
    ]


def _start_once(state: Path) -> float:
    with running(state) as emulator:
        return emulator.seconds_to_ready


def _latencies(emulator: Emulator, count: int, seconds: float) -> list[Row]:
    token = emulator.token()
    session = emulator.session(token)
    emulator.enable(session, "secretmanager")
    secrets = f"https://{_HOST}/v1/projects/{PROJECT}/secrets"
    session.post(f"{secrets}?secretId=one", json={"replication": {"automatic": {}}}).raise_for_status()
    request = wire.get(f"/v1/projects/{PROJECT}/secrets/one", _HOST, Authorization=f"Bearer {token}")
    context = ssl.create_default_context(cafile=str(emulator.state / "ca/ca.pem"))

    def connect() -> ssl.SSLSocket:
        return wire.tunnel(emulator.port, _HOST, context)

    kept = _keep_alive(connect(), request, count)
    new = []
    for _ in range(max(1, count // 10)):
        begin = time.perf_counter()
        with connect() as connection:
            wire.exchange(connection, request)
            new.append(time.perf_counter() - begin)
    connections = 16
    before = _cpu_seconds(emulator.pid)
    under_load = wire.load(connect, request, connections=connections, seconds=seconds)
    cpu = (_cpu_seconds(emulator.pid) - before) / len(under_load.latencies)
    return [
        Row(
            "emulator: GET of a secret, connection kept",
            f"{median(kept) * 1e3:.2f} ms",
            "",
            "1 ms",
            median(kept) < 1e-3,
        ),
        Row(
            "emulator: the same with CONNECT and TLS",
            f"{median(new) * 1e3:.2f} ms",
            "",
            "4 ms",
            median(new) < 4e-3,
        ),
        Row(
            f"emulator: requests/s, {connections} TLS connections",
            f"{under_load.per_second:.0f}",
            f"{cpu * 1e6:.0f} µs of CPU each",
            "2,000",
            under_load.per_second > 2000,
        ),
    ]


def _keep_alive(connection: ssl.SSLSocket, request: bytes, count: int) -> list[float]:
    seconds = []
    for _ in range(count):
        begin = time.perf_counter()
        wire.exchange(connection, request)
        seconds.append(time.perf_counter() - begin)
    return seconds[count // 10 :]


def _cpu_seconds(pid: int) -> float:
    fields = Path(f"/proc/{pid}/stat").read_text("utf-8").rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")
