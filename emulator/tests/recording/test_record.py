"""``gcp-emulator record`` between a client and what it takes for Google Cloud, and ``facts check`` of what was recorded."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest
from gcp_emulator.cli import main

from emulator.tests.running import PROJECT, RunningEmulator

CLIENT = """
import os, sys, requests
session = requests.Session()
session.headers["Authorization"] = "Bearer " + sys.argv[1]
secrets = f"https://secretmanager.googleapis.com/v1/projects/{sys.argv[2]}/secrets"
assert session.get(f"{secrets}/api-key").status_code == 404
assert session.post(secrets, params={"secretId": "api-key"}, json={"replication": {"automatic": {}}}).ok
assert session.post(f"{secrets}/api-key:addVersion", json={"payload": {"data": "aHVudGVyMg=="}}).ok
assert session.get(f"{secrets}/api-key/versions/1:access").json()["payload"]["data"] == "aHVudGVyMg=="
"""


def recorded(
    emulator: RunningEmulator, monkeypatch: pytest.MonkeyPatch, folder: Path, *command: str
) -> tuple[int, Path]:
    """Records a command; returns its exit status and the file."""
    for name, value in emulator.environment.items():
        monkeypatch.setenv(name, value)
    output = folder / "run.json"
    return main(["record", "--project", PROJECT, "--output", str(output), "--", *command]), output


def test_a_run_is_recorded_without_its_secrets_and_agrees_with_the_emulator(
    emulator: RunningEmulator,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    token = emulator.token(emulator.owner)
    status, output = recorded(emulator, monkeypatch, tmp_path, sys.executable, "-c", CLIENT, token, PROJECT)
    assert status == 0
    assert f"3 exchanges in {output}" in capsys.readouterr().out
    text = output.read_text("utf-8")
    for own in (token, "aHVudGVyMg", PROJECT, emulator.number, "owner@example.com"):
        assert own not in text
    exchanges = json.loads(text)["exchanges"]
    assert [(one["method"], one["status"]) for one in exchanges] == [
        ("GET", 404),
        ("POST", 200),
        ("POST", 200),
    ]
    assert (
        exchanges[0]["url"] == "https://secretmanager.googleapis.com/v1/projects/${projectId}/secrets/api-key"
    )
    assert main(["facts", "check", str(output)]) == 0
    assert "conversation: 3 of 3 exchanges agree (100.0 %)" in capsys.readouterr().out


def test_what_the_emulator_answers_otherwise_is_told(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    url = "https://secretmanager.googleapis.com/v1/projects/${projectId}/secrets/absent"
    exchanges = [{"method": "GET", "url": url, "status": 404, "response": {"error": {"status": "GONE"}}}]
    (tmp_path / "other.json").write_text(json.dumps({"source": "", "exchanges": exchanges}), "utf-8")
    assert main(["facts", "check", str(tmp_path / "other.json")]) == 1
    assert "1 x secretmanager: error.status is 'NOT_FOUND' instead of 'GONE'" in capsys.readouterr().out
    assert main(["facts", "check", "--at-least", "0", str(tmp_path / "other.json")]) == 0


def test_the_commands_exit_status_is_kept(
    emulator: RunningEmulator, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    status, output = recorded(emulator, monkeypatch, tmp_path, sys.executable, "-c", "raise SystemExit(7)")
    assert (status, json.loads(output.read_text("utf-8"))["exchanges"]) == (7, [])


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--output", "{folder}/x.json"], "say behind -- which command to record"),
        (
            ["--output", "{folder}/absent/x.json", "--", "true"],
            "cannot write {folder}/absent/x.json: No such file",
        ),
        (
            ["--output", "{folder}/x.json", "--", "no-such-command"],
            "cannot run no-such-command: No such file",
        ),
        (["--output", "{folder}/x.json", "--replace", "shop", "--", "true"], "--replace takes TEXT=NAME"),
    ],
)
def test_what_cannot_be_recorded_is_said_in_one_sentence(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], arguments: list[str], message: str
) -> None:
    given = [one.format(folder=tmp_path) for one in arguments]
    assert main(["record", "--project", "p", *given]) == 1
    assert message.format(folder=tmp_path) in capsys.readouterr().err


def test_a_proxy_that_cannot_be_reached_is_told(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("HTTPS_PROXY", "http://127.0.0.1:1")
    code = "import requests; answer = requests.get('https://run.googleapis.com/x'); assert answer.status_code == 502; print(answer.text)"
    output = tmp_path / "x.json"
    assert main(["record", "--project", "p", "--output", str(output), "--", sys.executable, "-c", code]) == 0
    exchange = json.loads(output.read_text("utf-8"))["exchanges"][0]
    assert exchange["status"] == 502
    assert "cannot reach run.googleapis.com" in exchange["response"]["__text__"]
