# Copyright (c) 2026, The djangogcp contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What works in the background of a server; each test begins where the one before ended."""

from __future__ import annotations

import hashlib
import json
import re
import subprocess
from typing import Any

import pytest
from testinfra.host import Host

SECRET = "not-a-secret-but-kept-as-one"
FILE_SECRET = "nor-is-this-but-it-is-a-file"
FILE = "/run/secrets/payments/key.pem"
GREETING = "a \"b\" $HOME %i 'c' \\ d"
RUN = "/srv/shop/run"


def unit(process: str, instance: int = 1) -> str:
    return f"python-worker-shop.{process}@{instance}.service"


def shown(host: Host, process: str, instance: int = 1) -> tuple[str, int]:
    """The state of an instance, and its process, 0 for none."""
    told = host.check_output(f"systemctl show --property=ActiveState,MainPID {unit(process, instance)}")
    values = dict(line.split("=", 1) for line in told.split())
    return values["ActiveState"], int(values["MainPID"])


def written(host: Host, process: str, instance: int = 1) -> dict[str, Any]:
    """What an instance has found, as it wrote it down."""
    _state, pid = shown(host, process, instance)
    return json.loads(host.file(f"{RUN}/{process}-{pid}").content_string)


def changed(done: subprocess.CompletedProcess[str]) -> dict[str, list[str]]:
    """By host what a run has started anew or removed."""
    return {
        host: json.loads(found) for host, found in re.findall(r"msg: (\w+) changed (\[.*?\])", done.stdout)
    }


def standing(play) -> dict[str, list[dict[str, Any]]]:
    """By host what the role says that runs."""
    done = play("standing.yml")
    assert done.returncode == 0, done.stdout
    assert "changed=1" not in done.stdout
    return {
        host: json.loads(found) for host, found in re.findall(r"msg: '?(\w+) has (\[.*?\])'? ", done.stdout)
    }


def test_it_works_with_its_environment_and_its_secret(host: Host) -> None:
    assert shown(host, "queue")[0] == "active"
    assert written(host, "queue") == {
        "folder": "/srv/shop/releases/1/source",
        "python": "/srv/shop/releases/1/virtualenv",
        "greeting": GREETING,
        "secret": hashlib.sha256(SECRET.encode()).hexdigest(),
        "file": version("1"),
        "held": ["SECRET_KEY", "file-1"],
        "own folder": "Read-only file system",
    }
    assert written(host, "beat")["greeting"] == "of its own"


def test_nobody_sees_its_secret(host: Host) -> None:
    _state, pid = shown(host, "queue")
    seen = [
        host.check_output(f"systemctl show {unit('queue')}"),
        host.check_output(f"systemctl cat {unit('queue')}"),
        host.check_output("cat /etc/python_worker/shop/queue.json"),
        host.check_output(f"cat /proc/{pid}/cmdline"),
        host.check_output("journalctl --no-pager"),
    ]
    assert all(seen)
    assert [told for told in seen if SECRET in told or FILE_SECRET in told] == []
    # Another service of the same user's, too: what is left at the path is empty.
    for who in ("", "setpriv --reuid=daemon --clear-groups", "systemd-run --quiet --wait --pipe --uid=shop"):
        assert host.run(f"{who} cat {FILE}").stdout == ""
    assert host.run(f"setpriv --reuid=daemon --clear-groups cat /proc/{pid}/environ").rc != 0
    assert host.run("setpriv --reuid=daemon --clear-groups cat /etc/python_worker/shop/queue.json").rc != 0


def test_the_sandbox_is_as_tight_as_stated(host: Host) -> None:
    told = host.check_output(f"systemd-analyze security --no-pager {unit('queue')}")
    assert re.search(r"Overall exposure level for \S+: 1\.[0-9] OK", told), told[-300:]


def test_one_that_is_killed_is_started_again(host: Host) -> None:
    _state, pid = shown(host, "queue")
    host.check_output(f"kill -KILL {pid}")
    wait = f"until systemctl show --property=MainPID,ActiveState {unit('queue')} | sort | tr '\\n' ' ' | grep -qv 'active MainPID={pid} \\|MainPID=0'"
    host.check_output(f'timeout 60 sh -c "{wait}; do sleep 0.2; done"')
    assert shown(host, "queue")[1] not in (0, pid)


def test_another_release_replaces_what_worked_after_what_it_was_at(hosts: dict[str, Host], play) -> None:
    before = {name: (shown(host, "queue")[1], shown(host, "beat")[1]) for name, host in hosts.items()}
    done = play("work.yml", **release("2"))
    assert done.returncode == 0, done.stdout
    assert changed(done) == {key: ["queue", "beat"] for key in hosts}
    for name, host in hosts.items():
        assert written(host, "queue")["folder"] == "/srv/shop/releases/2/source"
        # It was told to stop, and had the time for it.
        assert host.file(f"{RUN}/queue-{before[name][0]}-stopped").exists
        assert host.file(f"{RUN}/beat-{before[name][1]}-stopped").exists
    again = play("work.yml", **release("2"))
    assert changed(again) == {key: [] for key in hosts}
    assert again.stdout.count("changed=0") == len(hosts)


def test_one_that_does_not_stay_is_told_and_what_was_there_works_again(hosts: dict[str, Host], play) -> None:
    beats = {name: shown(host, "beat")[1] for name, host in hosts.items()}
    broken = [{"name": "queue", "command": ["python", "work.py", "queue", "fail"]}]
    for _attempt in range(2):
        done = play("work.yml", python_worker_processes=broken, **release("2"))
        assert done.returncode != 0
        assert done.stdout.count("What ran before was started again. Its last lines:") >= len(hosts)
        assert done.stdout.count("There is no queue of this name.") >= len(hosts)
    assert {
        (one["name"], one["release"], one["running"]) for found in standing(play).values() for one in found
    } == {
        ("queue", "2", 1),
        ("beat", "2", 1),
    }
    for name, host in hosts.items():
        assert written(host, "queue")["folder"] == "/srv/shop/releases/2/source"
        # What comes after it is left alone.
        assert shown(host, "beat")[1] == beats[name]


@pytest.mark.parametrize(
    ("variables", "told"),
    [
        (
            {"python_worker_name": "Shop"},
            "python_worker_name (Shop) and the names of python_worker_processes (queue, beat) begin with a letter",
        ),
        (
            {"python_worker_processes": [{"name": "queue", "command": []}]},
            "Each of python_worker_processes has a command.",
        ),
        ({"python_worker_folder": "/srv/%i"}, "/srv/%i is to be a path from the root"),
        (
            {"python_worker_credentials": {"SECRET_KEY": "/etc/hostname"}},
            "/etc/hostname, a file of python_worker_credentials or python_worker_credentials_as_files, can be read by others than root.",
        ),
        (
            {"python_worker_credentials_as_files": {"/srv/shop/run/key": "/etc/shop/payments_key.1"}},
            "/srv/shop/run/key of python_worker_credentials_as_files is to be a path from the root",
        ),
    ],
)
def test_what_cannot_be_is_refused_before_anything_changes(
    variables: dict[str, Any], told: str, play
) -> None:
    done = play("work.yml", "--limit=debian13", **variables)
    assert told in done.stdout
    assert "Nothing was changed." in done.stdout
    assert "changed=0" in done.stdout


def test_a_new_version_of_a_file_is_given_by_a_start(hosts: dict[str, Host], play) -> None:
    second = {FILE: "/etc/shop/payments_key.2"}
    done = play("work.yml", python_worker_credentials_as_files=second, **release("2"))
    assert changed(done) == {key: ["queue", "beat"] for key in hosts}, done.stdout
    assert all(written(host, "queue")["file"] == version("2") for host in hosts.values())
    again = play("work.yml", python_worker_credentials_as_files=second, **release("2"))
    assert again.stdout.count("changed=0") == len(hosts)
    assert play("work.yml", **release("2")).returncode == 0
    assert all(written(host, "queue")["file"] == version("1") for host in hosts.values())


def test_more_of_one_fewer_and_none(hosts: dict[str, Host], play) -> None:
    more = [{"name": "queue", "command": ["python", "work.py", "queue"], "instances": 2}]
    check = play("work.yml", "--check", "--diff", python_worker_processes=more, **release("2"))
    assert check.returncode == 0, check.stdout
    assert all(shown(host, "queue", 2)[0] == "inactive" for host in hosts.values())
    done = play("work.yml", python_worker_processes=more, **release("2"))
    assert changed(done) == {key: ["queue", "beat"] for key in hosts}, done.stdout
    for host in hosts.values():
        assert [shown(host, "queue", one)[0] for one in (1, 2)] == ["active", "active"]
        # What is no longer listed is gone.
        assert shown(host, "beat")[0] == "inactive"
        assert host.file("/etc/python_worker/shop").listdir() == ["queue.json"]
        assert host.run(f"systemctl cat {unit('beat')}").rc != 0
    none = [{"name": "queue", "command": ["python", "work.py", "queue"], "instances": 0}]
    assert play("work.yml", python_worker_processes=none, **release("2")).returncode == 0
    assert {(one["name"], one["running"]) for found in standing(play).values() for one in found} == {
        ("queue", 0)
    }
    assert play("work.yml", python_worker_processes=more, **release("2")).returncode == 0


def test_it_works_after_a_reboot(hosts: dict[str, Host]) -> None:
    subprocess.run(
        ["docker", "restart", *(host.backend.name for host in hosts.values())],
        check=True,
        capture_output=True,
    )
    for host in hosts.values():
        host.check_output(
            "timeout 60 sh -c 'until systemctl is-system-running | grep -E \"running|degraded\"; do sleep 0.2; done'"
        )
        assert [shown(host, "queue", one)[0] for one in (1, 2)] == ["active", "active"]
        assert written(host, "queue")["folder"] == "/srv/shop/releases/2/source"


def version(number: str) -> str:
    """The digest of the file that is a secret, in that version."""
    return hashlib.sha256(f"{FILE_SECRET}-{number}\n".encode()).hexdigest()


def release(number: str) -> dict[str, str]:
    return {
        "python_worker_release": number,
        "python_worker_folder": f"/srv/shop/releases/{number}/source",
        "python_worker_virtualenv": f"/srv/shop/releases/{number}/virtualenv",
    }
