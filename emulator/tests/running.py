"""A whole emulator on loopback for tests: in this process, in a thread with a loop of its own."""

from __future__ import annotations

import asyncio
import socket
import threading
import time
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Any, TypeVar

import requests
from gcp_emulator.app import Emulator, Settings
from gcp_emulator.engine.context import Context
from gcp_emulator.engine.identity import identity_of
from gcp_emulator.engine.operations import Profile

T = TypeVar("T")

PROJECT = "test-project"
OWNER = "user:owner@example.com"


def until(condition: Callable[[], T], seconds: float = 20) -> T:
    """What the condition gives as soon as it is true."""
    deadline = time.monotonic() + seconds
    while not (found := condition()):
        assert time.monotonic() < deadline, f"it did not come true within {seconds} s"
        time.sleep(0.02)
    return found


class RunningEmulator:
    """A running emulator with one project, whose owner is ``OWNER`` and where every emulated API is enabled."""

    project = PROJECT
    owner = OWNER

    def __init__(self, state: Path, profile: Profile | None = None, machines: str = "none") -> None:
        """Starts it; returns when it answers. ``state`` may hold the store of an earlier one, ``machines`` is what runs virtual machines."""
        listener = socket.create_server(("127.0.0.1", 0))
        self._settings = Settings(state, listener, profile or Profile(), machines=machines)
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)
        self._thread.start()
        self._sessions: list[requests.Session] = []
        self.emulator: Emulator = self.run(self._start())

    async def _start(self) -> Emulator:
        emulator = Emulator(self._settings)
        if emulator.context.projects.find(PROJECT) is None:
            emulator.open_project(PROJECT, OWNER)
        await emulator.start()
        return emulator

    def stop(self) -> None:
        """Stops the emulator and its loop; the state stays. A second call does nothing."""
        if self._loop.is_closed():
            return
        for session in self._sessions:
            session.close()
        self.run(self.emulator.stop())
        self.run(self._loop.shutdown_asyncgens())
        self.run(self._loop.shutdown_default_executor())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    def run(self, work: Coroutine[Any, Any, T]) -> T:
        """The result of a coroutine on the emulator's loop."""
        return asyncio.run_coroutine_threadsafe(work, self._loop).result(60)

    def call(self, function: Callable[..., T], *arguments: Any, **named: Any) -> T:
        """The result of a plain function on the emulator's loop (the store has one writer: that thread)."""

        async def work() -> T:
            return function(*arguments, **named)

        return self.run(work())

    @property
    def context(self) -> Context:
        """What its services are given."""
        return self.emulator.context

    @property
    def number(self) -> str:
        """The project's number."""
        return self.call(self.context.projects.number, PROJECT)

    @property
    def proxy(self) -> str:
        return f"http://127.0.0.1:{self.emulator.front.port}"

    @property
    def environment(self) -> dict[str, str]:
        """The variables that send any client here, for monkeypatch or a subprocess."""
        bundle = str(self.emulator.authority.bundle_path)
        names = ("REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE", "SSL_CERT_FILE")
        proxies = {"HTTPS_PROXY": self.proxy, "https_proxy": self.proxy, "NO_PROXY": "", "no_proxy": ""}
        return proxies | dict.fromkeys(names, bundle)

    def token(self, member: str) -> str:
        """An access token of ``member`` (``user:...`` or ``serviceAccount:...``)."""
        return self.call(self.context.tokens.issue, identity_of(member.partition(":")[2]))[0]

    def session(self, member: str | None = OWNER) -> requests.Session:
        """A session through the proxy as ``member``; None calls without credentials."""
        session = requests.Session()
        session.trust_env = False
        session.proxies = {"https": self.proxy, "http": self.proxy}
        session.verify = str(self.emulator.authority.certificate_path)
        if member is not None:
            session.headers["Authorization"] = f"Bearer {self.token(member)}"
        self._sessions.append(session)
        return session

    def grant(self, resource: str, role: str, member: str) -> None:
        """Binds ``role`` to ``member`` on ``resource`` (``projects/p/secrets/s``)."""
        self.call(self.context.iam.add_binding, resource, role, member)

    def disable(self, host: str) -> None:
        """Disables the API ``host`` (``run.googleapis.com``) in the project."""
        self.call(self.context.projects.set_enabled, PROJECT, host, enabled=False)

    def plan(self, *faults: dict[str, Any]) -> list[dict[str, Any]]:
        """Adds faults as anybody would; returns what was added."""
        answer = self.session(None).post(f"{self.proxy}/_emulator/faults", json={"faults": list(faults)})
        assert answer.status_code == 200, answer.text
        added: list[dict[str, Any]] = answer.json()["faults"]
        return added

    def expect_unhandled(self, *calls: str) -> None:
        """Asserts that exactly these calls were not handled, and forgives them."""
        found = list(self.context.unhandled)
        assert found == list(calls)
        self.context.unhandled.clear()
