"""`make rehearse` deploys the model site; these tests look at what is there, by HTTP, API and SQL."""

from __future__ import annotations

import io
import json
import re
import stat
import tarfile
from pathlib import Path
from urllib.parse import quote

import psycopg2
import pytest
import requests

from tests.e2e.rehearsal import PROJECT, REGION, ROOT, Rehearsal, Run

ROLES_OF_THE_WEB_ACCOUNT = {
    "roles/cloudsql.client",
    "roles/logging.logWriter",
}
both_runtimes = pytest.mark.parametrize("deployed", ["process", "docker"], indirect=True)


def test_it_ends_with_what_a_person_needs_next(rehearsal: Rehearsal, first_run: Run) -> None:
    summary = first_run.output.rpartition("PLAY RECAP")[2]
    assert rehearsal.browser_url("polls") in summary
    assert "admin login        admin@example.com" in summary
    assert "polls-collectstatic, polls-manage, polls-migrate, polls-superuser" in summary
    assert "make rehearse-password" in summary
    assert f"http://127.0.0.1:{rehearsal.port}/ " in summary


def test_the_run_leaves_a_timeline_without_secrets(deployed: Rehearsal, first_run: Run) -> None:
    told = re.search(r"^timeline: (.+\.html)$", first_run.output, re.MULTILINE)
    assert told is not None, first_run.output
    page = (ROOT / told[1]).read_text("utf-8")
    assert (ROOT / told[1]).parent == deployed.home / "timelines"
    for background in ("Database instance", "Build of the image"):
        assert f'<div class="lane background"><div class="label">{background}</div>' in page
    assert "create secret polls-secret-key" in page
    assert not [value for value in deployed.secret_values() if value in page]


def test_the_state_page_shows_the_site_and_no_secret(deployed: Rehearsal) -> None:
    secrets = deployed.secret_values()
    for page in ("", "run", "databases", "storage", "secrets", "access", "operations", "requests", "logs"):
        shown = requests.get(f"http://127.0.0.1:{deployed.port}/{page}", timeout=20)
        assert shown.status_code == 200, page
        assert not [value for value in secrets if value in shown.text], f"a secret is on the page /{page}"
        if page == "":
            assert f'href="{deployed.browser_url("polls")}/"' in shown.text


def test_what_runs_listens_to_this_machine_only_and_shows_no_secret_to_it(deployed: Rehearsal) -> None:
    secrets = [value.encode() for value in deployed.secret_values()]
    running = deployed.processes()
    assert {Path(process.command.split(b"\0")[0].decode()).name for process in running} >= {"postgres"}
    listening = {address for process in running for address in process.listening()}
    assert any(address.endswith(f":{deployed.port}") for address in listening), listening
    assert not [address for address in listening if not address.startswith("127.")], listening
    assert not [
        process.command for process in running if any(secret in process.command for secret in secrets)
    ]


def test_what_is_kept_is_its_owner_s_alone(deployed: Rehearsal) -> None:
    assert stat.S_IMODE(deployed.state.stat().st_mode) == 0o700
    kept = [deployed.state / "ca" / "ca.key", *(deployed.state / "credentials").iterdir()]
    assert len(kept) > 1
    assert {str(path): stat.S_IMODE(path.stat().st_mode) for path in kept} == {
        str(path): 0o600 for path in kept
    }


def test_the_password_command_shows_the_password(deployed: Rehearsal) -> None:
    shown = deployed.make("rehearse-password")
    assert shown.status == 0, shown.output
    assert shown.output.strip() == deployed.secret("polls-superuser-password")


@both_runtimes
def test_the_site_is_served_at_its_own_address(deployed: Rehearsal) -> None:
    page = deployed.get("polls", "/polls/")
    assert page.status_code == 200
    assert "You&#x27;re at the polls index." in page.text or "You're at the polls index." in page.text


@both_runtimes
def test_the_site_has_production_settings(deployed: Rehearsal) -> None:
    login = deployed.get("polls", "/accounts/login/")
    assert re.search(r"csrftoken=[^;]+;.*\bSecure\b", login.headers["Set-Cookie"])
    missing = deployed.get("polls", "/no-such-page/")
    assert missing.status_code == 404
    assert "DEBUG" not in missing.text
    assert "Using the URLconf" not in missing.text


def test_a_wrong_host_name_is_refused_by_the_site(deployed: Rehearsal) -> None:
    service = deployed.service("polls")
    environment = {e["name"]: e.get("value") for e in service["template"]["containers"][0]["env"]}
    hosts = environment["ALLOWED_HOSTS"].split(",")
    own = {url.removeprefix("https://") for url in service["urls"]}
    assert own == {host for host in hosts if not host.startswith("candidate---")}
    assert {deployed.session().get(f"https://{host}/", timeout=60).status_code for host in own} == {200}
    assert "*" not in environment["ALLOWED_HOSTS"]


@both_runtimes
def test_it_serves_exactly_what_was_built(deployed: Rehearsal) -> None:
    image = deployed.service("polls")["template"]["containers"][0]["image"]
    assert image.startswith(f"{REGION}-docker.pkg.dev/{PROJECT}/polls/polls@sha256:")
    tags = deployed.api(
        f"artifactregistry.googleapis.com/v1/projects/{PROJECT}/locations/{REGION}"
        "/repositories/polls/packages/polls/tags"
    )["tags"]
    assert image.partition("@")[2] in [tag["version"].rpartition("/")[2] for tag in tags]


@both_runtimes
def test_the_projects_own_dockerfile_is_what_is_built(deployed: Rehearsal) -> None:
    bucket = f"storage.googleapis.com/storage/v1/b/{PROJECT}-polls-source/o"
    source = deployed.api(f"{bucket}?prefix=polls/")["items"][0]["name"]
    archive = deployed.download(f"{bucket}/{quote(source, safe='')}?alt=media")
    own = (ROOT / "app" / "Dockerfile").read_bytes()
    with tarfile.open(fileobj=io.BytesIO(archive)) as packed:
        member = packed.extractfile("Dockerfile")
        assert member is not None
        assert member.read() == own
    body = {
        "resourceNames": [f"projects/{PROJECT}"],
        "filter": 'resource.type="build"',
        "pageSize": 1000,
    }
    entries = deployed.api("logging.googleapis.com/v2/entries:list", method="POST", body=body)["entries"]
    printed = "\n".join(entry["textPayload"] for entry in entries)
    copied = [line for line in own.decode().splitlines() if line.startswith(("COPY", "WORKDIR"))]
    assert len(copied) > 3
    assert [line for line in copied if line not in printed] == []


@pytest.mark.parametrize("deployed", ["docker"], indirect=True)
def test_the_site_runs_in_a_container_of_what_was_built(deployed: Rehearsal) -> None:
    digest = deployed.service("polls")["template"]["containers"][0]["image"].partition("@")[2]
    assert deployed.get("polls", "/polls/").status_code == 200
    [container] = deployed.containers()
    assert container["Image"] == digest
    assert container["HostConfig"]["Memory"] == 512 << 20
    assert container["HostConfig"]["NanoCpus"] == 10**9
    assert container["HostConfig"]["NetworkMode"] == "none"
    secrets = deployed.secret_values()
    assert [value for value in secrets if value in json.dumps(container)] == []


def test_secrets_are_pinned_to_a_version(deployed: Rehearsal) -> None:
    environment = deployed.service("polls")["template"]["containers"][0]["env"]
    references = [e["valueSource"]["secretKeyRef"] for e in environment if "valueSource" in e]
    assert {"SECRET_KEY", "DATABASE_URL"} <= {e["name"] for e in environment if "valueSource" in e}
    assert all(reference["version"].isdigit() for reference in references)


def test_every_principal_is_its_own_and_has_little(deployed: Rehearsal) -> None:
    service = deployed.service("polls")
    web = f"polls-web@{PROJECT}.iam.gserviceaccount.com"
    assert service["template"]["serviceAccount"] == web
    policy = deployed.api(
        f"cloudresourcemanager.googleapis.com/v3/projects/{PROJECT}:getIamPolicy", method="POST", body={}
    )
    held = {b["role"] for b in policy["bindings"] if f"serviceAccount:{web}" in b["members"]}
    assert held <= ROLES_OF_THE_WEB_ACCOUNT
    assert "roles/cloudsql.client" in held
    everybody = [b for b in policy["bindings"] if {"allUsers", "allAuthenticatedUsers"} & set(b["members"])]
    assert everybody == []


def test_the_site_is_public_without_all_users(deployed: Rehearsal) -> None:
    assert deployed.service("polls")["invokerIamDisabled"] is True
    name = f"projects/{PROJECT}/locations/{REGION}/services/polls"
    assert "bindings" not in deployed.api(f"run.googleapis.com/v2/{name}:getIamPolicy")


@both_runtimes
def test_media_are_private_and_static_files_public(deployed: Rehearsal) -> None:
    media = deployed.api(f"storage.googleapis.com/storage/v1/b/{PROJECT}-polls-media")
    assert media["iamConfiguration"]["publicAccessPrevention"] == "enforced"
    assert media["iamConfiguration"]["uniformBucketLevelAccess"]["enabled"] is True
    assert media["versioning"]["enabled"] is True
    page = deployed.get("polls", "/polls/").text
    sheet = re.search(r'href="(https://storage\.googleapis\.com/[^"]+\.css)"', page)
    assert sheet is not None
    found = deployed.session().get(sheet[1], timeout=30)
    assert found.status_code == 200
    assert found.headers["Content-Type"].startswith("text/css")


def test_the_web_role_may_only_touch_rows(deployed: Rehearsal) -> None:
    web = {"database": "polls", "user": "polls_web_1", "password": deployed.secret("polls-web-db-password")}
    assert deployed.sql("SELECT count(*) FROM polls_question", **web)[0][0] >= 1
    with pytest.raises(psycopg2.errors.InsufficientPrivilege):
        deployed.sql("CREATE TABLE mine (id int)", **web)
    with pytest.raises(psycopg2.errors.InsufficientPrivilege):
        deployed.sql("DROP TABLE polls_choice", **web)
    with pytest.raises(psycopg2.errors.InsufficientPrivilege):
        deployed.sql("CREATE ROLE other", **web)


@both_runtimes
def test_the_migrator_owns_the_schema(deployed: Rehearsal) -> None:
    migrator = {
        "database": "polls",
        "user": "polls_migrator",
        "password": deployed.secret("polls-migrator-db-password"),
    }
    owners = deployed.sql("SELECT DISTINCT tableowner FROM pg_tables WHERE schemaname = 'public'", **migrator)
    assert owners == [("polls_migrator",)]


@both_runtimes
def test_the_superuser_can_log_in_to_the_admin(deployed: Rehearsal) -> None:
    session = deployed.session()
    login = deployed.url("polls") + "/admin/login/"
    page = session.get(login, timeout=60)
    token = re.search(r'name="csrfmiddlewaretoken" value="([^"]+)"', page.text)
    assert token is not None
    form = {
        "csrfmiddlewaretoken": token[1],
        "username": "admin@example.com",
        "password": deployed.secret("polls-superuser-password"),
        "next": "/admin/",
    }
    answer = session.post(login, data=form, headers={"Referer": login}, timeout=60)
    assert answer.status_code == 200
    assert answer.url.endswith("/admin/")
    assert "Log out" in answer.text


@both_runtimes
def test_the_sites_own_log_lines_reach_cloud_logging(deployed: Rehearsal) -> None:
    deployed.get("polls", "/no-such-page/")
    body = {
        "resourceNames": [f"projects/{PROJECT}"],
        "filter": 'resource.type="cloud_run_revision" AND resource.labels.service_name="polls"',
        "pageSize": 50,
        "orderBy": "timestamp desc",
    }
    entries = deployed.api("logging.googleapis.com/v2/entries:list", method="POST", body=body)["entries"]
    assert any(entry["resource"]["labels"]["service_name"] == "polls" for entry in entries)


def test_the_end_of_a_deploy_says_where_the_site_is_what_serves_and_what_is_next(
    first_run: Run, deployed: Rehearsal
) -> None:
    block = first_run.output.partition("TASK [org.djangogcp.site : deploy | Say what is there now]")[2]
    block = block.partition("PLAY RECAP")[0]
    service = deployed.service("polls")
    assert f"\npolls: {deployed.url('polls')}\n" in block
    assert f"\n  serves    {service['latestReadyRevision'].rpartition('/')[2]}\n" in block
    assert f"\n  image     {service['template']['containers'][0]['image']}\n" in block
    assert f"\n  admin     {deployed.url('polls')}/admin/ (log in as admin@example.com)\n" in block
    assert "\n  password  ansible-playbook playbooks/password.yml -i inventories/local\n" in block
    assert "create service polls" in block or "and " in block.partition("changed")[2]
    assert re.search(r"\nDeployed one site in (\d+ min )?\d+ s\.\n", block)
    assert [value for value in deployed.secret_values() if value in first_run.output] == []


def test_the_password_is_shown_to_who_may_read_it(deployed: Rehearsal) -> None:
    password = deployed.secret("polls-superuser-password")
    shown = deployed.playbook("playbooks/password.yml", "-vvv")
    assert shown.status == 0, shown.output
    assert shown.output.count(password) == 1
    nothing = deployed.playbook("playbooks/password.yml", "-e", "djangogcp_site=elsewhere")
    assert nothing.status != 0
    assert "the first deploy makes it. Deploy elsewhere first." in nothing.output


def test_a_part_of_a_deploy_stands_alone(deployed: Rehearsal) -> None:
    """Each tag that the collection's README names."""
    text = (ROOT / "collections/ansible_collections/org/djangogcp/README.md").read_text("utf-8")
    sentence = text.partition("can be run in part:")[2].partition(". ")[0]
    tags = re.findall(r"`([a-z_]+)`", sentence)
    assert {"database", "image", "release"} <= set(tags)
    for tag in tags:
        run = deployed.playbook("deploy.yml", "--tags", tag)
        assert run.status == 0, f"{tag}: {run.output}"
        assert run.changed_tasks() == [], tag


def test_a_second_rehearsal_changes_nothing(deployed: Rehearsal) -> None:
    again = deployed.make("rehearse")
    assert again.status == 0, again.output
    assert "\n  changed   nothing\n" in again.output
    assert again.changed_tasks() == []
    assert again.counts("polls")["changed"] == 0
    assert "nothing had to be changed" in again.output


def test_a_check_of_a_deployed_site_finds_nothing(deployed: Rehearsal) -> None:
    check = deployed.shell("ansible-playbook deploy.yml -i inventories/local --check --diff")
    assert check.status == 0, check.output
    assert check.changed_tasks() == []


def test_the_status_command_shows_the_site(deployed: Rehearsal) -> None:
    shown = deployed.make("rehearse-status")
    assert shown.status == 0, shown.output
    assert deployed.url("polls") in shown.output


def test_provisioning_a_deployed_site_changes_nothing(deployed: Rehearsal) -> None:
    run = deployed.playbook("playbooks/provision.yml")
    assert run.status == 0, run.output
    assert run.changed_tasks() == []


@both_runtimes
def test_the_state_survives_stop_and_start(deployed: Rehearsal) -> None:
    assert deployed.make("rehearse-stop").status == 0
    assert deployed.containers() == []
    again = deployed.make("rehearse")
    assert again.status == 0, again.output
    assert again.counts("polls")["changed"] == 0
    assert deployed.get("polls", "/polls/").status_code == 200


@both_runtimes
def test_no_call_was_left_unanswered(deployed: Rehearsal) -> None:
    assert deployed.unhandled() == []
