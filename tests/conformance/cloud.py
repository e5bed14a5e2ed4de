"""An emulator for clients that nobody here wrote: the environment that sends them there, and direct looks at what they did."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from gcp_emulator import environment, seed

from emulator.tests.running import PROJECT, RunningEmulator

REGION = "us-central1"
OWNER = "owner@example.com"
GCLOUD = shutil.which("gcloud")


class Cloud:
    """One running emulator with an empty project, its owner's credentials, and direct calls of the API."""

    def __init__(self, running: RunningEmulator) -> None:
        self.running = running
        state = running.emulator.settings.state
        file = state / "seed.yaml"
        file.write_text(json.dumps({"users": [OWNER]}), "utf-8")
        running.call(seed.apply, running.context, file)
        credentials = seed.credentials_path(state, OWNER)
        #: The variables that `gcp-emulator env` prints.
        self.variables = environment.variables(state, running.emulator.front.port, PROJECT, credentials)
        self.session = running.session()

    @property
    def number(self) -> str:
        return self.running.number

    @property
    def compute_account(self) -> str:
        """The account that builds run as when none is named."""
        return f"{self.number}-compute@developer.gserviceaccount.com"

    def api(self, url: str, *, method: str = "GET", body: Any = None, status: int = 200) -> Any:
        """The JSON answer to the owner, straight from the API."""
        answer = self.session.request(method, f"https://{url}", json=body, timeout=60)
        assert answer.status_code == status, f"{method} {url}: {answer.status_code} {answer.text}"
        return answer.json() if answer.content else {}

    def gcloud(self, *arguments: str | Path, status: int = 0, stdin: str = "") -> str:
        """What gcloud prints (standard output when it succeeds, standard error when it is to fail)."""
        assert GCLOUD is not None
        done = subprocess.run(
            [GCLOUD, *map(str, arguments)],
            env={**os.environ, **self.variables, "CLOUDSDK_RUN_REGION": REGION},
            input=stdin,
            capture_output=True,
            text=True,
            timeout=180,
            check=False,
        )
        assert done.returncode == status, (
            f"gcloud {' '.join(map(str, arguments))}\n{done.stdout}{done.stderr}"
        )
        return done.stderr if status else done.stdout

    def gcloud_json(self, *arguments: str | Path) -> Any:
        """What gcloud prints with ``--format json``."""
        return json.loads(self.gcloud(*arguments, "--format", "json"))


def until(condition: Callable[[], bool], seconds: float = 30) -> None:
    """Wait until ``condition`` holds; AssertionError after ``seconds``."""
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.1)
