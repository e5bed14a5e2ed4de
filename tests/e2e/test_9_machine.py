"""The model site on a virtual machine: a container in which systemd runs Debian, which the production playbooks configure over SSH."""

from __future__ import annotations

import base64
import hashlib
import json
import re
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
import requests
from gcp_emulator.front import ca

from tests.e2e.rehearsal import PROJECT, REGION, ROOT, Rehearsal, Run, engine_answers

ZONE = f"{REGION}-b"
COMPUTE = f"compute.googleapis.com/compute/v1/projects/{PROJECT}"
WITHIN_SECONDS = 180
PAGE = ROOT / "docs/when-it-goes-wrong.md"
PULSE = "python-worker-polls.pulse@1.service"
SECRETS = f"secretmanager.googleapis.com/v1/projects/{PROJECT}/secrets"
FILE = "/run/secrets/payments/key.pem"
WITH_A_FILE = {
    "djangogcp_secrets": {"PAYMENTS_KEY_FILE": {"name": "payments-key", "path": FILE}},
    "djangogcp_background_workers": {"pulse": "exec sleep 100000"},
}


class Site:
    """The rehearsal, and what its machine serves."""

    def __init__(self, rehearsal: Rehearsal) -> None:
        self.rehearsal = rehearsal

    def play(self, playbook: str, *options: str) -> Run:
        """A playbook on the target."""
        return self.rehearsal.playbook(playbook, "-e", f"@{self.rehearsal.home}/target.yml", *options)

    @property
    def address(self) -> str:
        return str(self.rehearsal.api(f"{COMPUTE}/regions/{REGION}/addresses/polls")["address"])

    @property
    def host(self) -> str:
        return ".".join(reversed(self.address.split("."))) + ".bc.googleusercontent.com"

    def get(self, path: str, **options: Any) -> requests.Response:
        """A page at the site's own name, over TLS."""
        with self.rehearsal.session() as session:
            return session.get(f"https://{self.host}{path}", timeout=60, **options)

    def on_machine(self, *command: str) -> subprocess.CompletedProcess[str]:
        """A command on the machine, as root."""
        (container,) = self.rehearsal.containers()
        return subprocess.run(
            ["docker", "exec", container["Id"], *command],
            capture_output=True,
            text=True,
            check=False,
        )

    def serving(self) -> str:
        """The name of the release that has the visitors."""
        told = self.on_machine("cat", "/etc/gunicorn/polls/upstream.conf").stdout
        return next(
            (line.rpartition(" ")[2] for line in told.splitlines() if line.startswith("# release ")), ""
        )


def until(what: str, holds: Callable[[], bool]) -> None:
    deadline = time.monotonic() + WITHIN_SECONDS
    while not holds():
        assert time.monotonic() < deadline, f"not {what} within {WITHIN_SECONDS} s"
        time.sleep(0.2)


def serves(site: Site) -> bool:
    try:
        return site.get("/polls/").status_code == 200
    except requests.RequestException:
        return False


@dataclass
class Visitors:
    """Somebody who asks again and again, and notes what was no answer."""

    site: Site
    asked: int = 0
    failures: list[str] = field(default_factory=list)

    def __enter__(self) -> Visitors:
        self._ended = threading.Event()
        self._threads = [threading.Thread(target=self._ask) for _ in range(2)]
        self._url = f"https://{self.site.host}/polls/"
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_error: object) -> None:
        self._ended.set()
        for thread in self._threads:
            thread.join()

    def _ask(self) -> None:
        session = self.site.rehearsal.session()
        while not self._ended.wait(0.05):
            self.asked += 1
            try:
                answer = session.get(self._url, timeout=60)
                if answer.status_code != 200 or "<title>Polls</title>" not in answer.text:
                    self.failures.append(f"{answer.status_code} {answer.text[:200]}")
            except requests.RequestException as error:
                self.failures.append(str(error))


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    if not engine_answers():
        pytest.skip("no container engine answers")
    found = Rehearsal(tmp_path_factory.mktemp("m"), REHEARSAL_SCALE="0.01")
    try:
        run = found.make("rehearse", "TARGET=compute_engine")
        assert run.status == 0, run.output
        yield Site(found)
    finally:
        found.make("rehearse-clean")
        assert found.containers() == []


def test_it_is_served_over_tls_at_its_own_name_alone(site: Site) -> None:
    page = site.get("/")
    assert page.status_code == 200
    assert "Have a say. Have a look." in page.text
    login = site.get("/admin/")
    assert "csrfmiddlewaretoken" in login.text
    assert "Secure" in login.headers["Set-Cookie"]
    with site.rehearsal.session() as session:
        session.proxies["http"] = session.proxies["https"]
        plain = session.get(f"http://{site.host}/polls/", allow_redirects=False, timeout=60)
        assert (plain.status_code, plain.headers["Location"]) == (301, f"https://{site.host}/polls/")
        # Another name is no site of this machine.
        other = session.get(f"http://{site.address}/", headers={"Host": "shop.example.com"}, timeout=60)
        assert (other.status_code, "closed the connection without a response" in other.text) == (504, True)
        with pytest.raises(requests.exceptions.SSLError):
            session.get(f"https://{site.address}/", timeout=60)


def test_nothing_but_the_site_and_ssh_by_identity_aware_proxy_is_open(site: Site) -> None:
    rules = site.rehearsal.api(f"{COMPUTE}/global/firewalls")["items"]
    found = {rule["name"]: (rule["sourceRanges"], rule["allowed"][0]["ports"]) for rule in rules}
    assert found == {
        "polls-web": (["0.0.0.0/0"], ["80", "443"]),
        "polls-ssh": (["35.235.240.0/20"], ["22"]),
    }
    instance = site.rehearsal.api(f"{COMPUTE}/zones/{ZONE}/instances/polls")
    assert [one["email"] for one in instance["serviceAccounts"]] == [
        f"polls-web@{PROJECT}.iam.gserviceaccount.com"
    ]
    assert instance["shieldedInstanceConfig"]["enableSecureBoot"]


def test_secrets_are_read_by_root_and_by_the_site_alone(site: Site) -> None:
    held = site.on_machine("find", "/etc/djangogcp", "-type", "f", "-printf", "%m %u %f\n").stdout.split("\n")
    assert {line.rpartition(".")[0] for line in held if "polls-" in line} == {
        "600 root polls-secret-key",
        "600 root polls-web-database-url",
    }
    # What changes the schema is there while a command runs.
    assert site.on_machine("test", "-e", "/run/djangogcp-polls").returncode == 1
    values = [value.strip() for value in site.rehearsal.secret_values()]
    readable = site.on_machine("runuser", "-u", "polls", "--", "cat", "/etc/djangogcp/polls/release.json")
    assert readable.returncode != 0
    for told in (
        site.on_machine("cat", "/etc/djangogcp/polls/release.json").stdout,
        site.on_machine("systemctl", "show", "gunicorn-polls@*.service").stdout,
        site.on_machine("sh", "-c", "cat /proc/[0-9]*/cmdline /proc/[0-9]*/environ").stdout,
        site.on_machine("journalctl", "--no-pager").stdout,
    ):
        assert told
        assert [value for value in values if value in told] == []


def test_a_second_run_changes_nothing(site: Site) -> None:
    for options in ((), ("--check", "--diff")):
        run = site.play("deploy.yml", *options)
        assert run.status == 0, run.output
        assert run.changed_tasks() == []


def test_visitors_notice_neither_a_release_nor_a_rollback(site: Site) -> None:
    first = site.serving()
    with Visitors(site) as visitors:
        released = site.play("deploy.yml", "-e", '{"djangogcp_environment": {"FEATURE": "on"}}')
        assert released.status == 0, released.output
        second = site.serving()
        assert second not in ("", first)
        back = site.play("playbooks/rollback.yml")
        assert back.status == 0, back.output
        assert site.serving() == first
    assert visitors.asked > 20
    assert visitors.failures == []
    # A deploy does not bring back what was taken out.
    refused = site.play("deploy.yml", "-e", '{"djangogcp_environment": {"FEATURE": "on"}}')
    assert refused.status != 0
    assert "a rollback, or a canary that was bad, has taken out what this would deploy" in refused.output


def test_an_asgi_application_is_served_and_gone_back_from(site: Site) -> None:
    first = site.serving()
    released = site.play("deploy.yml", "-e", "djangogcp_wsgi_module=config.asgi:application")
    assert released.status == 0, released.output
    assert site.serving() not in ("", first)
    assert "uvicorn_worker.UvicornWorker" in workers(site)
    assert site.get("/polls/").status_code == 200
    back = site.play("playbooks/rollback.yml")
    assert back.status == 0, back.output
    assert site.serving() == first
    assert "gthread" in workers(site)
    assert site.get("/polls/").status_code == 200


def workers(site: Site) -> str:
    """The class of the workers that serve, as gunicorn told when it started."""
    journal = ("journalctl", f"--unit=gunicorn-polls@{colour(site)}.service", "--output=cat", "--no-pager")
    return [line for line in site.on_machine(*journal).stdout.splitlines() if "Using worker" in line][-1]


def colour(site: Site) -> str:
    """The colour that has the visitors."""
    told = site.on_machine("cat", "/etc/gunicorn/polls/upstream.conf").stdout
    return "blue" if "-blue.sock" in told else "green"


def test_a_release_that_fails_its_try_out_gets_no_visitors(site: Site) -> None:
    first = site.serving()
    broken = (
        "-e",
        '{"djangogcp_environment": {"FEATURE": "off"}, "djangogcp_smoke_paths": ["/not-there/"], "release_smoke_timeout_seconds": 5}',
    )
    for _ in range(2):
        run = site.play("deploy.yml", *broken)
        assert run.status != 0
        assert "/not-there/ answered 404" in run.output
        assert f"{first} has all the traffic and answers 200 at /-/live." in run.output
    assert site.serving() == first
    assert site.get("/polls/").status_code == 200


def test_in_maintenance_visitors_are_told_and_who_tests_is_answered(site: Site) -> None:
    first = site.serving()
    on = site.play(
        "playbooks/maintenance.yml", "-e", "maintenance=on", "-e", "maintenance_retry_after_seconds=120"
    )
    assert on.status == 0, on.output
    release = site.serving()
    assert release not in ("", first)
    assert f"Who tests sends the header X-Release-Candidate: {release}." in " ".join(on.output.split())
    page = site.get("/polls/")
    assert (page.status_code, page.headers["Retry-After"]) == (503, "120")
    assert site.get("/-/live").status_code == 200
    assert site.get("/polls/", headers={"X-Release-Candidate": release}).status_code == 200
    assert site.get("/polls/", headers={"X-Release-Candidate": "another"}).status_code == 503
    # The next release is tried out all the same, and leaves it as it is.
    other = site.play("deploy.yml", "-e", '{"djangogcp_environment": {"FEATURE": "late"}}')
    assert other.status == 0, other.output
    assert "polls is in maintenance: visitors get 503." in " ".join(other.output.split())
    assert site.serving() not in (release, first)
    assert site.get("/polls/").status_code == 503
    assert site.get("/polls/", headers={"X-Release-Candidate": site.serving()}).status_code == 200
    off = site.play("playbooks/maintenance.yml", "-e", "maintenance=off")
    assert off.status == 0, off.output
    assert site.get("/polls/").status_code == 200
    assert site.play("deploy.yml").status == 0
    assert site.serving() == first


def test_what_works_in_the_background_follows_the_release(site: Site) -> None:
    command = "import time; from polls.models import Question; print(Question.objects.count(), 'questions', flush=True); time.sleep(100000)"
    asked = {"pulse": {"command": f'python manage.py shell --no-imports -c "{command}"', "memory": "256Mi"}}
    first = site.serving()
    started = site.play("deploy.yml", "-e", json.dumps({"djangogcp_background_workers": asked}))
    assert started.status == 0, started.output
    assert site.serving() == first, "what serves has not changed"
    assert background(site) == ["active"]
    assert "1 questions" in site.on_machine("journalctl", f"--unit={PULSE}", "--no-pager").stdout
    status = site.play("playbooks/status.yml", "-e", json.dumps({"djangogcp_background_workers": asked}))
    assert re.search(r'not_as_declared"?: \[\]', status.output), status.output
    shown = r'"deployed": "(\S+)",\s+"instances": 1,\s+"name": "pulse",\s+"serving": "\1"'
    assert re.search(shown, status.output), status.output
    broken = {
        "djangogcp_background_workers": {"pulse": "python manage.py no_such_command"},
        "djangogcp_environment": {"FEATURE": "with a worker"},
    }
    refused = site.play("deploy.yml", "-e", json.dumps(broken))
    assert refused.status != 0
    assert "Unknown command: 'no_such_command'" in refused.output
    assert "What ran before was started again." in refused.output
    assert f"{first} has all the traffic" in refused.output
    assert (site.serving(), background(site)) == (first, ["active"])
    none = site.play("deploy.yml")
    assert none.status == 0, none.output
    assert background(site) == ["inactive"]
    assert site.on_machine("systemctl", "cat", PULSE).returncode != 0


def background(site: Site) -> list[str]:
    """The state of what works in the background."""
    return site.on_machine("systemctl", "show", "--property=ActiveState", "--value", PULSE).stdout.split()


def test_a_secret_is_a_file_for_all_that_the_site_runs(site: Site) -> None:
    site.rehearsal.api(
        f"{SECRETS}?secretId=payments-key", method="POST", body={"replication": {"automatic": {}}}
    )
    add_version(site, "the-first-key")
    released = site.play("deploy.yml", "-e", json.dumps(WITH_A_FILE))
    assert released.status == 0, released.output
    assert seen(site) == ["the-first-key", "the-first-key"]
    code = "import hashlib, os; print(hashlib.sha256(open(os.environ['PAYMENTS_KEY_FILE'], 'rb').read()).hexdigest())"
    ran = site.play(
        "playbooks/manage.yml",
        "-e",
        json.dumps({**WITH_A_FILE, "manage_command": f'shell --no-imports -c "{code}"'}),
    )
    assert hashlib.sha256(b"the-first-key").hexdigest() in ran.output, ran.output
    assert site.on_machine("runuser", "-u", "polls", "--", "cat", FILE).stdout == ""
    for told in (
        site.on_machine("systemctl", "show", "gunicorn-polls@*.service", PULSE).stdout,
        site.on_machine("sh", "-c", "cat /proc/[0-9]*/cmdline /proc/[0-9]*/environ").stdout,
        site.on_machine("journalctl", "--no-pager").stdout,
        released.output + ran.output,
    ):
        assert "polls" in told
        assert "the-first-key" not in told


def test_a_rollback_has_its_own_version_of_a_file(site: Site) -> None:
    first = site.serving()
    add_version(site, "the-second-key")
    released = site.play("deploy.yml", "-e", json.dumps(WITH_A_FILE))
    assert released.status == 0, released.output
    assert site.serving() != first
    assert seen(site) == ["the-second-key", "the-second-key"]
    again = site.play("deploy.yml", "-e", json.dumps(WITH_A_FILE))
    assert again.status == 0, again.output
    assert again.changed_tasks() == []
    back = site.play("playbooks/rollback.yml", "-e", json.dumps(WITH_A_FILE))
    assert back.status == 0, back.output
    assert site.serving() == first
    assert seen(site) == ["the-first-key", "the-first-key"]


def test_secrets_that_no_release_needs_any_more_go(site: Site) -> None:
    assert held(site, "payments-key") == ["payments-key.1", "payments-key.2"]
    without = site.play("deploy.yml")
    assert without.status == 0, without.output
    pruned = site.play(
        "playbooks/prune.yml", "-e", "djangogcp_keep_days=0", "-e", "djangogcp_keep_releases=1"
    )
    assert pruned.status == 0, pruned.output
    # A rollback goes to the release that has the first version.
    assert held(site, "payments-key") == ["payments-key.1"]
    assert held(site, "polls-secret-key") == ["polls-secret-key.1"]


def add_version(site: Site, value: str) -> None:
    """The value of the secret that is a file, from now on."""
    data = base64.b64encode(value.encode()).decode()
    site.rehearsal.api(f"{SECRETS}/payments-key:addVersion", method="POST", body={"payload": {"data": data}})


def seen(site: Site) -> list[str]:
    """What what serves and what works in the background find at the path. Only their own user may look into their folders."""
    found = []
    for unit in (f"gunicorn-polls@{colour(site)}.service", PULSE):
        pid = site.on_machine("systemctl", "show", "--property=MainPID", "--value", unit).stdout.strip()
        found.append(site.on_machine("runuser", "-u", "polls", "--", "cat", f"/proc/{pid}/root{FILE}").stdout)
    return found


def held(site: Site, secret: str) -> list[str]:
    """The files of a secret, one for each version."""
    found = site.on_machine("find", "/etc/djangogcp/polls/secrets", "-name", f"{secret}.*", "-printf", "%f\n")
    return sorted(found.stdout.split())


def test_a_person_runs_a_command(site: Site) -> None:
    ran = site.play("playbooks/manage.yml", "-e", "manage_command='showmigrations --list polls'")
    assert ran.status == 0, ran.output
    assert "[X] 0001_initial" in ran.output
    failed = site.play("playbooks/manage.yml", "-e", "manage_command=nonsense")
    assert failed.status != 0
    assert "Unknown command: 'nonsense'" in failed.output
    assert "manage.py nonsense ended with exit code 1." in failed.output


def test_who_looks_is_told(site: Site) -> None:
    status = site.play("playbooks/status.yml")
    assert status.status == 0, status.output
    assert f"https://{site.host}" in status.output, status.output
    assert re.search(r'not_as_declared"?: \[\]', status.output), status.output
    doctor = site.play("playbooks/doctor.yml")
    assert "ok: traffic: " in doctor.output, doctor.output


def test_it_moves_to_cloud_run_and_back_with_its_data(site: Site) -> None:
    first = site.serving()
    machine = f"https://{site.host}"
    assert votes_after_one_more(site, machine) == 1
    moved = site.play("deploy.yml", "-e", "djangogcp_target=cloud_run")
    assert moved.status == 0, moved.output
    service = site.rehearsal.url("polls")
    assert service != machine
    assert votes_after_one_more(site, service) == 2
    # Nobody has taken what was there away: visitors move when their name does.
    assert votes_after_one_more(site, machine) == 3
    back = site.play("deploy.yml")
    assert back.status == 0, back.output
    assert site.serving() == first
    assert votes_after_one_more(site, machine) == 4
    again = site.play("deploy.yml")
    assert again.status == 0, again.output
    assert again.changed_tasks() == []


def votes_after_one_more(site: Site, url: str) -> int:
    """How many votes the first question has in all, after that of somebody who has not been there before."""
    with site.rehearsal.session() as session:
        asked = session.get(f"{url}/polls/", timeout=60)
        path = re.search(r'href="(/polls/\d+/)"', asked.text)
        assert path, asked.text
        form = session.get(f"{url}{path[1]}", timeout=60).text
        action = re.search(r'action="(/polls/\d+/vote/)"', form)
        token = re.search(r'name="csrfmiddlewaretoken" value="(\w+)"', form)
        choice = re.search(r'name="choice"[^>]* value="(\d+)"', form)
        assert action, form
        assert token, form
        assert choice, form
        voted = session.post(
            f"{url}{action[1]}",
            data={"csrfmiddlewaretoken": token[1], "choice": choice[1]},
            headers={"Referer": f"{url}{path[1]}"},
            timeout=60,
        )
        found = re.search(r"(\d+) votes? in all\.", voted.text)
        assert found, voted.text
        return int(found[1])


def test_a_machine_that_was_stopped_is_told(site: Site) -> None:
    instance = f"{COMPUTE}/zones/{ZONE}/instances/polls"
    site.rehearsal.api(f"{instance}/stop", method="POST")
    until("stopped", lambda: site.rehearsal.api(instance)["status"] == "TERMINATED")
    try:
        refused = site.play("deploy.yml")
    finally:
        site.rehearsal.api(f"{instance}/start", method="POST")
    assert refused.status != 0
    assert "The machine polls does not run (TERMINATED)." in refused.output
    assert refused.changed_tasks() == ["org.djangogcp.site : record | Write the record of the release"]


def test_it_survives_a_reboot(site: Site) -> None:
    def began() -> str:
        (container,) = site.rehearsal.containers()
        return str(container["State"]["StartedAt"])

    until("served", lambda: serves(site))
    before = began()
    site.rehearsal.api(f"{COMPUTE}/zones/{ZONE}/instances/polls/reset", method="POST")
    until("started again", lambda: began() != before)
    until("served again", lambda: serves(site))


def test_who_is_kept_out_is_told_why_and_gets_in_again(site: Site) -> None:
    first = site.serving()
    renewed = site.on_machine("sh", "-c", "rm /etc/ssh/ssh_host_* && ssh-keygen -A")
    assert renewed.returncode == 0, renewed.stderr
    refused = site.play("deploy.yml")
    assert refused.status != 0
    assert "it shows a host key that it has not published" in refused.output
    assert refused.changed_tasks() == []
    # As the page says.
    (publish,) = re.findall(
        r"^for key in /etc/ssh/.*?^done$", PAGE.read_text("utf-8"), re.MULTILINE | re.DOTALL
    )
    published = site.on_machine("sh", "-ec", publish)
    assert published.returncode == 0, published.stderr

    site.on_machine("systemctl", "stop", "ssh.socket", "ssh.service")
    rule = f"{COMPUTE}/global/firewalls/polls-ssh"
    site.rehearsal.api(rule, method="DELETE")
    refused = site.play("deploy.yml")
    site.on_machine("systemctl", "start", "ssh.socket")
    assert refused.status != 0
    assert (
        "does not let in who deploys: Failed to open a tunnel to port 22 of instance polls" in refused.output
    )
    assert "gcloud compute instances reset polls" in refused.output
    assert site.rehearsal.api(rule)["sourceRanges"] == ["35.235.240.0/20"]
    assert (site.serving(), serves(site)) == (first, True)


def test_what_cannot_be_released_is_told_and_what_serves_goes_on(site: Site, tmp_path: Path) -> None:
    first = site.serving()
    # What was released before would not have to be made again.
    others = ("-mindepth", "1", "-maxdepth", "1", "!", "-name", first.rpartition("-")[0])
    site.on_machine("find", "/srv/polls/releases", *others, "-exec", "rm", "-r", "{}", "+")
    releases = site.on_machine("ls", "/srv/polls/releases").stdout
    assert releases.split() == [first.rpartition("-")[0]]
    for end, content in zip(
        ("pem", "key"), ca.issue(site.rehearsal.state / "ca", "shop.example.com"), strict=True
    ):
        (tmp_path / f"other.{end}").write_bytes(content)
    given = {
        "compute_engine_certificate": f"{tmp_path}/other.pem",
        "compute_engine_certificate_key": f"{tmp_path}/other.key",
    }
    refused = site.play("deploy.yml", "-e", json.dumps(given))
    assert f"cannot serve {site.host}: it is for shop.example.com, and not for {site.host}." in refused.output

    # Debian's mirror is in the way of nothing that is there; the index of Python's packages is in the way of another release.
    site.on_machine(
        "sh", "-c", "mkdir /var/tmp/kept && cp -a /etc/apt/sources.list.d /etc/pip.conf /var/tmp/kept"
    )
    site.on_machine(
        "sh",
        "-c",
        "rm /etc/apt/sources.list.d/* && find /var/lib/apt /var/cache/apt -exec touch --date='3 days ago' {} +",
    )
    site.on_machine(
        "sh",
        "-c",
        "rm /etc/pip.conf && printf '[global]\nindex-url = https://127.0.0.1:9/simple\nretries = 1\n' > /etc/pip.conf",
    )
    # Not the one that a rollback has taken out.
    other = {"djangogcp_wsgi_module": "config.asgi:application", "djangogcp_environment": {"FEATURE": "late"}}
    refused = site.play("deploy.yml", "-e", json.dumps(other))
    site.on_machine(
        "sh",
        "-c",
        "cp -a /var/tmp/kept/sources.list.d /etc/apt && rm /etc/pip.conf && cp -a /var/tmp/kept/pip.conf /etc",
    )
    assert "Failed to make release " in refused.output
    assert "Failed to establish a new connection" in refused.output
    assert site.on_machine("ls", "/srv/polls/releases").stdout == releases

    refused = site.play("deploy.yml", "-e", "nginx_upload_limit=99999999999999999999g")
    assert "nginx refuses the new configuration" in refused.output
    assert "99999999999999999999g" in refused.output
    assert f"{first} has all the traffic and answers 200 at /-/live." in refused.output

    small = "mount -t tmpfs -o size=1M tmpfs /srv"
    assert site.on_machine("sh", "-c", small).returncode == 0
    refused = site.play("deploy.yml")
    site.on_machine("umount", "/srv")
    assert "The disk of the machine polls in us-central1-b is full: 1 MiB are free" in refused.output
    assert (site.serving(), serves(site)) == (first, True)
    again = site.play("deploy.yml")
    assert again.status == 0, again.output
    assert site.serving() == first


def test_a_machine_that_was_deleted_is_made_again(site: Site) -> None:
    instance, address = f"{COMPUTE}/zones/{ZONE}/instances/polls", site.address
    site.rehearsal.api(instance, method="DELETE")
    until("deleted", lambda: site.rehearsal.containers() == [])
    again = site.play("deploy.yml")
    assert again.status == 0, again.output
    assert (site.address, serves(site)) == (address, True)


def test_nothing_is_left_of_it(site: Site) -> None:
    gone = site.play("playbooks/destroy.yml", "-e", "destroy_confirm=polls", "-e", "destroy_data=true")
    assert gone.status == 0, gone.output
    left = {
        kind: site.rehearsal.api(f"{COMPUTE}/{path}").get("items", [])
        for kind, path in {
            "networks": "global/networks",
            "firewalls": "global/firewalls",
            "addresses": f"regions/{REGION}/addresses",
            "instances": f"zones/{ZONE}/instances",
            "disks": f"zones/{ZONE}/disks",
        }.items()
    }
    # The network that every project has from the start is none of the site's.
    assert (
        json.dumps([one["name"] for kind, items in left.items() for one in items if kind != "networks"])
        == "[]"
    )
    assert [one["name"] for one in left["networks"]] == ["default"]
    assert site.rehearsal.containers() == []


def test_where_there_is_nothing_a_check_tells_what_would_be_made(site: Site) -> None:
    check = site.play("deploy.yml", "--check", "--diff")
    assert check.status == 0, check.output
    assert check.counts("polls")["changed"] > 0
    assert site.rehearsal.api(f"{COMPUTE}/zones/{ZONE}/instances").get("items", []) == []
