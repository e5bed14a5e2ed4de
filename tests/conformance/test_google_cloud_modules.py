"""The modules of the collection google.cloud, unmodified, for the resources that they and the emulator both know."""

from __future__ import annotations

import base64
import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from emulator.tests.running import PROJECT
from tests.conformance.cloud import REGION, Cloud
from tests.conformance.collection import google_cloud_collection

EMAIL = f"modules@{PROJECT}.iam.gserviceaccount.com"
BUCKET = f"{PROJECT}-modules"
SECRET = f"secretmanager.googleapis.com/v1/projects/{PROJECT}/secrets/modules"
API = "sts.googleapis.com"
SQL = f"sqladmin.googleapis.com/v1/projects/{PROJECT}/instances/modules"
#: In the order of their creation. Options are those whose second run the modules can compare: see each module's source.
TASKS: list[tuple[str, dict[str, Any]]] = [
    ("gcp_serviceusage_service", {"name": API}),
    ("gcp_iam_service_account", {"name": EMAIL, "display_name": "Modules"}),
    ("gcp_storage_bucket", {"name": BUCKET, "location": REGION.upper(), "labels": {"a": "b"}}),
    ("gcp_secret_manager", {"name": "modules", "value": "hush"}),
    (
        "gcp_sql_instance",
        {
            "name": "modules",
            "region": REGION,
            "database_version": "POSTGRES_15",
            "settings": {"tier": "db-f1-micro", "user_labels": {"a": "b"}},
        },
    ),
    (
        "gcp_sql_database",
        {"name": "site", "charset": "UTF8", "collation": "en_US.UTF8", "instance": "modules"},
    ),
]


@pytest.fixture
def run(cloud: Cloud, tmp_path: Path) -> Callable[[str], dict[str, bool]]:
    """Runs the tasks to a state: whether each module says that it changed something. None may fail."""
    results, book = tmp_path / "results.json", tmp_path / "play.yml"
    environment = {
        **os.environ,
        **cloud.variables,
        "ANSIBLE_COLLECTIONS_PATH": str(google_cloud_collection()),
        "ANSIBLE_LOCALHOST_WARNING": "false",
        "ANSIBLE_PIPELINING": "true",
    }

    def run(state: str) -> dict[str, bool]:
        tasks = TASKS if state == "present" else TASKS[::-1]
        changed = ", ".join(f"'{name}': {name}.changed" for name, _ in tasks)
        play = {
            "hosts": "localhost",
            "connection": "local",
            "gather_facts": False,
            "vars": {"ansible_python_interpreter": sys.executable},
            "tasks": [
                *(
                    {f"google.cloud.{name}": {**given, "state": state}, "register": name}
                    for name, given in tasks
                ),
                {
                    "ansible.builtin.copy": {
                        "content": f"{{{{ {{{changed}}} | to_json }}}}",
                        "dest": str(results),
                    }
                },
            ],
        }
        book.write_text(json.dumps([play]), "utf-8")
        done = subprocess.run(
            [Path(sys.executable).with_name("ansible-playbook"), "-i", "localhost,", book],
            cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=180, check=False,
        )  # fmt: skip
        assert done.returncode == 0, done.stdout + done.stderr
        found: dict[str, bool] = json.loads(results.read_text("utf-8"))
        return found

    return run


def test_what_the_modules_make_is_there_stays_and_goes(
    cloud: Cloud, run: Callable[[str], dict[str, bool]]
) -> None:
    assert run("present") == {name: True for name, _ in TASKS}
    usage = f"serviceusage.googleapis.com/v1/projects/{PROJECT}/services/{API}"
    assert cloud.api(usage)["state"] == "ENABLED"
    account = f"iam.googleapis.com/v1/projects/{PROJECT}/serviceAccounts/{EMAIL}"
    assert cloud.api(account)["displayName"] == "Modules"
    bucket = f"storage.googleapis.com/storage/v1/b/{BUCKET}"
    assert (cloud.api(bucket)["location"], cloud.api(bucket)["labels"]) == (REGION.upper(), {"a": "b"})
    payload = cloud.api(f"{SECRET}/versions/latest:access")["payload"]["data"]
    assert base64.b64decode(payload) == b"hush"
    assert cloud.api(SQL)["settings"]["userLabels"] == {"a": "b"}
    assert cloud.api(f"{SQL}/databases/site")["charset"] == "UTF8"

    assert run("present") == {name: False for name, _ in TASKS}
    assert [one["name"].rpartition("/")[2] for one in cloud.api(f"{SECRET}/versions")["versions"]] == ["1"]

    assert run("absent") == {name: True for name, _ in TASKS}
    assert cloud.api(usage)["state"] == "DISABLED"
    # The module destroys the newest version; it deletes a secret only when told `version: all`.
    assert cloud.api(f"{SECRET}/versions/1")["state"] == "DESTROYED"
    for url in (account, bucket, SQL):
        cloud.api(url, status=404)
