"""The Compose stack of a copy of the checkout, under a project name and on ports of its own."""

from __future__ import annotations

import json
import os
import re
import shutil
import socket
import subprocess
import time
from pathlib import Path

import requests

ROOT = Path(__file__).resolve().parents[2]
LOGIN = "admin@example.com"
MEDIA = "djangogcp-local-media"


def docker(*arguments: str, check: bool = True, **environment: str) -> str:
    """What ``docker`` prints, errors included."""
    done = subprocess.run(
        ["docker", *arguments],
        env=os.environ | environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
        timeout=900,
    )
    assert done.returncode == 0 or not check, done.stdout
    return done.stdout


def engine_answers() -> bool:
    """Whether there are a container engine and Compose."""
    if shutil.which("docker") is None:
        return False
    return all(
        subprocess.run(["docker", *words], capture_output=True, check=False).returncode == 0
        for words in (["version"], ["compose", "version"])
    )


def free_port() -> int:
    """A TCP port of 127.0.0.1 that nobody uses."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


class Stack:
    """compose.yaml as it is, in ``folder``."""

    project = "djangogcp-test"

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.app_port, self.gcs_port = free_port(), free_port()
        listed = ["git", "ls-files", "--cached", "--others", "--exclude-standard", "--deduplicate", "-z"]
        overlay = "collections/ansible_collections/org/djangogcp/roles/image/files/overlay"
        parts = ["app", "compose", "compose.yaml", "emulator", overlay]
        output = subprocess.run(
            [*listed, *parts], cwd=ROOT, check=True, capture_output=True, text=True
        ).stdout
        for name in filter(None, output.split("\0")):
            if (ROOT / name).exists():
                (folder / name).parent.mkdir(parents=True, exist_ok=True)
                shutil.copy(ROOT / name, folder / name)

    def compose(self, *arguments: str, check: bool = True, **environment: str) -> str:
        """Runs ``docker compose`` and returns what it prints."""
        return docker(
            *("compose", "--project-name", self.project, "--project-directory", str(self.folder), *arguments),
            check=check,
            APP_PORT=str(self.app_port),
            GCS_PORT=str(self.gcs_port),
            **environment,
        )

    def timed(self, *arguments: str, **environment: str) -> float:
        """Seconds that ``docker compose ...`` takes."""
        begin = time.monotonic()
        self.compose(*arguments, **environment)
        return time.monotonic() - begin

    def inside(self, service: str, *command: str) -> str:
        """What a command prints in the running container of a service."""
        return self.compose("exec", "-T", service, *command)

    @property
    def password(self) -> str:
        """The superuser's."""
        return self.inside("app", "cat", "/run/secrets/superuser/password").strip()

    @property
    def address(self) -> str:
        return f"http://localhost:{self.app_port}"

    def get(self, path: str, session: requests.Session | None = None) -> requests.Response:
        """A page of the site."""
        return (session or requests).get(self.address + path, timeout=30)

    def file(self, url: str) -> requests.Response:
        """A file of the buckets. Browsers find gcs.localhost by themselves, Python's resolver may not."""
        host = f"gcs.localhost:{self.gcs_port}"
        assert url.startswith(f"http://{host}/"), url
        return requests.get(url.replace("gcs.localhost", "127.0.0.1", 1), headers={"Host": host}, timeout=30)

    def objects(self, bucket: str) -> set[str]:
        """The names in a bucket, from fake-gcs-server itself, which the containers reach."""
        url = f"http://gcs:{self.gcs_port}/storage/v1/b/{bucket}/o"
        code = f"import urllib.request as r; print(r.urlopen({url!r}, timeout=30).read().decode())"
        return {
            item["name"] for item in json.loads(self.inside("app", "python", "-c", code)).get("items", [])
        }

    def sql(self, statement: str, host: str = "/cloudsql/") -> str:
        """The answer of the database to the site's own connection, to a ``host`` that begins so: by default the proxy's socket."""
        code = (
            "from django.db import connection as c; cursor = c.cursor(); "
            f"assert c.settings_dict['HOST'].startswith({host!r}), c.settings_dict['HOST']; "
            f"cursor.execute({statement!r}); print('answer', cursor.fetchall())"
        )
        printed = self.inside("app", "python", "manage.py", "shell", "--verbosity", "0", "-c", code)
        return printed.rpartition("answer ")[2].strip()

    def remains(self) -> str:
        """The containers, volumes and networks of the project."""
        label = f"label=com.docker.compose.project={self.project}"
        return (
            docker("ps", "--all", "--quiet", "--filter", label)
            + docker("volume", "ls", "--quiet", "--filter", label)
            + docker("network", "ls", "--quiet", "--filter", label)
        )


def form(page: requests.Response) -> dict[str, str]:
    """The token of the form on a page."""
    token = re.search(r'name="csrfmiddlewaretoken" value="([^"]+)"', page.text)
    assert token is not None, page.text
    return {"csrfmiddlewaretoken": token[1]}


def logged_in(stack: Stack) -> requests.Session:
    """A session of the superuser."""
    session = requests.Session()
    page = stack.get("/accounts/login/", session)
    answer = session.post(
        page.url, data=form(page) | {"username": LOGIN, "password": stack.password, "next": "/"}, timeout=30
    )
    assert answer.url == stack.address + "/", answer.text
    return session
