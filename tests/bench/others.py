"""What reading the same resources takes with ``gcloud ... describe`` and with the modules of google.cloud."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import time
from dataclasses import dataclass
from pathlib import Path

from tests.bench.table import median
from tests.conformance.collection import google_cloud_collection
from tests.e2e.rehearsal import BIN, PROJECT, REGION, Rehearsal

_GCLOUD = [
    ["secrets", "describe", "polls-secret-key"],
    ["storage", "buckets", "describe", f"gs://{PROJECT}-polls-media"],
    ["sql", "instances", "describe", "djangogcp"],
    ["iam", "service-accounts", "describe", f"polls-web@{PROJECT}.iam.gserviceaccount.com"],
    ["run", "services", "describe", "polls", "--region", REGION],
]
#: Each module only looks: there is nothing to change.
_TASKS: list[tuple[str, dict[str, object]]] = [
    ("gcp_serviceusage_service", {"name": "run.googleapis.com"}),
    ("gcp_serviceusage_service", {"name": "sqladmin.googleapis.com"}),
    ("gcp_iam_service_account", {"name": f"polls-web@{PROJECT}.iam.gserviceaccount.com"}),
    ("gcp_storage_bucket", {"name": f"{PROJECT}-polls-media"}),
    ("gcp_sql_database", {"name": "polls", "instance": "djangogcp"}),
]


@dataclass(frozen=True)
class Others:
    """What the others take for as many resources as our run looked at."""

    #: Seconds of the fastest of them.
    least: float
    #: All of them, and how they were found.
    text: str


def measure(rehearsal: Rehearsal, resources: int) -> Others:
    """Measures a few of each kind and multiplies: all of them would take minutes and tell the same."""
    book = rehearsal.home / "google-cloud.yml"
    tasks = (_playbook(rehearsal, book, _TASKS) - _playbook(rehearsal, book, [])) / len(_TASKS)
    each = {"a google.cloud task": tasks}
    if shutil.which("gcloud"):
        each["a gcloud describe"] = median(_timed(rehearsal, ["gcloud", *command]) for command in _GCLOUD)
    texts = [f"{one * resources:.0f} s by {name} each ({one:.2f} s)" for name, one in each.items()]
    return Others(min(each.values()) * resources, f"{', '.join(texts)}; {len(_TASKS)} of each measured")


def _timed(rehearsal: Rehearsal, command: list[str], **environment: str) -> float:
    begin = time.perf_counter()
    settings = [f"{name}={value}" for name, value in environment.items()]
    line = f'. {rehearsal.home}/env && exec env "$@"'
    done = subprocess.run(
        ["bash", "-c", line, "bash", *settings, *command],
        cwd=rehearsal.home,
        env=os.environ,
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode != 0:
        raise RuntimeError(f"{' '.join(command)}\n{done.stdout}{done.stderr}")
    return time.perf_counter() - begin


def _playbook(rehearsal: Rehearsal, book: Path, tasks: list[tuple[str, dict[str, object]]]) -> float:
    """The seconds of a playbook with these tasks, the middle of three."""
    play = {
        "hosts": "localhost",
        "connection": "local",
        "gather_facts": False,
        "vars": {"ansible_python_interpreter": str(BIN / "python")},
        "tasks": [{f"google.cloud.{name}": options} for name, options in tasks],
    }
    book.write_text(json.dumps([play]), "utf-8")
    command = [str(BIN / "ansible-playbook"), "-i", "localhost,", str(book)]
    collections = {"ANSIBLE_COLLECTIONS_PATH": str(google_cloud_collection()), "ANSIBLE_PIPELINING": "true"}
    return median(_timed(rehearsal, command, **collections) for _ in range(3))
