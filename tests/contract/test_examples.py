"""The EXAMPLES of every module, run as one playbook against the emulator: first all that make something, at last what deletes."""

from __future__ import annotations

import ast
import json
import os
import re
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from gcp_emulator import environment, seed
from gcp_emulator.databases.postgres.binaries import find_binaries
from gcp_emulator.workloads.sandbox.bubblewrap import check_available
from gcp_emulator.workloads.sandbox.process import SandboxUnavailable

from emulator.tests.running import RunningEmulator
from tests.contract.wire import COLLECTION, ROOT

#: In the order in which a project can use them.
MODULES = (
    "resourcemanager_project_info",
    "serviceusage_services",
    "ownership_info",
    "read_ahead",
    "compute_address",
    "compute_firewall",
    "compute_instance_info",
    "compute_instance",
    "compute_network",
    "compute_network_info",
    "compute_router",
    "compute_subnetwork",
    "iam_service_accounts",
    "iam_service_accounts_info",
    "artifactregistry_repository",
    "artifactregistry_repository_info",
    "storage_buckets",
    "storage_buckets_info",
    "storage_lock",
    "storage_record",
    "storage_records_info",
    "storage_static_retention",
    "secretmanager_secrets",
    "secretmanager_secrets_info",
    "iam_members",
    "cloudbuild_build",
    "release_parts_info",
    "artifactregistry_image_retention",
    "sql_instance",
    "sql_instance_info",
    "sql_database",
    "sql_database_info",
    "sql_backup_run",
    "sql_users",
    "sql_users_info",
    "sql_statements",
    "sql_database_copy",
    "run_jobs",
    "run_jobs_info",
    "run_job_execution",
    "run_job_execution_info",
    "run_worker_pool",
    "run_worker_pools_info",
    "run_service",
    "run_canary",
    "run_revision_retention",
    "run_service_info",
    "smoke_test",
    "logging_entries_info",
    "failures_info",
    "certificates_info",
    "oslogin_ssh_key",
)
#: What is there or is not.
NOTHING_TO_CHANGE = ("serviceusage_services", "sql_backup_run", "sql_database", "storage_record")
OWNER = "owner@example.com"
#: What the examples take for granted, as tasks before those of a module.
BEFORE: dict[str, list[dict[str, Any]]] = {
    "storage_lock": [
        {
            "org.djangogcp.storage_buckets": {
                "buckets": [{"name": "my-project-polls-releases", "location": "us-central1"}]
            }
        }
    ],
    "serviceusage_services": [
        {
            "org.djangogcp.serviceusage_services": {
                "services": [
                    "artifactregistry.googleapis.com",
                    "cloudbuild.googleapis.com",
                    "cloudresourcemanager.googleapis.com",
                    "compute.googleapis.com",
                    "iam.googleapis.com",
                    "logging.googleapis.com",
                    "storage.googleapis.com",
                ]
            }
        }
    ],
    "iam_service_accounts": [
        {
            "org.djangogcp.iam_service_accounts": {
                "service_accounts": [{"name": "polls-build"}, {"name": "deployer"}],
            }
        }
    ],
    "cloudbuild_build": [
        {
            "org.djangogcp.storage_buckets": {
                "buckets": [{"name": "my-project-polls-source", "location": "us-central1"}]
            }
        },
        {
            "org.djangogcp.iam_members": {
                "members": [
                    {
                        "role": role,
                        "members": ["serviceAccount:polls-build@my-project.iam.gserviceaccount.com"],
                    }
                    for role in (
                        "roles/artifactregistry.writer",
                        "roles/logging.logWriter",
                        "roles/storage.objectViewer",
                    )
                ]
            }
        },
    ],
    "secretmanager_secrets": [
        {
            "org.djangogcp.secretmanager_secrets": {
                "secrets": [{"name": "polls-migrator-db-password", "generate": {}}],
            }
        }
    ],
    # A database that is not empty is left alone: for another one a machine needs pg_dump of the server's version.
    "sql_database_copy": [
        {"org.djangogcp.sql_database": {"instance": "djangogcp", "name": "polls_pr1"}},
        {
            "org.djangogcp.sql_users": {
                "instance": "djangogcp",
                "users": [
                    {
                        "name": OWNER,
                        "type": "CLOUD_IAM_USER",
                        "database_roles": ["cloudsqlsuperuser"],
                        "append_roles": True,
                    }
                ],
            }
        },
        {
            "org.djangogcp.sql_statements": {
                "instance": "djangogcp",
                "database": "polls_pr1",
                "statements": [
                    {
                        "name": "fill it",
                        "check": "SELECT 1 FROM pg_tables WHERE tablename = 'filled'",
                        "statement": "CREATE TABLE filled (n integer)",
                    }
                ],
            }
        },
    ],
    "smoke_test": [
        {
            "org.djangogcp.iam_members": {
                "members": [
                    {
                        "resource_type": "service_account",
                        "resource": "polls-web",
                        "role": "roles/iam.serviceAccountOpenIdTokenCreator",
                        "members": [f"user:{OWNER}"],
                    }
                ]
            }
        }
    ],
    "sql_users": [
        {
            "org.djangogcp.secretmanager_secrets": {
                "secrets": [{"name": "clerk-db-password", "generate": {}}],
            }
        },
        {
            "org.djangogcp.sql_instance": {
                "name": "shop",
                "region": "us-central1",
                "database_version": "MYSQL_8_4",
                "tier": "db-custom-1-3840",
            }
        },
        {"org.djangogcp.sql_database": {"instance": "djangogcp", "name": "polls"}},
        {
            "org.djangogcp.sql_users": {
                "instance": "djangogcp",
                "users": [{"name": OWNER, "type": "CLOUD_IAM_USER", "database_roles": ["cloudsqlsuperuser"]}],
            }
        },
    ],
    "sql_statements": [
        {
            "org.djangogcp.sql_users": {
                "instance": "djangogcp",
                "users": [{"name": OWNER, "type": "CLOUD_IAM_USER", "database_roles": ["cloudsqlsuperuser"]}],
            }
        }
    ],
    "run_canary": [
        {
            "org.djangogcp.run_service": {
                "location": "us-central1",
                "name": "polls",
                "template": {
                    "containers": [{"image": "{{ image }}", "env": [{"name": "SECOND", "value": "yes"}]}]
                },
                "candidate_tag": "candidate",
            },
            "register": "second",
        },
        {
            "org.djangogcp.run_service": {
                "location": "us-central1",
                "name": "polls",
                "candidate_tag": "candidate",
                "canary": {"percent": 10},
                "latest_revision": "{{ second.candidate.revision }}",
            }
        },
    ],
    "run_job_execution": [
        {
            "org.djangogcp.run_jobs": {
                "location": "us-central1",
                "jobs": [
                    {
                        "name": "polls-manage",
                        "template": {
                            "template": {
                                "max_retries": 0,
                                "containers": [{"image": "{{ image }}", "command": ["python"]}],
                            }
                        },
                    }
                ],
            }
        }
    ],
}
#: Before the deletions: an instance is protected as its example asks for.
UNPROTECT = {"org.djangogcp.sql_instance": {"name": "djangogcp", "deletion_protection_enabled": False}}
#: The instance that the example of a user of MySQL takes for granted.
WITHOUT_MYSQL = {"org.djangogcp.sql_instance": {"name": "shop", "state": "absent"}}
SERVER = (
    "import http.server, os, sys\n"
    'print("arguments", *sys.argv[1:])\n'
    "if len(sys.argv) == 1:\n"
    "    class Handler(http.server.SimpleHTTPRequestHandler):\n"
    "        def do_GET(self):\n"
    "            self.send_response(200)\n"
    "            self.end_headers()\n"
    '            self.wfile.write(b"csrfmiddlewaretoken")\n'
    '    http.server.ThreadingHTTPServer(("", int(os.environ["PORT"])), Handler).serve_forever()\n'
)


def examples(module: str) -> list[dict[str, Any]]:
    """The tasks of a module's EXAMPLES."""
    tree = ast.parse((COLLECTION / "plugins" / "modules" / f"{module}.py").read_text("utf-8"))
    for node in tree.body:
        if isinstance(node, ast.Assign) and getattr(node.targets[0], "id", "") == "EXAMPLES":
            return list(yaml.safe_load(ast.literal_eval(node.value)))
    raise AssertionError(f"{module} has no EXAMPLES")


def deletes(task: dict[str, Any]) -> bool:
    """Whether an example asks for something to be absent."""
    return "absent" in re.findall(r"'state': '(\w+)'", str(task))


def modules_with_state() -> list[str]:
    """The modules that make and delete something."""
    return [module for module in MODULES if any(deletes(task) for task in examples(module))]


def test_every_module_is_in_the_list() -> None:
    modules = [path.stem for path in (COLLECTION / "plugins" / "modules").glob("*.py")]
    # One calls nobody, and the other tells of a deploy, whose facts it takes.
    assert sorted([*MODULES, "adopt", "source_archive", "summary"]) == sorted(modules)


@pytest.mark.parametrize("module", MODULES)
def test_examples_use_the_full_name_and_say_what_they_do(module: str) -> None:
    for task in examples(module):
        assert f"org.djangogcp.{module}" in task
        assert task["name"][0].isupper()


@pytest.mark.parametrize("module", modules_with_state())
def test_what_has_a_state_shows_how_to_make_change_and_delete_it(module: str) -> None:
    assert len(examples(module)) >= (2 if module in NOTHING_TO_CHANGE else 3)


def playbook(source: Path) -> list[dict[str, Any]]:
    """One play of all examples, with what they take for granted."""
    tasks: list[dict[str, Any]] = []
    for module in MODULES:
        tasks += BEFORE.get(module, [])
        for task in examples(module):
            if not deletes(task):
                tasks.append({"register": "result", **task})
        if module == "cloudbuild_build":
            tasks.append(
                {
                    "ansible.builtin.set_fact": {
                        "image": "{{ build.image.uri if build.finished else result.image.uri }}"
                    }
                }
            )
    tasks += [UNPROTECT, WITHOUT_MYSQL]
    tasks += [task for module in reversed(MODULES) for task in examples(module) if deletes(task)]
    text = json.dumps(tasks).replace("/srv/polls", str(source))
    # The project has a number of its own, and the example before has told its address.
    text = re.sub(r"https://candidate---polls-\d+\.us-central1\.run\.app", "{{ result.service.uri }}", text)
    # Nobody visits it.
    text = text.replace('"seconds": 300', '"seconds": 1')
    text = re.sub(r"us-central1-docker\.pkg\.dev/my-project/polls/polls@sha256:a+", "{{ image }}", text)
    return [
        {
            "name": "Run the examples",
            "hosts": "localhost",
            "gather_facts": False,
            "vars": {
                "ansible_python_interpreter": "{{ ansible_playbook_python }}",
                "polls_mail_password": "a-password-for-mail",
            },
            "module_defaults": {"group/org.djangogcp.gcp": {"project": "my-project"}},
            "tasks": json.loads(text),
        }
    ]


@pytest.fixture
def emulator() -> Iterator[RunningEmulator]:
    """An emulator with the project of the examples, in which nothing is enabled yet."""
    state = Path(tempfile.mkdtemp(prefix="djangogcp-"))
    running = RunningEmulator(state / "state", machines="records")
    binding = {"role": "roles/owner", "members": [f"user:{OWNER}"]}
    (state / "seed.yaml").write_text(
        yaml.safe_dump({"projects": [{"id": "my-project", "bindings": [binding]}], "users": [OWNER]}), "utf-8"
    )
    running.call(seed.apply, running.context, state / "seed.yaml")
    yield running
    unhandled = list(running.context.unhandled)
    running.stop()
    shutil.rmtree(state)
    assert unhandled == []


def test_all_examples_run(emulator: RunningEmulator, tmp_path: Path) -> None:
    if not find_binaries():
        pytest.skip("no PostgreSQL server programs are installed")
    try:
        check_available()
    except SandboxUnavailable as why:
        pytest.skip(str(why))
    source = tmp_path / "source"
    source.mkdir()
    (source / "Dockerfile").write_text(
        'FROM python:3.11-slim\nCOPY . /app\nWORKDIR /app\nCMD ["python", "manage.py"]\n'
    )
    (source / "manage.py").write_text(SERVER, "utf-8")
    plays = tmp_path / "examples.yml"
    plays.write_text(yaml.safe_dump(playbook(source), sort_keys=False), "utf-8")
    state = emulator.emulator.settings.state
    credentials = seed.credentials_path(state, OWNER)
    variables = environment.variables(state, emulator.emulator.front.port, "my-project", credentials)
    done = subprocess.run(
        [str(ROOT / ".venv/bin/ansible-playbook"), str(plays), "-i", "localhost,", "-c", "local", "--diff"],
        cwd=ROOT,
        env={**os.environ, **variables, "ANSIBLE_PIPELINING": "1", "XDG_RUNTIME_DIR": str(tmp_path)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout[-6000:] + done.stderr
    assert "a-password-for-mail" not in done.stdout
    assert emulator.call(emulator.context.store.collection("sqladmin.instances").names) == []
    assert emulator.call(emulator.context.store.collection("run.services").names) == []
