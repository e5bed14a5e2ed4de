"""What doctor says of a site that is well, and of one that is not: the cause, and a cure that cures."""

from __future__ import annotations

import json
import re
import shutil
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.e2e.rehearsal import OPERATOR, PROJECT, REGION, ROOT, Rehearsal, Run

BUCKET = f"storage.googleapis.com/storage/v1/b/{PROJECT}-polls-releases"
UPLOAD = (
    f"storage.googleapis.com/upload/storage/v1/b/{PROJECT}-polls-releases/o?uploadType=media&name=lock.json"
)
SECRETS = f"secretmanager.googleapis.com/v1/projects/{PROJECT}/secrets"
INSTANCE = f"sqladmin.googleapis.com/v1/projects/{PROJECT}/instances/djangogcp"
POLICY = f"cloudresourcemanager.googleapis.com/v3/projects/{PROJECT}"
PAGE = ROOT / "docs" / "when-it-goes-wrong.md"
WITHIN_SECONDS = 60


@pytest.fixture
def site(rehearsal: Rehearsal, model_site: Rehearsal) -> Rehearsal:
    """The site as it was first deployed, whatever another test did to it."""
    rehearsal.restore()
    return model_site


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """The model project, to be broken."""
    found = tmp_path / "app"
    shutil.copytree(ROOT / "app", found, ignore=shutil.ignore_patterns("__pycache__", "media", "*.sqlite3"))
    return found


def diagnosis(run: Run) -> Any:
    """What is told to a program."""
    (text,) = re.findall(r"^  (\{\n.*?^  \})$", run.output, re.MULTILINE | re.DOTALL)
    return json.loads(text)


def doctor(cloud: Rehearsal, *options: str) -> Any:
    run = cloud.playbook("playbooks/doctor.yml", "-e", "format=json", *options)
    told = diagnosis(run)
    assert (run.status == 0) == (told["problems"] == 0), run.output
    return told


def of(told: Any, check: str) -> list[Any]:
    return [one for one in told["findings"] if one["check"] == check]


def deploy(cloud: Rehearsal, project: Path) -> None:
    run = cloud.playbook("deploy.yml", "-e", f"djangogcp_source_dir={project}")
    assert run.status != 0, run.output


def run_cure(cloud: Rehearsal, cure: str) -> None:
    """The command that is told, as far as it is one of Ansible's."""
    playbook = re.fullmatch(r"(?:Run again: )?ansible-playbook (\S+) --limit polls(.*)", cure)
    assert playbook is not None, cure
    run = cloud.playbook(playbook[1], "--limit", "polls", *playbook[2].split())
    assert run.status == 0, run.output


def test_a_healthy_site_is_told_to_be_well(site: Rehearsal) -> None:
    before = site.requests()[-1]["id"] if site.requests() else 0
    run = site.playbook("playbooks/doctor.yml")
    assert run.status == 0, run.output
    assert run.counts("polls")["changed"] == 0
    assert f"polls in {PROJECT}, {REGION}: all is well" in run.output
    for check in ("last release", "pages", "traffic", "lock", "database", "secrets", "drift", "permissions"):
        assert f"  ok: {check}: " in run.output, run.output
    looks = re.compile(r"\.(get|list|testIamPermissions|getIamPolicy|getEffectivePolicy|executeSql|access)$")
    asked = [one for one in site.requests(before) if one["caller"] == f"user:{OPERATOR}"]
    assert len(asked) > 20
    assert [one["method"] for one in asked if not looks.search(one["method"])] == []
    for value in site.secret_values():
        assert value not in run.output


def test_a_version_of_a_secret_that_was_disabled_is_enabled_by_the_cure(site: Rehearsal) -> None:
    site.api(f"{SECRETS}/polls-secret-key/versions/1:disable", method="POST", body={})
    told = doctor(site)
    # The site was started anew with the emulator: no instance of it starts any more.
    found, pages = [one for one in told["findings"] if one["state"] == "problem"]
    assert pages["cause"].startswith("Its instances do not start: a secret, ")
    assert found["text"] == "version 1 of secret polls-secret-key, which what serves reads, is disabled"
    assert found["page"].endswith("#a-secret-cannot-be-read")
    cure = re.fullmatch(
        r"gcloud secrets versions (enable) (\d+) --secret=(\S+) --project=(\S+)", found["cure"]
    )
    assert cure is not None, found["cure"]
    site.api(f"{SECRETS}/{cure[3]}/versions/{cure[2]}:{cure[1]}", method="POST", body={})
    assert doctor(site)["problems"] == 0


def test_a_lock_that_was_left_is_told_and_taken_away_by_the_cure(site: Rehearsal) -> None:
    left = {
        "owner": "bob@example.com",
        "reason": "a deploy of polls",
        "host": "laptop",
        "lifetime_seconds": 9000,
    }
    site.api(UPLOAD, method="POST", body=left)
    told = doctor(site)
    (found,) = of(told, "lock")
    assert found["state"] == "warning"
    assert found["text"].startswith("bob@example.com on laptop holds the lock since ")
    assert found["cure"].endswith("ansible-playbook org.djangogcp.unlock --limit polls")
    run_cure(site, found["cure"].rpartition(": ")[2])
    assert of(doctor(site), "lock")[0]["state"] == "ok"


def test_a_database_that_was_stopped_is_told_and_what_fails_with_it(site: Rehearsal) -> None:
    def policy(value: str) -> None:
        site.api(INSTANCE, method="PATCH", body={"settings": {"activationPolicy": value}})
        deadline = time.monotonic() + WITHIN_SECONDS
        while site.api(INSTANCE)["settings"]["activationPolicy"] != value:
            assert time.monotonic() < deadline
            time.sleep(0.2)

    policy("NEVER")
    told = doctor(site)
    (found,) = of(told, "database")
    assert (found["state"], found["text"]) == ("problem", "the SQL instance djangogcp is stopped")
    assert (
        found["cure"]
        == f"gcloud sql instances patch djangogcp --project={PROJECT} --activation-policy=ALWAYS"
    )
    (drift,) = of(told, "drift")
    assert drift["text"] == "The database does not run: see database."
    policy("ALWAYS")
    assert of(doctor(site), "database")[0]["state"] == "ok"


def test_somebody_who_may_do_little_is_told_what_could_not_be_looked_at(site: Rehearsal) -> None:
    granted = site.api(f"{POLICY}:getIamPolicy", method="POST", body={})
    kept = ("roles/resourcemanager.projectIamAdmin", "roles/run.admin")
    member = f"user:{OPERATOR}"
    few = {
        **granted,
        "bindings": [
            {**one, "members": [who for who in one["members"] if who != member or one["role"] in kept]}
            for one in granted["bindings"]
        ],
    }
    few.pop("etag")
    site.api(f"{POLICY}:setIamPolicy", method="POST", body={"policy": few})
    try:
        run = site.playbook("playbooks/doctor.yml", "-e", "format=json")
        told = diagnosis(run)
        assert run.status == 0, run.output
        assert "fatal: " not in run.output
        unread = {one["check"]: one["text"] for one in told["findings"] if one["state"] == "not looked at"}
        assert "secretmanager.secrets.get" in unread["secrets"]
        assert "roles/secretmanager.admin" in unread["secrets"]
        assert "cloudsql.instances.get" in unread["database"]
        assert "storage.objects.get" in unread["lock"]
        (found,) = of(told, "permissions")
        assert found["text"] == f"{OPERATOR} may not deploy to {PROJECT}"
        assert f"--member=user:{OPERATOR} --role=roles/secretmanager.admin" in found["cure"]
        assert of(told, "pages")[0]["state"] == "ok"
    finally:
        again = site.api(f"{POLICY}:getIamPolicy", method="POST", body={})
        full = {**granted, "etag": again["etag"]}
        site.api(f"{POLICY}:setIamPolicy", method="POST", body={"policy": full})
    site.once_in_force(INSTANCE)


def test_a_right_that_the_site_lost_is_a_problem_and_granted_by_the_cure(site: Rehearsal) -> None:
    secret = f"{SECRETS}/polls-secret-key"
    site.api(f"{secret}:setIamPolicy", method="POST", body={"policy": {"bindings": []}})
    (found,) = of(doctor(site), "drift")
    assert found["state"] == "problem"
    assert "polls-secret-key" in found["cause"]
    run_cure(site, found["cure"])
    assert of(doctor(site), "drift")[0]["state"] == "ok"


def test_a_migration_that_fails_is_named_with_what_it_printed(site: Rehearsal, project: Path) -> None:
    migrations = project / "polls" / "migrations"
    last = max(path.stem for path in migrations.glob("0*.py"))
    (migrations / "0099_broken.py").write_text(
        "from django.db import migrations\n\n"
        "def fail(apps, schema_editor):\n    raise RuntimeError('the migration is broken on purpose')\n\n"
        "class Migration(migrations.Migration):\n"
        f"    dependencies = [('polls', '{last}')]\n"
        "    operations = [migrations.RunPython(fail, migrations.RunPython.noop)]\n",
        "utf-8",
    )
    deploy(site, project)
    told = doctor(site)
    (found,) = of(told, "last release")
    assert found["state"] == "problem"
    assert "stopped at commands: execution polls-migrate-" in found["text"]
    assert found["cause"] == "The migration polls.0099_broken did not come to its end."
    assert found["page"].endswith("#a-migration-has-failed")
    assert any("the migration is broken on purpose" in line for line in found["lines"])
    assert of(told, "pages")[0]["state"] == "ok"


def test_a_revision_that_does_not_start_is_named_until_it_is_cured(site: Rehearsal, project: Path) -> None:
    dockerfile = project / "Dockerfile"
    lines = [
        line
        for line in dockerfile.read_text("utf-8").splitlines()
        if not line.startswith(("CMD", "ENTRYPOINT"))
    ]
    dockerfile.write_text("\n".join([*lines, 'CMD ["python", "-c", "import no_such_module"]', ""]), "utf-8")
    deploy(site, project)
    (found,) = of(doctor(site), "last release")
    assert "stopped at candidate: revision polls-" in found["text"]
    assert found["cause"].startswith("The image has no module no_such_module")
    assert found["page"].endswith("#a-module-of-python-is-missing")

    run = site.playbook("deploy.yml")
    assert run.status == 0, run.output
    told = doctor(site)
    assert told["problems"] == 0, told
    assert of(told, "last release")[0]["state"] == "ok"


def test_a_page_that_fails_its_try_out_is_named_with_why(site: Rehearsal, project: Path) -> None:
    with (project / "config" / "urls.py").open("a", encoding="utf-8") as file:
        file.write("urlpatterns = [one for one in urlpatterns if str(one.pattern) != 'admin/']\n")
    deploy(site, project)
    (found,) = of(doctor(site), "last release")
    assert "stopped at try_out" in found["text"]
    assert "/admin/ answered 404" in found["text"]
    assert found["page"].endswith("#a-page-does-not-answer")


def test_a_build_that_fails_is_named_with_the_package(site: Rehearsal, project: Path) -> None:
    (project / "requirements.txt").write_text("no-such-package-of-djangogcp==1.0\n", "utf-8")
    deploy(site, project)
    (found,) = of(doctor(site), "last release")
    assert (
        found["cause"]
        == "pip finds no version of no-such-package-of-djangogcp==1.0 for the Python of the image."
    )
    assert found["page"].endswith("#a-package-cannot-be-installed")


@pytest.fixture
def strict(tmp_path: Path) -> Iterator[Rehearsal]:
    """An empty project in a strict organisation."""
    found = Rehearsal(tmp_path / "home", REHEARSAL_SCALE="0.01", REHEARSAL_SEED="rehearsal/strict.yaml")
    found.start()
    yield found
    found.make("rehearse-clean")


def test_policies_of_an_organization_are_told_with_the_variables_that_cure_them(strict: Rehearsal) -> None:
    told = doctor(strict)
    assert "policies" in {one["check"] for one in told["findings"] if one["state"] == "problem"}
    cures = " ".join(one["cure"] for one in of(told, "policies"))
    for variable in (
        "djangogcp_static to image",
        "djangogcp_secret_locations to [us-central1]",
        "djangogcp_network to a VPC",
    ):
        assert f"Set {variable}" in cures
    assert of(told, "traffic")[0]["text"] == "nothing of polls was released yet"
    cured = {
        "djangogcp_static": "image",
        "djangogcp_secret_locations": ["us-central1"],
        "djangogcp_network": "sites",
    }
    assert of(doctor(strict, "-e", json.dumps(cured)), "policies")[0]["state"] == "ok"


def test_a_message_is_explained(deployed: Rehearsal) -> None:
    message = "django.core.exceptions.DisallowedHost: Invalid HTTP_HOST header: 'www.example.com'."
    (found,) = of(doctor(deployed, "-e", json.dumps({"doctor_error": message})), "message")
    assert "(www.example.com)" in found["cause"]
    assert "djangogcp_domains" in found["cure"]


@pytest.mark.parametrize(
    ("option", "message"),
    [
        ("format=xml", "format is 'xml': expected"),
        ("djangogcp_regoin=x", "djangogcp_regoin is "),
    ],
)
def test_wrong_input_is_refused_in_one_message(deployed: Rehearsal, option: str, message: str) -> None:
    run = deployed.playbook("playbooks/doctor.yml", "-e", option)
    assert run.status != 0
    assert run.output.count("fatal: ") == 1
    assert message in run.output
