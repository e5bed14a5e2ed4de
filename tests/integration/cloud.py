"""Runs modules of the collection against a running emulator, and looks at what came of it by direct calls."""

from __future__ import annotations

import base64
import contextlib
import importlib
import io
import json
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import yaml
from ansible.module_utils.testing import patch_module_args
from gcp_emulator import environment, seed

from emulator.tests.running import PROJECT, RunningEmulator

MODULES = "ansible_collections.org.djangogcp.plugins.modules"
REGION = "us-central1"
OWNER = "owner@example.com"
#: Has no role anywhere.
NOBODY = "nobody@example.com"
#: Owns the other project, and has no role in the first but those of `Cloud.grant`.
STRANGER = "stranger@example.com"
OTHER_PROJECT = "other-project"
#: Where no API is enabled, and none may become so.
BARE_PROJECT = "bare-project"
#: Where APIs are enabled and disabled.
CHANGING_PROJECT = "changing-project"
_SEED = {
    "projects": [
        {
            "id": OTHER_PROJECT,
            "bindings": [{"role": "roles/owner", "members": [f"user:{STRANGER}"]}],
        },
        *(
            {"id": project, "bindings": [{"role": "roles/owner", "members": [f"user:{OWNER}"]}]}
            for project in (BARE_PROJECT, CHANGING_PROJECT)
        ),
    ],
    "users": [OWNER, NOBODY, STRANGER],
}
#: What is remembered about calls and not about resources.
_BOOKKEEPING = ("tokens", "oauth.", "operations", "sqladmin.operations")


@dataclass(frozen=True)
class Result:
    """What a module printed.

    Attributes:
        values: the JSON.
        text: the same as it was printed, to look for what must not be there.
    """

    values: dict[str, Any]
    text: str

    def __getitem__(self, key: str) -> Any:
        return self.values[key]

    def get(self, key: str) -> Any:
        return self.values.get(key)

    @property
    def failed(self) -> bool:
        return bool(self.values.get("failed"))

    @property
    def message(self) -> str:
        return str(self.values.get("msg", ""))


class Cloud:
    """One emulator and the modules that talk to it through its proxy, with the variables that ``gcp-emulator env`` prints."""

    project = PROJECT

    def __init__(self, running: RunningEmulator, patch: pytest.MonkeyPatch) -> None:
        self.running = running
        self._patch = patch
        self._sessions: dict[str, Any] = {}
        state = running.emulator.settings.state
        file = state / "seed.yaml"
        file.write_text(yaml.safe_dump(_SEED), "utf-8")
        running.call(seed.apply, running.context, file)
        #: Everything that a module has printed.
        self.printed: list[str] = []
        for name, value in self.variables(OWNER).items():
            patch.setenv(name, value)
        # Logging in makes a signing key; what is made from here on, a module has made.
        self.ok("resourcemanager_project_info")

    def variables(self, user: str) -> dict[str, str]:
        """The environment of a process that works as ``user``."""
        emulator = self.running.emulator
        state = emulator.settings.state
        credentials = seed.credentials_path(state, user)
        return environment.variables(state, emulator.front.port, PROJECT, credentials)

    def run(self, module: str, *, check: bool = False, user: str = OWNER, **options: Any) -> Result:
        """Run a module with ``--diff`` and return what it printed, whether it failed or not."""
        main = importlib.import_module(f"{MODULES}.{module}").main
        arguments = {**options, "_ansible_check_mode": check, "_ansible_diff": True, "_ansible_verbosity": 4}
        printed = io.StringIO()
        credentials = self.variables(user)["GOOGLE_APPLICATION_CREDENTIALS"]
        with (
            pytest.MonkeyPatch.context() as patch,
            patch_module_args(arguments),
            contextlib.redirect_stdout(printed),
        ):
            patch.setenv("GOOGLE_APPLICATION_CREDENTIALS", credentials)
            # A module puts its warnings into its result; where Ansible's own parts were imported, they would be displayed.
            patch.setattr("ansible.module_utils._internal.is_controller", False)
            with pytest.raises(SystemExit):
                main()
        text = printed.getvalue()
        self.printed.append(text)
        return Result(json.loads(text), text)

    def ok(self, module: str, **options: Any) -> Result:
        """As `run`, for what must not fail."""
        result = self.run(module, **options)
        assert not result.failed, result.values
        return result

    def error(self, module: str, **options: Any) -> str:
        """The message of what must fail."""
        result = self.run(module, **options)
        assert result.failed, result.values
        assert "exception" not in result.values, result["exception"]
        return result.message

    def never_printed(self, value: str) -> bool:
        """Whether no module has printed ``value`` so far, plain or as Google's JSON carries bytes."""
        encoded = base64.b64encode(value.encode()).decode()
        assert len(value) >= 8, "too short to look for"
        return not any(value in text or encoded in text for text in self.printed)

    def shown_secrets(self) -> list[str]:
        """What a module has printed and must not have: the names of secrets by their newest values, and credentials."""
        url = f"secretmanager.googleapis.com/v1/projects/{PROJECT}/secrets"
        names = [one["name"].rpartition("/")[2] for one in self.api(url).get("secrets", [])]
        held = [name for name in names if self.api(f"{url}/{name}/versions").get("versions")]
        values = {f"secret {name}": self.secret_value(name) for name in held}
        for user in (OWNER, NOBODY, STRANGER):
            file = Path(self.variables(user)["GOOGLE_APPLICATION_CREDENTIALS"])
            values[f"refresh token of {user}"] = json.loads(file.read_text("utf-8"))["refresh_token"]
        tokens = self.running.call(self.running.context.store.collection("tokens").names)
        values |= {f"access token {number}": token for number, token in enumerate(tokens)}
        return [name for name, value in values.items() if not self.never_printed(value)]

    def api(
        self, url: str, *, method: str = "GET", body: Any = None, status: int = 200, user: str = OWNER
    ) -> Any:
        """The JSON answer of an API to a user."""
        if user not in self._sessions:
            self._sessions[user] = self.running.session(f"user:{user}")
        answer = self._sessions[user].request(method, f"https://{url}", json=body)
        assert answer.status_code == status, f"{method} {url}: {answer.status_code} {answer.text}"
        return answer.json() if answer.content else {}

    def absent(self, url: str) -> bool:
        """Whether the API answers 404."""
        self.api(url, status=404)
        return True

    def grant(self, role: str, user: str) -> None:
        """Bind a role on the project to a user."""
        self.running.grant(f"projects/{PROJECT}", role, f"user:{user}")

    def resources(self) -> dict[str, dict[str, Any]]:
        """Everything that the emulator remembers about resources, by kind and name."""
        return self.running.call(self._resources)

    def _resources(self) -> dict[str, dict[str, Any]]:
        rows = self.running.context.store.database.execute("SELECT kind, name, body FROM documents")
        found: dict[str, dict[str, Any]] = {}
        for kind, name, body in rows:
            if not kind.startswith(_BOOKKEEPING):
                found.setdefault(kind, {})[name] = json.loads(body)
        return found

    def secret_value(self, secret: str, version: str = "latest") -> str:
        """The value of a version, by a direct call."""
        url = f"secretmanager.googleapis.com/v1/projects/{PROJECT}/secrets/{secret}/versions/{version}:access"
        return base64.b64decode(self.api(url)["payload"]["data"]).decode()

    def members(self, url: str, role: str, *, method: str = "GET", verb: str = ":getIamPolicy") -> list[str]:
        """Who has a role in the policy of a resource, by a direct call."""
        policy = self.api(f"{url}{verb}", method=method, body={} if method == "POST" else None)
        return [
            member for one in policy.get("bindings", []) if one["role"] == role for member in one["members"]
        ]

    def sql(self, instance: str, database: str, statement: str) -> list[tuple[Any, ...]]:
        """Rows, read by the superuser directly from the instance's server."""
        from gcp_emulator.services.sqladmin.api import SqlAdmin

        cluster = self.running.emulator.service(SqlAdmin).servers[f"{PROJECT}/{instance}"]
        with cluster.connect(database) as connection, connection.cursor() as cursor:
            cursor.execute(statement)
            return list(cursor.fetchall())


def until(condition: Callable[[], bool], *, seconds: float = 30) -> None:
    """Wait until a condition holds."""
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "waited in vain"
        time.sleep(0.02)


def write_app(folder: Path) -> Path:
    """The source of a web application in ten lines that needs nothing but Python; also its own jobs."""
    folder.mkdir(parents=True)
    (folder / "Dockerfile").write_text(
        'FROM python:3.11-slim\nWORKDIR /app\nCOPY . .\nUSER 2000\nCMD ["python", "main.py"]\n', "utf-8"
    )
    (folder / "main.py").write_text(
        "import http.server, os, sys\n"
        "class Handler(http.server.BaseHTTPRequestHandler):\n"
        "    def do_GET(self):\n"
        "        self.send_response(200)\n"
        "        self.end_headers()\n"
        '        self.wfile.write(os.environ.get("GREETING", "hello").encode())\n'
        'http.server.ThreadingHTTPServer(("", int(os.environ["PORT"])), Handler).serve_forever()\n',
        "utf-8",
    )
    (folder / "job.py").write_text(
        'import os, sys\nprint("greeting is", os.environ.get("GREETING"))\nsys.exit(int(sys.argv[1]))\n',
        "utf-8",
    )
    return folder
