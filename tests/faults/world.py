"""An emulator of its own with empty projects, sites in them, and direct looks at what is there."""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import sqlite3
import subprocess
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import google.auth.transport.requests
import google.oauth2.credentials
import requests
import yaml
from gcp_emulator import environment, seed

ROOT = Path(__file__).resolve().parents[2]
BIN = ROOT / ".venv" / "bin"
REGION = "us-central1"
OPERATOR = "operator@example.com"
#: Whose calls no fault strikes.
KEEPER = "keeper@example.com"
#: The name of the database instance, and the one that a person takes when the first could not be made.
INSTANCE, NEXT_INSTANCE = "main-instance", "next-instance"
#: Seconds after which a stalled request counts as lost (GCP_REQUEST_TIMEOUT).
REQUEST_TIMEOUT = 4
#: Kinds of documents that are history, or about callers: they differ from run to run.
_HISTORY = (
    "artifactregistry.holders",
    "cloudbuild.",
    "iam.deleted",
    "iam.keys",
    "oauth.",
    "operations",
    "projects",
    "run.executions",
    "run.revisions",
    "run.tasks",
    "sqladmin.authorities",
    "sqladmin.deleted",
    "sqladmin.operations",
    "tokens",
)


_KEEPERS = {"role": "roles/storage.objectAdmin", "members": [f"user:{KEEPER}"]}
#: Each run that stops leaves one.
_RECORD = re.compile(r"-releases/releases/\d+\.json$")


class Run:
    """A playbook that runs, in a process group of its own."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self.process = process

    def result(self, timeout: float = 900) -> tuple[int, str]:
        """Exit status and output."""
        output, _ = self.process.communicate(timeout=timeout)
        return self.process.returncode, output


class World:
    """The emulator in a process of its own; ``project`` gives one empty project after the other."""

    def __init__(self, folder: Path, projects: int) -> None:
        self.folder = folder
        self.state = folder / "state"
        self._free = [f"faults-{number:03}" for number in range(projects)]
        roles = yaml.safe_load((ROOT / "rehearsal" / "seed.yaml").read_text("utf-8"))["projects"][0][
            "bindings"
        ]
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "seed.yaml").write_text(
            yaml.safe_dump(
                {
                    "projects": [{"id": project, "bindings": [*roles, _KEEPERS]} for project in self._free],
                    "users": [OPERATOR, KEEPER],
                }
            ),
            "utf-8",
        )
        (folder / "runtime").mkdir(mode=0o700, exist_ok=True)
        self.source = folder / "source"
        shutil.copytree(
            Path(__file__).parent / "project", self.source, ignore=shutil.ignore_patterns("__pycache__")
        )
        self._session: requests.Session | None = None
        self.start()

    # The emulator --------------------------------------------------------------------------------------------------------

    def start(self) -> None:
        """Starts the emulator, also after `kill`, at the port that it had."""
        self._newest = 0
        command = [str(BIN / "gcp-emulator"), "start", "--state", str(self.state)]
        subprocess.run(
            [*command, "--seed", str(self.folder / "seed.yaml")], check=True, stdout=subprocess.DEVNULL
        )
        self.port = int((self.state / "port").read_text("utf-8"))

    def stop(self) -> None:
        """Stops the emulator."""
        subprocess.run(
            [str(BIN / "gcp-emulator"), "stop", "--state", str(self.state)],
            check=True,
            stdout=subprocess.DEVNULL,
        )

    def log(self) -> str:
        """What the emulator wrote about itself, for who looks why it could not do something."""
        return (self.state / "emulator.log").read_text("utf-8", "replace")

    def kill(self) -> None:
        """SIGKILL to the emulator."""
        pid = json.loads((self.state / "emulator.lock").read_text("utf-8"))["pid"]
        os.kill(pid, signal.SIGKILL)
        until(
            lambda: (
                not Path(f"/proc/{pid}").exists() or "Z" in Path(f"/proc/{pid}/stat").read_text().split()[2]
            )
        )

    def _control(self, method: str, path: str, body: Any = None) -> Any:
        session = requests.Session()
        session.trust_env = False
        answer = session.request(
            method, f"http://127.0.0.1:{self.port}/_emulator/{path}", json=body, timeout=60
        )
        assert answer.status_code == 200, answer.text
        return answer.json()

    def add_faults(self, *faults: dict[str, Any]) -> None:
        """Adds to the plan."""
        self._control("POST", "faults", {"faults": list(faults)})

    def faults(self) -> list[dict[str, Any]]:
        """The plan, with how often each fault struck."""
        plan: list[dict[str, Any]] = self._control("GET", "faults")["faults"]
        return plan

    def remove_fault(self, fault: str) -> None:
        """Removes one from the plan, by its id."""
        self._control("DELETE", f"faults/{fault}")

    def clear_faults(self) -> list[dict[str, Any]]:
        """Removes the plan; returns what it was and how often it struck."""
        plan = self.faults()
        self._control("DELETE", "faults")
        return plan

    def calls(self, after: int = 0) -> list[dict[str, Any]]:
        """The operator's API calls since the request with that number, in order."""
        found = self._control("GET", f"requests?after={after}")["requests"]
        return [call for call in found if call["caller"] == f"user:{OPERATOR}"]

    def last_number(self) -> int:
        """The number of the newest request."""
        found = self._control("GET", f"requests?after={self._newest}")["requests"]
        self._newest = found[-1]["number"] if found else self._newest
        return self._newest

    # Projects and sites --------------------------------------------------------------------------------------------------

    def project(self) -> str:
        """An empty project that nothing has used."""
        return self._free.pop(0)

    def variables(self, project: str) -> dict[str, str]:
        """What sends a process to the emulator, as the operator."""
        credentials = seed.credentials_path(self.state, OPERATOR)
        return {
            **environment.variables(self.state, self.port, project, credentials),
            "XDG_RUNTIME_DIR": str(self.folder / "runtime"),
            "GCP_REQUEST_TIMEOUT": str(REQUEST_TIMEOUT),
            "ANSIBLE_HOME": str(self.folder / "ansible"),
            "ANSIBLE_REMOTE_TMP": str(self.folder / "ansible" / "tmp"),
            "ANSIBLE_CALLBACK_PLUGINS": str(Path(__file__).parent / "callback"),
            "ANSIBLE_CALLBACKS_ENABLED": "faults",
            "PATH": f"{BIN}{os.pathsep}{os.environ['PATH']}",
        }

    def inventory(self, project: str, sites: dict[str, dict[str, Any]]) -> Path:
        """An inventory of those sites."""
        path = self.folder / f"{project}.yml"
        shared = {
            "ansible_connection": "local",
            "ansible_python_interpreter": "{{ ansible_playbook_python }}",
            "djangogcp_project": project,
            "djangogcp_region": REGION,
            "djangogcp_superuser_email": OPERATOR,
            "djangogcp_source_dir": str(self.source),
            "djangogcp_startup_path": "",
            "djangogcp_liveness_path": "",
            "djangogcp_admin_path": "",
            # A revision that serves one request only is to be found out.
            "djangogcp_smoke_paths": ["/?again"],
            "djangogcp_max_instances": 1,
            "djangogcp_database_deletion_protection": False,
            "djangogcp_database_instance": INSTANCE,
        }
        path.write_text(yaml.safe_dump({"sites": {"hosts": sites, "vars": shared}}), "utf-8")
        return path

    def begin(self, project: str, *options: str, **variables: str) -> Run:
        """Starts a deploy of the project's inventory; `inventory` wrote it."""
        inventory = self.folder / f"{project}.yml"
        if not inventory.exists():
            self.inventory(project, {"site": {}})
        return Run(
            subprocess.Popen(
                ["ansible-playbook", "deploy.yml", "-i", str(inventory), *options],
                cwd=ROOT,
                env={**os.environ, **self.variables(project), **variables},
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                text=True,
                start_new_session=True,
            )
        )

    def deploy(self, project: str, *options: str, **variables: str) -> tuple[int, str]:
        """A whole deploy: exit status and output."""
        return self.begin(project, *options, **variables).result()

    def release(self, text: str) -> None:
        """Changes the project's source, which makes another release."""
        (self.source / "release.txt").write_text(text, "utf-8")

    def served(self, project: str, site: str = "site") -> str:
        """What the site answers at its address: the release, or the status of another answer."""
        number = self.document("projects", project)["projectNumber"]
        answer = self.session().get(f"https://{site}-{number}.{REGION}.run.app/", timeout=60)
        return answer.text if answer.status_code == 200 else str(answer.status_code)

    # What is there -------------------------------------------------------------------------------------------------------

    def _rows(self) -> list[tuple[str, str, str]]:
        database = sqlite3.connect(f"file:{self.state / 'store.sqlite'}?mode=ro", uri=True, timeout=30)
        try:
            return database.execute("SELECT kind, name, body FROM documents").fetchall()
        finally:
            database.close()

    def document(self, kind: str, name: str) -> dict[str, Any]:
        """One document of the emulator's store."""
        found: dict[str, Any] = next(
            json.loads(body) for one, key, body in self._rows() if (one, key) == (kind, name)
        )
        return found

    def failed_commands(self, project: str) -> list[dict[str, Any]]:
        """The executions of a project's jobs in which a command ran and failed."""
        executions = [
            (name, json.loads(body)) for kind, name, body in self._rows() if kind == "run.executions"
        ]
        return [
            body
            for name, body in executions
            if name.startswith(f"projects/{project}/")
            and (body.get("failedCount") or body.get("retriedCount"))
        ]

    def newest_build(self, project: str) -> str:
        """The id of the project's newest build."""
        builds = [json.loads(body) for kind, _, body in self._rows() if kind == "cloudbuild.builds"]
        own = [build for build in builds if build["projectId"] == project]
        return str(max(own, key=lambda build: str(build["createTime"]))["id"])

    def snapshot(self, project: str) -> dict[str, Any]:
        """Every resource of a project by kind and name, with what makes it right; the same for two equal projects."""
        number = self.document("projects", project)["projectNumber"]

        def neutral(text: str) -> str:
            text = text.replace(project, "PROJECT").replace(number, "NUMBER")
            return text.replace(NEXT_INSTANCE, INSTANCE)

        found: dict[str, Any] = {}
        for kind, name, body in self._rows():
            if kind.startswith(_HISTORY) or not (project in name + body or number in name + body):
                continue
            if kind == "storage.objects" and _RECORD.search(name):
                continue
            essence = _essence(kind, json.loads(body))
            if kind == "secretmanager.versions":
                key = f"{kind} {neutral(name).rpartition('/')[0]}"
                found[key] = found.get(key, 0) + (essence == "ENABLED")
            else:
                found[f"{kind} {neutral(name)}"] = json.loads(neutral(json.dumps(essence)))
        return found | self._databases(project)

    def _databases(self, project: str) -> dict[str, Any]:
        """Databases and users of the project's instances, as the API tells them."""
        found: dict[str, Any] = {}
        instances = self.api(f"sqladmin.googleapis.com/v1/projects/{project}/instances").get("items", [])
        for instance in instances:
            for kind in ("databases", "users"):
                url = f"sqladmin.googleapis.com/v1/projects/{project}/instances/{instance['name']}/{kind}"
                for item in self.api(url)["items"]:
                    found[f"sql {kind} {item['name']}"] = sorted(item.get("databaseRoles", []))
        return found

    def api(self, url: str, method: str = "GET") -> Any:
        """The JSON answer of an API to the operator."""
        if self._session is None:
            self._session = self._authorized(OPERATOR)
        answer = self._session.request(method, f"https://{url}", timeout=60)
        assert answer.status_code == 200, f"{url}: {answer.status_code} {answer.text}"
        return answer.json()

    def _authorized(self, user: str) -> requests.Session:
        """Requests of somebody whom the emulator knows."""
        credentials = google.oauth2.credentials.Credentials.from_authorized_user_file(
            str(seed.credentials_path(self.state, user))
        )
        session = self.session()
        credentials.refresh(google.auth.transport.requests.Request(session))
        session.headers["Authorization"] = f"Bearer {credentials.token}"
        return session

    def unlock(self, bucket: str) -> None:
        """Takes the lock away that is held in a bucket, if one is."""
        url = f"https://storage.googleapis.com/storage/v1/b/{bucket}/o/lock.json"
        assert self._authorized(KEEPER).delete(url, timeout=60).status_code in (204, 404)

    def session(self) -> requests.Session:
        """Anonymous requests through the emulator's proxy."""
        session = requests.Session()
        session.trust_env = False
        session.proxies = {"https": f"http://127.0.0.1:{self.port}"}
        session.verify = str(self.state / "ca" / "ca.pem")
        return session


def _essence(kind: str, body: dict[str, Any]) -> Any:
    """What of a document has to be the same after every run."""
    if kind in ("sqladmin.instances", "secretmanager.versions"):
        return body["state"]
    if kind == "run.services":
        status = body["status"]
        shares = [target["percent"] for target in status.get("trafficStatuses", ()) if target.get("percent")]
        ready = status.get("latestReadyRevision") == status.get("latestCreatedRevision")
        return {"shares": shares, "ready": ready, "env": _names(body["spec"]["template"])}
    if kind == "run.jobs":
        return {
            "state": body["status"]["terminalCondition"]["state"],
            "env": _names(body["spec"]["template"]["template"]),
        }
    if kind == "iam.policies":
        return body["bindings"]
    return "there"


def _names(template: dict[str, Any]) -> list[str]:
    return sorted(entry["name"] for entry in template["containers"][0].get("env", ()))


def message_of(output: str) -> str:
    """What a failed playbook says: the messages of its failed tasks."""
    found = re.findall(r"^fatal: \[[^\]]+\]: FAILED! =>((?: .*)?(?:\n  .*)*)", output, re.MULTILINE)
    return "\n".join(found) or output[-2000:]


def until(condition: Callable[[], bool], seconds: float = 60) -> None:
    """Waits until a condition holds."""
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "waited in vain"
        time.sleep(0.05)
