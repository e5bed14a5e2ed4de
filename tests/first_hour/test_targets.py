"""What a rehearsal with machines needs of this one, and what it says where that is missing."""

from __future__ import annotations

import datetime
import os
import re
import ssl
import subprocess
import sys
from pathlib import Path

import pytest
import yaml
from gcp_emulator.front import ca

from emulator.tests import handshakes
from tests.first_hour.test_verbs import complaint, home, make
from tools import engine, grant_roles, machine_certificate, machine_host, made, rehearse, sites, targets

__all__ = ["home"]

ROOT = Path(__file__).resolve().parents[2]
HOST = "5.0.18.198.bc.googleusercontent.com"
SITE = sites.Site("polls", "polls", "my-project", "us-central1", "admin", "/admin/", "")


def test_another_word_is_no_target(home: Path) -> None:
    for verb in ("rehearse", "env"):
        said = complaint(make(verb, "TARGET=compute-engine", home=home))
        assert said == "error: TARGET is compute-engine: expected cloud_run or compute_engine"
    assert not home.exists()


@pytest.mark.parametrize(("platform", "user"), [("linux", 1000), ("darwin", 0)])
def test_where_no_engine_answers_and_none_can_be_brought_it_is_said(
    monkeypatch: pytest.MonkeyPatch, platform: str, user: int
) -> None:
    monkeypatch.setattr(engine, "version", lambda: None)
    monkeypatch.setattr(sys, "platform", platform)
    monkeypatch.setattr(os, "geteuid", lambda: user)
    monkeypatch.setattr(subprocess, "run", lambda *_, **__: pytest.fail("nothing is run"))
    with pytest.raises(
        targets.TargetError, match="no container engine answers: start Docker, or run this as root"
    ):
        targets.bring_engine()


@pytest.mark.parametrize("status", [0, 4])
def test_root_brings_an_engine(monkeypatch: pytest.MonkeyPatch, status: int) -> None:
    ran: list[list[str]] = []

    def run(command: list[str], **_: object) -> subprocess.CompletedProcess[str]:
        ran.append(command)
        return subprocess.CompletedProcess(command, status)

    monkeypatch.setattr(engine, "version", lambda: None)
    monkeypatch.setattr(os, "geteuid", lambda: 0)
    monkeypatch.setattr(subprocess, "run", run)
    if status:
        with pytest.raises(targets.TargetError, match="needs a container engine with its images"):
            targets.bring_engine()
    else:
        targets.bring_engine()
    assert ran == [[sys.executable, str(ROOT / "tools" / "engine.py"), "up"]]


@pytest.fixture
def authority(tmp_path: Path) -> ca.CertificateAuthority:
    """That of an emulator whose state is in a folder with a space in its path."""
    return ca.CertificateAuthority(tmp_path / "a state" / "ca")


@pytest.fixture
def variables(tmp_path: Path, authority: ca.CertificateAuthority, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The file of variables, with a program that stands in for the proxy."""

    def docker(*arguments: str) -> str:
        if arguments[0] == "cp":
            assert arguments[1] == "the-container:/cloud-sql-proxy"
            Path(arguments[2]).write_bytes(b"the program")
        return "the-container"

    monkeypatch.setattr(targets, "_docker", docker)
    file = tmp_path / "target.yml"
    targets.write_variables(file, tmp_path, tmp_path / "a state", Path(sys.executable))
    return file


def test_the_program_of_the_proxy_is_copied_once(
    variables: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    said = yaml.safe_load(variables.read_text("utf-8"))
    assert said["djangogcp_target"] == "compute_engine"
    assert Path(said["cloud_sql_proxy_file"]).read_bytes() == b"the program"
    assert (
        said["cloud_sql_proxy_sha256"] == "50fda23bf0a5115d4f893dc10d122c10a4705f47688f5620e80611c092d4053e"
    )
    assert re.fullmatch(r"\d+\.\d+\.\d+", said["cloud_sql_proxy_version"])
    monkeypatch.setattr(targets, "_docker", lambda *_: pytest.fail("it is there"))
    targets.write_variables(variables, tmp_path, tmp_path / "a state", Path(sys.executable))
    assert yaml.safe_load(variables.read_text("utf-8")) == said


def test_a_program_that_cannot_be_copied_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(targets, "_docker", lambda *_: None)
    with pytest.raises(targets.TargetError, match="cannot be copied out of "):
        targets.write_variables(tmp_path / "target.yml", tmp_path, tmp_path, Path(sys.executable))
    assert list(tmp_path.iterdir()) == []


def test_the_certificate_is_made_when_a_playbook_reads_its_path(variables: Path, tmp_path: Path) -> None:
    """The name is known when the address is reserved."""
    show = "msg='{{ compute_engine_certificate }} {{ compute_engine_certificate_key }}'"
    ansible = [str(ROOT / ".venv/bin/ansible"), "localhost", "-m", "debug", "-a", show]
    done = subprocess.run(
        [*ansible, "-e", f"@{variables}", "-e", f"compute_engine_host={HOST}"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    certificate = tmp_path / "certificates" / f"{HOST}.pem"
    assert f'"msg": "{certificate} {certificate.with_suffix(".key")}"' in done.stdout, (
        done.stdout + done.stderr
    )
    assert certificate.with_suffix(".key").stat().st_mode & 0o777 == 0o600


def shake_hands(certificate: Path, trusted: Path, host: str) -> None:
    """Of a client with a server that has this certificate. SSLCertVerificationError."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, certificate.with_suffix(".key"))
    handshakes.shake_hands(context, trusted, host)


def certify(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Path:
    """The certificate that the program makes or finds."""
    assert machine_certificate.main(str(tmp_path / "a state"), str(tmp_path / "certificates"), HOST) == 0
    return Path(capsys.readouterr().out.strip())


def test_who_trusts_the_emulator_trusts_the_certificate(
    tmp_path: Path, authority: ca.CertificateAuthority, capsys: pytest.CaptureFixture[str]
) -> None:
    bundle = authority.bundle_path.read_bytes()
    certificate = certify(tmp_path, capsys)
    shake_hands(certificate, authority.bundle_path, HOST)
    with pytest.raises(ssl.SSLCertVerificationError, match="Hostname mismatch"):
        shake_hands(certificate, authority.bundle_path, "6.0.18.198.bc.googleusercontent.com")
    content = certificate.read_bytes()
    assert content.endswith(authority.certificate_path.read_bytes()), "with its chain"
    # It is kept, and what the emulator wrote is left alone.
    assert certify(tmp_path, capsys).read_bytes() == content
    assert authority.bundle_path.read_bytes() == bundle
    assert sorted(path.name for path in certificate.parent.iterdir()) == [f"{HOST}.key", f"{HOST}.pem"]


def test_a_certificate_is_made_again_when_it_is_of_no_use(
    tmp_path: Path,
    authority: ca.CertificateAuthority,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    first = certify(tmp_path, capsys).read_bytes()
    # A root that has hours left.
    monkeypatch.setattr(ca, "_LIFE", datetime.timedelta(hours=23))
    authority.certificate_path.unlink()
    authority = ca.CertificateAuthority(tmp_path / "a state" / "ca")
    second = certify(tmp_path, capsys).read_bytes()
    assert second != first, "it is of another root"
    shake_hands(certify(tmp_path, capsys), authority.certificate_path, HOST)
    assert certify(tmp_path, capsys).read_bytes() != second, "it ends within a day"


def test_without_an_authority_there_is_no_certificate(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert machine_certificate.main(str(tmp_path), str(tmp_path / "certificates"), HOST) == 1
    said = capsys.readouterr()
    assert (said.out, said.err) == (
        "",
        f"error: no certificate for {HOST}: No such file or directory: {tmp_path}/ca/ca.pem\n",
    )


def test_the_name_of_an_address_is_googles() -> None:
    assert machine_host.name_of("198.18.0.5") == HOST


@pytest.fixture
def started(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[list[str]]:
    """What the emulator's command is told, and nothing happens."""
    told: list[list[str]] = []
    for name in ("TARGET", "ENVIRONMENT", "INVENTORY"):
        monkeypatch.setattr(rehearse, name, tmp_path / name.lower())
    monkeypatch.setattr(rehearse, "HOME", tmp_path)
    monkeypatch.setattr(rehearse, "_emulator", lambda *words: told.append(list(words)))
    monkeypatch.setattr(rehearse, "_running_port", lambda: 8910)
    monkeypatch.setattr(rehearse, "_environment", lambda _: "")
    monkeypatch.setattr(rehearse, "_grant_roles", lambda projects: told[-1].insert(1, *projects))
    monkeypatch.setattr(sites, "read", lambda _: [SITE])
    monkeypatch.setattr(targets, "bring_engine", lambda: None)
    monkeypatch.setattr(targets, "write_variables", lambda file, *_: file.write_text("said"))
    return told


def begin(
    told: list[list[str]], monkeypatch: pytest.MonkeyPatch, machines: str, target: str
) -> tuple[list[str], bool]:
    """The verbs that the emulator is told where one runs with these machines, and whether it is started with those of the engine."""
    told.clear()
    health = {"projects": ["my-project"], "machines": machines}
    monkeypatch.setattr(sites, "health_of_emulator", lambda _: health)
    rehearse.start(ROOT / "inventories" / "local", "", target)
    last = told[-1]
    return [words[0] for words in told], last[-2:] == ["--machines", "containers"]


def test_a_rehearsal_goes_on_with_the_target_of_the_last(
    started: list[list[str]], monkeypatch: pytest.MonkeyPatch
) -> None:
    inventory = ROOT / "inventories" / "local"
    assert begin(started, monkeypatch, "none", "") == (["start"], False)
    assert rehearse._variables(inventory) == ["-i", str(inventory), "-e", "djangogcp_cloud=emulator"]
    assert rehearse._typed(inventory) == "ansible-playbook deploy.yml -i inventories/local"
    # An emulator that runs no machines is started anew, and one that does is not.
    assert begin(started, monkeypatch, "none", "compute_engine") == (["stop", "start"], True)
    assert begin(started, monkeypatch, "containers", "") == (["start"], True)
    assert rehearse._variables(inventory)[-2:] == ["-e", f"@{rehearse.TARGET}"]
    assert rehearse._typed(inventory).endswith(f" -i inventories/local -e @{rehearse.TARGET}")
    assert begin(started, monkeypatch, "containers", "cloud_run") == (["start"], False)
    assert begin(started, monkeypatch, "none", "") == (["start"], False)
    assert not rehearse.TARGET.exists()


def test_roles_are_granted_once_and_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[str] = []
    others = {"role": "roles/owner", "members": ["user:other@example.com"]}
    policy = {"bindings": [others], "etag": "x"}
    late = [{"permissions": ["a.b.c"]}, {}]

    class Answer:
        status_code, text = 200, ""

        def __init__(self, content: dict[str, object]) -> None:
            self.content = content

        def json(self) -> dict[str, object]:
            return self.content

        def raise_for_status(self) -> None:
            pass

    class Session:
        def __init__(self, _: object) -> None:
            pass

        def post(self, url: str, json: dict[str, dict[str, object]], timeout: int) -> Answer:
            verb = url.rpartition(":")[2]
            asked.append(verb)
            if verb == "setIamPolicy":
                policy.update(json["policy"])  # type: ignore[arg-type]
            if verb == "testIamPermissions":
                return Answer(late.pop() if len(late) > 1 else late[0])
            return Answer(dict(policy))

    monkeypatch.setattr(grant_roles.google.auth, "default", lambda **_: (None, None))
    monkeypatch.setattr(grant_roles, "AuthorizedSession", Session)
    monkeypatch.setattr(grant_roles, "_PAUSE", 0)
    words = ("my-project", "user:me@example.com", "roles/one=a.b.c")
    assert grant_roles.main(*words) == 0
    assert asked == ["enable", "getIamPolicy", "setIamPolicy", *["testIamPermissions"] * 2]
    mine = {"role": "roles/one", "members": ["user:me@example.com"]}
    assert policy == {"bindings": [others, mine], "etag": "x"}
    asked.clear()
    assert grant_roles.main(*words) == 0
    assert asked == ["enable", "getIamPolicy", "testIamPermissions"]


def test_what_is_there_is_listed_without_the_apis_that_are_not_used(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    class Answer:
        def __init__(self, content: dict[str, object], status: int = 200) -> None:
            self.content, self.status_code = content, status

        def json(self) -> dict[str, object]:
            return self.content

        def raise_for_status(self) -> None:
            assert self.status_code == 200

    class Session:
        def __init__(self, _: object) -> None:
            pass

        def get(self, url: str, timeout: int) -> Answer:
            if "//run." in url:
                details = [{"reason": "SERVICE_DISABLED"}]
                return Answer({"error": {"details": details}}, 403)
            if "//compute." in url:
                return Answer({"items": places})
            return Answer({"items": [{"name": "media"}]} if "//storage." in url else {})

    machine = {"name": "polls", "status": "RUNNING"}
    places: dict[str, object] = {"zones/a": {"warning": {}}, "zones/b": {"instances": [machine]}}
    monkeypatch.setattr(made.google.auth, "default", lambda **_: (None, None))
    monkeypatch.setattr(made, "AuthorizedSession", Session)
    assert made.main("my-project", "us-central1") == 0
    lines = [line.split() for line in capsys.readouterr().out.splitlines()]
    assert lines == [
        ["database"],
        ["buckets", "media"],
        ["secrets"],
        ["accounts"],
        ["machines", "polls", "(RUNNING)"],
    ]
    # Most projects have no machines, and are not told so.
    places.clear()
    assert made.main("my-project", "us-central1") == 0
    assert "machines" not in capsys.readouterr().out
