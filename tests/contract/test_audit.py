"""`make audit` by the real pip-audit, which asks a service that the test runs."""

from __future__ import annotations

import json
import re
import subprocess
import sys
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from tests.contract.wire import ROOT
from tools import audit


class Osv(BaseHTTPRequestHandler):
    """Knows of one vulnerability, of Django 5.2.1, by OSV's schema (https://ossf.github.io/osv-schema/)."""

    asked: list[tuple[str, str]]

    def do_POST(self) -> None:
        """What is known of a version."""
        query = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        name, version = query["package"]["name"], query["version"]
        self.asked.append((name, version))
        known: dict[str, Any] = {
            "id": "PYSEC-2099-1",
            "aliases": ["CVE-2099-0001"],
            "summary": "It is hot.",
            "affected": [
                {
                    "package": {"name": "django", "ecosystem": "PyPI"},
                    "ranges": [{"type": "ECOSYSTEM", "events": [{"introduced": "0"}, {"fixed": "5.2.2"}]}],
                }
            ],
        }
        body = json.dumps({"vulns": [known]} if (name, version) == ("django", "5.2.1") else {}).encode()
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        """Says nothing."""


@pytest.fixture
def service() -> Iterator[str]:
    """Where the service answers."""
    Osv.asked = []
    server = ThreadingHTTPServer(("127.0.0.1", 0), Osv)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}/v1/query"
    server.shutdown()
    server.server_close()


@pytest.fixture
def locked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> tuple[Path, Path]:
    """A locked file with a vulnerable version, and another one with a good version; nothing is ignored."""
    monkeypatch.setattr(audit, "ROOT", tmp_path)
    monkeypatch.setattr(audit, "IGNORED", tmp_path / "ignored.toml")
    (tmp_path / "ignored.toml").write_text("", "utf-8")
    old, new = tmp_path / "old.txt", tmp_path / "new.txt"
    digest = "    --hash=sha256:" + "0" * 64
    old.write_text(
        f"django==5.2.1 \\\n{digest}\n    # via -r old.in\nSqlParse==0.6.1 \\\n{digest}\n", "utf-8"
    )
    new.write_text(f"django==5.2.19 \\\n{digest}\n", "utf-8")
    monkeypatch.setattr(audit, "LOCKED", (old, new))
    return old, new


def run(monkeypatch: pytest.MonkeyPatch, *options: str) -> int:
    monkeypatch.setattr(sys, "argv", ["audit.py", *options])
    return audit.main()


def test_a_known_vulnerability_fails_until_it_has_a_reason(
    locked: tuple[Path, Path],
    service: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert run(monkeypatch, "--service", service) == 1
    assert capsys.readouterr().out.splitlines() == [
        "django 5.2.1 (old.txt): PYSEC-2099-1 CVE-2099-0001: fixed in 5.2.2",
        "3 locked packages audited: 1 known vulnerabilities, 1 not ignored",
    ]
    assert {("django", "5.2.1"), ("django", "5.2.19"), ("sqlparse", "0.6.1")} == set(Osv.asked)
    audit.IGNORED.write_text("CVE-2099-0001 = 'we keep it cool'\nCVE-2098-1 = 'of long ago'\n", "utf-8")
    assert run(monkeypatch, "--service", service) == 0
    assert capsys.readouterr().out.splitlines() == [
        "django 5.2.1 (old.txt): PYSEC-2099-1 CVE-2099-0001: ignored, we keep it cool",
        "ignored.toml: CVE-2098-1 is not found any more; remove it",
        "3 locked packages audited: 1 known vulnerabilities, 0 not ignored",
    ]


@pytest.mark.parametrize("line", ["CVE-2099-0001 = ''", "CVE-2099-0001 = true", "CVE-2099-0001"])
def test_an_ignored_one_needs_a_reason(
    line: str, locked: tuple[Path, Path], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    audit.IGNORED.write_text(line + "\n", "utf-8")
    assert run(monkeypatch) == 1
    assert capsys.readouterr().err.startswith(f"error: {audit.IGNORED}: ")


@pytest.mark.parametrize(("options", "status"), [((), audit.NOT_REACHED), (("--if-reachable",), 0)])
def test_what_was_not_asked_about_is_not_called_good(
    options: tuple[str, ...],
    status: int,
    locked: tuple[Path, Path],
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    # Port 9 discards; nobody listens there.
    assert run(monkeypatch, "--service", "http://127.0.0.1:9/v1/query", *options) == status
    assert capsys.readouterr().out == "not reachable, not audited: 3 locked packages (ConnectionError)\n"


def test_everything_that_pip_installs_here_is_locked_with_hashes_and_audited() -> None:
    """Each name and version of a locked file has its hashes, and every requirements file that a program installs is one."""
    for file in audit.LOCKED:
        text = file.read_text("utf-8")
        pins = audit.read_pins((file,))
        assert pins, file
        assert len(pins) <= text.count("--hash=sha256:"), file
    tracked = subprocess.run(["git", "ls-files"], cwd=ROOT, capture_output=True, text=True, check=True).stdout
    installers = [name for name in tracked.splitlines() if re.search(r"\.sh$|(^|/)Dockerfile$", name)]
    installed = [
        line
        for name in installers
        for line in (ROOT / name).read_text("utf-8").replace("\\\n", " ").splitlines()
        if re.search(r"\bpip\b.* install |^ *pip_install ", line)
        and '"$@"' not in line
        and not line.strip().startswith(("fail ", "#"))
    ]
    assert len(installed) >= 5
    # What is installed without the index needs no hash.
    assert [line for line in installed if "--require-hashes" not in line and "--no-deps" not in line] == []
