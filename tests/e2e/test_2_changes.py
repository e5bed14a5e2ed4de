"""What happens to a deployed site afterwards: by hand, by a new version, by a broken one."""

from __future__ import annotations

import shutil
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from tests.e2e.rehearsal import PROJECT, REGION, ROOT, Rehearsal, Run

SERVICE = f"run.googleapis.com/v2/projects/{PROJECT}/locations/{REGION}/services/polls"
BUCKET = f"storage.googleapis.com/storage/v1/b/{PROJECT}-polls-media"


def fixed(rehearsal: Rehearsal) -> Run:
    """A deploy that has to succeed and to leave nothing to do."""
    run = rehearsal.playbook("deploy.yml", "--diff")
    assert run.status == 0, run.output
    assert rehearsal.playbook("deploy.yml").counts("polls")["changed"] == 0
    return run


def test_a_changed_label_is_shown_and_mended(deployed: Rehearsal) -> None:
    before = deployed.api(BUCKET)["labels"]
    deployed.api(BUCKET, method="PATCH", body={"labels": {"by-hand": "yes"}})
    check = deployed.playbook("deploy.yml", "--check", "--diff")
    assert "by-hand" in check.output
    assert len(check.changed_tasks()) == 1
    assert len(fixed(deployed).changed_tasks()) == 1
    assert deployed.api(BUCKET)["labels"] == before


def test_a_revoked_role_is_granted_again_and_others_are_left_alone(deployed: Rehearsal) -> None:
    resource = f"secretmanager.googleapis.com/v1/projects/{PROJECT}/secrets/polls-secret-key"
    policy = deployed.api(f"{resource}:getIamPolicy")
    by_hand = {"role": "roles/secretmanager.viewer", "members": ["user:operator@example.com"]}
    deployed.api(
        f"{resource}:setIamPolicy",
        method="POST",
        body={"policy": {"etag": policy["etag"], "bindings": [by_hand]}},
    )
    assert len(fixed(deployed).changed_tasks()) == 1
    after = deployed.api(f"{resource}:getIamPolicy")["bindings"]
    assert by_hand in after
    assert [b for b in after if b != by_hand] == policy["bindings"]


def test_a_variable_that_was_changed_by_hand_is_set_back_when_told_so(deployed: Rehearsal) -> None:
    template = deployed.service("polls")["template"]
    for variable in template["containers"][0]["env"]:
        if variable["name"] == "ALLOWED_HOSTS":
            variable["value"] = "*"
    deployed.api(f"{SERVICE}?updateMask=template", method="PATCH", body={"template": template})
    while (service := deployed.service("polls"))["latestReadyRevision"] != service["latestCreatedRevision"]:
        time.sleep(0.1)
    by_hand = service["latestReadyRevision"].rpartition("/")[2]
    refused = deployed.playbook("deploy.yml")
    assert refused.status != 0
    assert f"-e djangogcp_roll_forward_from={by_hand}" in refused.output
    run = deployed.playbook("deploy.yml", "--diff", "-e", f"djangogcp_roll_forward_from={by_hand}")
    assert run.status == 0, run.output
    assert '"value": "*"' in run.output or "value: '*'" in run.output
    environment = deployed.service("polls")["template"]["containers"][0]["env"]
    assert "*" not in next(e["value"] for e in environment if e["name"] == "ALLOWED_HOSTS")
    assert deployed.playbook("deploy.yml").counts("polls")["changed"] == 0


def test_what_changes_nothing_looks_at_everything_once(deployed: Rehearsal) -> None:
    fixed(deployed)
    before = max(one["number"] for one in deployed.requests())
    assert deployed.playbook("deploy.yml").counts("polls")["changed"] == 0
    looks = [one for one in deployed.requests(before) if one["method"] != "oauth2.token"]
    repeated = Counter((one["method"], one["http"], one["host"], one["path"]) for one in looks)
    # Two queries: what the users may, and what is granted to them in the database.
    assert {look[0]: count for look, count in repeated.items() if count > 1} == {
        "sql.instances.executeSql": 2
    }


@pytest.fixture
def project_copy(tmp_path: Path) -> Path:
    """The model project, to be changed."""
    copy = tmp_path / "app"
    shutil.copytree(ROOT / "app", copy, ignore=shutil.ignore_patterns("__pycache__", "media", "*.sqlite3"))
    return copy


def deploy(rehearsal: Rehearsal, source: Path, *options: str) -> Run:
    """A deploy of another source folder to the same site."""
    return rehearsal.playbook("deploy.yml", "-e", f"djangogcp_source_dir={source}", *options)


def test_a_changed_page_is_built_and_served(deployed: Rehearsal, project_copy: Path) -> None:
    before = deployed.service("polls")["template"]["containers"][0]["image"]
    page = project_copy / "templates" / "polls" / "index.html"
    if not page.exists():
        page = next(project_copy.rglob("polls/index.html"))
    page.write_text(page.read_text("utf-8").replace("polls index.", "polls index. Second edition."), "utf-8")
    run = deploy(deployed, project_copy)
    assert run.status == 0, run.output
    assert deployed.service("polls")["template"]["containers"][0]["image"] != before
    assert "Second edition." in deployed.get("polls", "/polls/").text


def test_health_paths_can_be_emptied_and_set_again(deployed: Rehearsal) -> None:
    def probes(*options: str) -> tuple[Any, Any]:
        assert (run := deployed.playbook("deploy.yml", *options)).status == 0, run.output
        assert deployed.playbook("deploy.yml", *options).counts("polls")["changed"] == 0
        container = deployed.service("polls")["template"]["containers"][0]
        return container["startupProbe"], container.get("livenessProbe")

    before = deployed.service("polls")["template"]["containers"][0]
    startup, liveness = probes("-e", '{"djangogcp_startup_path": "", "djangogcp_liveness_path": ""}')
    assert (startup["tcpSocket"], "httpGet" in startup, liveness) == ({"port": 8080}, False, None)
    assert probes() == (before["startupProbe"], before["livenessProbe"])


def test_a_failing_migration_stops_the_deploy_and_the_old_revision_serves(
    deployed: Rehearsal, project_copy: Path
) -> None:
    serving = deployed.service("polls")["trafficStatuses"]
    (project_copy / "polls" / "migrations" / "0099_broken.py").write_text(
        "from django.db import migrations\n\n"
        "def fail(apps, schema_editor):\n    raise RuntimeError('the migration is broken on purpose')\n\n"
        "class Migration(migrations.Migration):\n"
        f"    dependencies = [('polls', '{last_migration(project_copy)}')]\n"
        "    operations = [migrations.RunPython(fail, migrations.RunPython.noop)]\n",
        "utf-8",
    )
    run = deploy(deployed, project_copy)
    assert run.status != 0
    assert "the migration is broken on purpose" in run.output
    assert "The migration polls.0099_broken did not come to its end." in run.output
    assert " has all the traffic and answers 200 at /-/live." in run.output
    assert deployed.service("polls")["trafficStatuses"] == serving
    assert deployed.get("polls", "/polls/").status_code == 200


def test_a_job_that_fails_before_any_migration_is_told_as_what_it_is(
    deployed: Rehearsal, project_copy: Path
) -> None:
    (project_copy / "config" / "urls.py").open("a", encoding="utf-8").write("import no_such_module\n")
    run = deploy(deployed, project_copy)
    assert run.status != 0
    assert "No module named 'no_such_module'" in run.output
    assert "No migration had begun: what failed is the start of Django" in run.output
    assert "did not come to its end" not in run.output
    assert " has all the traffic and answers 200 at /-/live." in run.output


def test_a_job_that_takes_too_long_names_the_variable(deployed: Rehearsal, project_copy: Path) -> None:
    (project_copy / "config" / "urls.py").open("a", encoding="utf-8").write("import time; time.sleep(60)\n")
    run = deploy(deployed, project_copy, "-e", "djangogcp_job_timeout_seconds=3")
    assert run.status != 0
    assert "It did not end within 3 seconds: raise djangogcp_job_timeout_seconds" in run.output
    assert "No migration had begun" not in run.output


def last_migration(project: Path) -> str:
    """The name of the newest migration of polls."""
    names = [
        path.stem for path in (project / "polls" / "migrations").glob("0*.py") if "broken" not in path.stem
    ]
    return max(names)


def test_an_app_that_does_not_listen_never_gets_traffic(deployed: Rehearsal, project_copy: Path) -> None:
    dockerfile = project_copy / "Dockerfile"
    lines = dockerfile.read_text("utf-8").splitlines()
    lines = [line for line in lines if not line.startswith(("CMD", "ENTRYPOINT"))]
    dockerfile.write_text("\n".join([*lines, 'CMD ["python", "-c", "raise SystemExit(3)"]', ""]), "utf-8")
    run = deploy(deployed, project_copy)
    assert run.status != 0
    assert "failed the configured startup probe checks" in run.output
    assert "Container called exit(3)." in run.output
    assert " has all the traffic and answers 200 at /-/live." in run.output
    assert deployed.get("polls", "/polls/").status_code == 200


def test_a_revision_that_fails_the_smoke_test_never_gets_traffic(
    deployed: Rehearsal, project_copy: Path
) -> None:
    serving = deployed.service("polls")["latestReadyRevision"].rpartition("/")[2]
    (project_copy / "config" / "urls.py").open("a", encoding="utf-8").write("# another revision\n")
    run = deploy(
        deployed,
        project_copy,
        "-e",
        '{"djangogcp_smoke_paths": ["/absent/"], "djangogcp_admin_path": "/polls/", "release_smoke_timeout_seconds": 1}',
    )
    assert run.status != 0
    assert (
        " out: /polls/ answered without 'csrfmiddlewaretoken' in it; /absent/ answered 404 (expected 200): "
        in run.output
    )
    assert "/polls/ is djangogcp_admin_path, which has to be the path of Django's admin" in run.output
    assert f"{serving} has all the traffic and answers 200 at /-/live." in run.output
    traffic = deployed.service("polls")["trafficStatuses"]
    assert [one["revision"] for one in traffic if one.get("percent")] == [serving]
    assert deployed.get("polls", "/polls/").status_code == 200


def test_requirements_that_do_not_install_are_shown_with_the_end_of_the_log(
    deployed: Rehearsal, project_copy: Path
) -> None:
    (project_copy / "requirements.txt").write_text("no-such-package-of-djangogcp==1.0\n", "utf-8")
    run = deploy(deployed, project_copy)
    assert run.status != 0
    assert "no-such-package-of-djangogcp" in run.output
    assert deployed.get("polls", "/polls/").status_code == 200


def test_the_next_good_deploy_converges(deployed: Rehearsal) -> None:
    run = deployed.playbook("deploy.yml")
    assert run.status == 0, run.output
    assert "Second edition." not in deployed.get("polls", "/polls/").text
    assert deployed.playbook("deploy.yml").counts("polls")["changed"] == 0


def test_a_management_command_runs_and_keeps_its_exit_code(deployed: Rehearsal) -> None:
    run = deployed.playbook("playbooks/manage.yml", "-e", '{"manage_command": ["showmigrations", "polls"]}')
    assert run.status == 0, run.output
    assert "[X] 0001_initial" in run.output
    failing = deployed.playbook(
        "playbooks/manage.yml", "-e", '{"manage_command": ["shell", "-c", "raise SystemExit(7)"]}'
    )
    assert failing.status != 0
    assert "exit code 7" in failing.output


def test_a_deployed_site_can_be_compared_with_the_compose_stack(deployed: Rehearsal, tmp_path: Path) -> None:
    run = deployed.playbook("playbooks/manage.yml", "-e", '{"manage_command": ["describe_site"]}')
    (tmp_path / "site").write_text(run.output, "utf-8")
    command = [sys.executable, ROOT / "tools" / "parity.py", tmp_path / "site", tmp_path / "site"]
    compared = subprocess.run(command, capture_output=True, text=True, check=False)
    assert compared.stdout == "0 differences, 0 of them not expected\n", compared.stderr
    assert not [secret for secret in deployed.secret_values() if secret in run.output]


def test_status_tells_what_is_there(deployed: Rehearsal) -> None:
    run = deployed.playbook("playbooks/status.yml")
    assert run.status == 0, run.output
    image = deployed.service("polls")["template"]["containers"][0]["image"]
    assert image.partition("@")[2] in run.output
    assert deployed.url("polls") in run.output


def test_no_secret_is_ever_printed(deployed: Rehearsal) -> None:
    run = deployed.playbook("deploy.yml", "-vvvv", "--diff")
    assert run.status == 0, run.output
    values = deployed.secret_values()
    assert len(values) >= 6
    for value in values:
        assert value not in run.output
