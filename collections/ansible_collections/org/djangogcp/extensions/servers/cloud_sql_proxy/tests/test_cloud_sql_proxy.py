# Copyright (c) 2026, The djangogcp contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What the proxy does on a host: effects, as a service that needs it and an operator see them."""

from __future__ import annotations

import re
import subprocess
import time
from collections.abc import Callable
from typing import Any

from testinfra.host import Host

UNIT = "cloud-sql-proxy.service"
SOCKET = "/run/cloudsql/trial:europe-west1:main/.s.PGSQL.5432"
HEALTH = "http://127.0.0.1:9801"
Play = Callable[..., subprocess.CompletedProcess[str]]


def show(host: Host, *properties: str) -> str:
    return host.check_output(
        f"systemctl show {UNIT} --value " + " ".join(f"--property={name}" for name in properties)
    )


def printed(done: subprocess.CompletedProcess[str]) -> str:
    """What a play printed, in one line and without the colours that Molecule asks for."""
    return " ".join(re.sub(r"\x1b\[[0-9;]*m", "", done.stdout).split())


def wait_for(condition: Callable[[], bool], seconds: float = 20) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "it did not happen in time"
        time.sleep(0.1)


def connects(host: Host, user: str) -> bool:
    code = f"import socket; socket.socket(socket.AF_UNIX).connect({SOCKET!r})"
    return host.run(f"setpriv --reuid={user} --regid={user} --clear-groups python3 -c %s", code).rc == 0


def test_it_listens_and_says_that_it_does(host: Host) -> None:
    assert host.check_output(f"curl -fsS {HEALTH}/startup") == "ok"
    assert host.check_output(f"curl -fsS {HEALTH}/liveness") == "ok"
    assert host.file(SOCKET).is_socket
    assert host.socket("tcp://127.0.0.1:3306").is_listening
    listening = host.check_output("ss --listening --tcp --numeric --no-header").splitlines()
    ports = sorted(
        line.split()[3] for line in listening if line.split()[3].endswith((":3306", ":9801", ":5432"))
    )
    assert ports == ["127.0.0.1:3306", "127.0.0.1:9801"]


def test_only_the_group_reaches_the_sockets(host: Host) -> None:
    assert not connects(host, "nobody" if host.run("getent group nobody").rc == 0 else "games")
    host.check_output("systemctl restart dependant.service")
    assert host.service("dependant").is_running


def test_what_needs_it_begins_when_it_listens(host: Host) -> None:
    """Both are started at once; the dependant asks once and does not try again."""
    host.check_output(f"systemctl stop dependant.service {UNIT}")
    host.check_output("systemctl start dependant.service")
    assert host.service("dependant").is_running


def test_no_secret_is_in_the_unit_the_command_or_the_environment(host: Host) -> None:
    pid = show(host, "MainPID")
    secret = host.check_output("sed -n 2p /etc/trial/key.pem")
    seen = host.check_output(
        f"systemctl show {UNIT}; cat /etc/systemd/system/{UNIT} /etc/cloud-sql-proxy/config.toml; tr '\\0' '\\n' < /proc/{pid}/cmdline"
    )
    assert "cloud-sql-proxy" in seen
    assert secret not in seen
    # What systemd has handed to the proxy is nobody else's to read.
    assert host.run(f"setpriv --reuid=nobody --clear-groups cat /run/credentials/{UNIT}/key").rc != 0


def test_the_sandbox_applies(host: Host) -> None:
    """Not what the unit says: what a process in it can do, and what the proxy's has."""
    probe = (
        "for one in /etc /usr /var/lib /srv /run; do touch $one/probe 2> /dev/null && echo wrote $one; done; "
        "ls /root > /dev/null 2>&1 && echo saw /root; test -e /proc/1 && echo saw the first process; "
        "test -b /dev/vda && echo saw a disk; touch /run/cloudsql/probe && echo wrote the sockets"
    )
    folder = f"/run/systemd/system/{UNIT}.d"
    host.check_output(f"mkdir -p {folder}")
    host.check_output(
        "printf %s > %s", "[Service]\nExecStartPre=/bin/sh /etc/trial/probe.sh\n", f"{folder}/probe.conf"
    )
    host.check_output("printf %s > /etc/trial/probe.sh", f"({probe}) > /run/cloudsql/said\n")
    host.check_output(f"systemctl daemon-reload && systemctl restart {UNIT}")
    said = host.file("/run/cloudsql/said").content_string.splitlines()
    host.check_output(f"rm -r {folder} && systemctl daemon-reload && systemctl restart {UNIT}")
    assert said == ["wrote the sockets"]
    pid = show(host, "MainPID")
    status = host.check_output(f"cat /proc/{pid}/status")
    fields = dict(line.split(":\t", 1) for line in status.splitlines() if ":\t" in line)
    assert (fields["NoNewPrivs"], fields["Seccomp"], int(fields["CapBnd"], 16)) == ("1", "2", 0)
    assert fields["Uid"].split()[0] == host.check_output("id --user cloud-sql-proxy")


def test_the_score_is_as_stated(host: Host) -> None:
    line = host.check_output(f"systemd-analyze security --no-pager {UNIT} | tail -1")
    assert float(line.split(": ")[1].split()[0]) <= 1.5, line


def test_it_comes_back_when_it_is_killed(host: Host) -> None:
    before = show(host, "MainPID")
    host.check_output(f"kill -9 {before}")
    wait_for(lambda: show(host, "ActiveState") == "active" and show(host, "MainPID") not in ("0", before))
    assert host.check_output(f"curl -fsS {HEALTH}/startup") == "ok"


def test_it_stops_gracefully(host: Host) -> None:
    host.check_output(f"systemctl stop {UNIT}")
    assert show(host, "Result", "ExecMainStatus").split() == ["success", "0"]
    assert not host.file(SOCKET).exists
    host.check_output(f"systemctl start {UNIT}")


def test_another_program_is_refused_and_the_old_one_runs_on(hosts: dict[str, Host], play: Play) -> None:
    before = {name: show(host, "MainPID") for name, host in hosts.items()}
    done = play("converge.yml", cloud_sql_proxy_sha256="0" * 64)
    assert done.returncode == 2
    assert f"expected {'0' * 64}" in printed(done)
    assert {name: show(host, "MainPID") for name, host in hosts.items()} == before


def test_what_cannot_work_is_refused_at_once(hosts: dict[str, Host], play: Play) -> None:
    instances: list[dict[str, Any]] = [
        {"connection_name": "trial:europe-west1:shop", "database_version": "MYSQL_8_4"},
        {"connection_name": "trial:europe-west1:" + "x" * 90},
        {"connection_name": "shop"},
        {"connection_name": "trial:europe-west1:taken", "port": 9801},
    ]
    done = play(
        "converge.yml",
        "--limit=debian12",
        cloud_sql_proxy_instances=instances,
        cloud_sql_proxy_version="2.18.1",
        cloud_sql_proxy_sha256="",
        cloud_sql_proxy_settings={"token": "secret"},
    )
    said = printed(done)
    assert done.returncode == 2
    for words in (
        "trial:europe-west1:shop is MYSQL_8_4, whose login does not work over a socket of the proxy 2.18.1: give it a port",
        "characters, and 107 are possible: give it a port",
        "expected PROJECT:REGION:INSTANCE",
        "has port 9801, expected one of its own",
        "cloud_sql_proxy_settings has the secret token",
        "is not known here: take it from https://github.com/GoogleCloudPlatform/cloud-sql-proxy/releases",
    ):
        assert words in said, words


def test_a_download_with_another_checksum_changes_nothing(hosts: dict[str, Host], play: Play) -> None:
    """The stand-in of Google answers any path with something that is no proxy."""
    host = hosts["debian12"]
    before = host.file("/usr/local/bin/cloud-sql-proxy").sha256sum
    done = play(
        "converge.yml",
        "--limit=debian12",
        cloud_sql_proxy_file="",
        cloud_sql_proxy_url="http://127.0.0.1:9999/cloud-sql-proxy",
        cloud_sql_proxy_sha256="1" * 64,
    )
    assert done.returncode == 2
    assert "checksum" in done.stdout
    assert host.file("/usr/local/bin/cloud-sql-proxy").sha256sum == before
    assert host.service("cloud-sql-proxy").is_running


def test_it_is_there_after_a_reboot(hosts: dict[str, Host]) -> None:
    for host in hosts.values():
        subprocess.run(["docker", "restart", host.backend.name], check=True, capture_output=True)
        wait_for(
            lambda host=host: host.run("systemctl is-active dependant.service").stdout.strip() == "active", 40
        )
        assert host.check_output(f"curl -fsS {HEALTH}/startup") == "ok"


def test_zz_nothing_stays_of_it(hosts: dict[str, Host], play: Play) -> None:
    assert play("absent.yml").returncode == 0
    for host in hosts.values():
        assert host.run(f"systemctl cat {UNIT}").rc != 0
        assert not host.file("/usr/local/bin/cloud-sql-proxy").exists
        assert not host.user("cloud-sql-proxy").exists
        assert host.run(f"curl -s {HEALTH}/startup").rc != 0
