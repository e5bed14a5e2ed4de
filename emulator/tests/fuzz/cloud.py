"""The emulator that is fuzzed: two projects, of which the callers own one, and what must hold after every answer."""

from __future__ import annotations

import base64
import contextlib
import http.client
import json
import logging
import time
from pathlib import Path
from typing import Any

from gcp_emulator.engine.discovery import Json

from emulator.tests.fuzz.calls import OTHER, REGION, Request
from emulator.tests.running import OWNER, PROJECT, RunningEmulator

STRANGER = "user:stranger@example.com"
NOBODY = "user:nobody@example.com"
#: In everything that the other project holds, and in nothing that a request says.
MARKER = "what-the-other-project-hides"
#: The longest that an answer may take, in seconds. Operations are waited for that long at most.
PATIENCE = 20.0
#: Calls by chance also delete and disable; after so many everything is put back.
_RESTORED_AFTER = 40


class Errors(logging.Handler):
    """Keeps what was logged as an error: a defect that no answer shows."""

    def __init__(self) -> None:
        super().__init__(logging.ERROR)
        self.texts: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.texts.append(record.getMessage() + (str(record.exc_info) if record.exc_info else ""))


class Cloud:
    """A running emulator, one connection to it, and one token for each caller."""

    def __init__(self, state: Path) -> None:
        self.running = RunningEmulator(state, machines="records")
        self.errors = Errors()
        for name in ("gcp_emulator", "asyncio"):
            logging.getLogger(name).addHandler(self.errors)
        self.running.call(self.running.emulator.open_project, OTHER, STRANGER)
        self.tokens = {"owner": OWNER, "nobody": NOBODY, "stranger": STRANGER}
        self.tokens = {name: self.running.token(member) for name, member in self.tokens.items()}
        self.tokens["garbage"] = "ya29.nobody-issued-this"
        self._connection: http.client.HTTPConnection | None = None
        self._sent = 0
        self._fill(PROJECT, "owner", "thing", "nothing to hide")
        self._fill(OTHER, "stranger", "other", MARKER)
        self._start_sql()
        self.settle()
        self._before = self.belongs_to_other()

    def _fill(self, project: str, caller: str, name: str, text: str) -> None:
        """One of everything that is quick to make, with a string in it."""

        def post(url: str, body: Json) -> None:
            host, _, target = url.partition("/")
            headers = (("Content-Type", "application/json"),)
            request = Request(caller, "POST", host, f"/{target}", headers, json.dumps(body).encode())
            status, answer = self._send(request)
            # 409: it is there.
            assert status < 300 or status == 409, (url, status, answer)

        annotated = {"replication": {"automatic": {}}, "annotations": {"text": text}}
        account = {"accountId": name, "serviceAccount": {"displayName": text}}
        # Service accounts have at least six characters, but this one is named as everything else is.
        account["accountId"] = f"{name}-account"
        post(f"secretmanager.googleapis.com/v1/projects/{project}/secrets?secretId={name}", annotated)
        secret = f"secretmanager.googleapis.com/v1/projects/{project}/secrets/{name}"
        post(f"{secret}:addVersion", {"payload": {"data": base64.b64encode(text.encode()).decode()}})
        post(f"iam.googleapis.com/v1/projects/{project}/serviceAccounts", account)
        repositories = (
            f"artifactregistry.googleapis.com/v1/projects/{project}/locations/{REGION}/repositories"
        )
        post(f"{repositories}?repositoryId={name}", {"format": "DOCKER", "description": text})
        bucket = {"name": f"{project}-thing", "labels": {"text": text.replace(" ", "-")}}
        post(f"storage.googleapis.com/storage/v1/b?project={project}", bucket)
        upload = f"/upload/storage/v1/b/{project}-thing/o?uploadType=media&name={name}"
        stored = self._send(Request(caller, "POST", "storage.googleapis.com", upload, (), text.encode()))
        # A retention policy that came by chance keeps what is there.
        assert stored[0] < 500, stored
        entry = {
            "logName": f"projects/{project}/logs/{name}",
            "textPayload": text,
            "resource": {"type": "global"},
        }
        post("logging.googleapis.com/v2/entries:write", {"entries": [entry]})

    def _start_sql(self) -> None:
        body = {
            "name": "thing",
            "region": REGION,
            "databaseVersion": "POSTGRES_17",
            "settings": {"tier": "db-f1-micro", "edition": "ENTERPRISE", "dataApiAccess": "ALLOW_DATA_API"},
        }
        target = f"/v1/projects/{PROJECT}/instances"
        request = Request("owner", "POST", "sqladmin.googleapis.com", target, (), json.dumps(body).encode())
        status, answer = self._send(request)
        assert status == 200, answer

    def stop(self) -> None:
        for name in ("gcp_emulator", "asyncio"):
            logging.getLogger(name).removeHandler(self.errors)
        self.close()
        self.running.stop()

    def close(self) -> None:
        """Give up the connection; the next request opens another."""
        if self._connection is not None:
            self._connection.close()
            self._connection = None

    @property
    def port(self) -> int:
        return self.running.emulator.front.port

    def send(self, request: Request) -> tuple[int, bytes]:
        """Status and body of the answer. Fails when there is none."""
        self._sent += 1
        if self._sent % _RESTORED_AFTER == 0:
            self.restore()
        return self._send(request)

    def restore(self) -> None:
        """Give the owner back what calls by chance have deleted, disabled and revoked."""
        self.running.call(self.running.emulator.open_project, PROJECT, OWNER)
        self._fill(PROJECT, "owner", "thing", "nothing to hide")

    def _send(self, request: Request) -> tuple[int, bytes]:
        headers = dict(request.headers)
        if request.caller is not None:
            headers["Authorization"] = f"Bearer {self.tokens[request.caller]}"
        encoded = {name: value.encode("latin-1", "replace") for name, value in headers.items()}
        if self._connection is None:
            self._connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=PATIENCE)
        try:
            address = f"/_/{request.host}{request.target}" if request.host else request.target
            self._connection.request(request.method, address, request.body or None, encoded)  # type: ignore[arg-type]
            answer = self._connection.getresponse()
            return answer.status, answer.read()
        except BaseException:
            self.close()
            raise

    def settle(self) -> None:
        """Wait until every operation has ended."""
        deadline = time.monotonic() + 60
        while self.running.call(lambda: bool(self.running.context.operations._tasks)):
            assert time.monotonic() < deadline, "an operation does not end"
            time.sleep(0.02)

    def belongs_to_other(self) -> dict[str, str]:
        """Everything that the store holds of the other project."""
        query = "SELECT kind || ' ' || name, body FROM documents"
        rows = self.running.call(lambda: self.running.context.store.database.execute(query).fetchall())
        return {name: body for name, body in rows if OTHER in name or MARKER in body}

    def check_after_all(self) -> None:
        """Nothing was logged as a defect, the other project is as it was, and the emulator still answers."""
        self.settle()
        assert self.errors.texts == []
        assert self.belongs_to_other() == self._before
        self.close()
        with contextlib.closing(
            http.client.HTTPConnection("127.0.0.1", self.port, timeout=PATIENCE)
        ) as connection:
            connection.request("GET", "/_emulator/health")
            assert connection.getresponse().status == 200


def check(request: Request, status: int, body: bytes) -> None:
    """What holds for every answer: no defect, nothing of the other project, and JSON that says what is wrong."""
    assert status < 500, body[:2000].decode("utf-8", "replace")
    assert MARKER.encode() not in body
    assert base64.b64encode(MARKER.encode()).rstrip(b"=") not in body
    if status >= 400 and body[:1] == b"{":
        error: Any = json.loads(body)["error"]
        assert isinstance(error, str) or error["message"], body
