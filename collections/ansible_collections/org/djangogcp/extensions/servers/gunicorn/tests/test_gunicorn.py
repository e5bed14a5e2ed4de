# Copyright (c) 2026, The djangogcp contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What a server of releases does; each test begins where the one before ended."""

from __future__ import annotations

import hashlib
import json
import re
import subprocess
import time
from collections.abc import Iterator
from urllib.parse import quote

import pytest
from testinfra.host import Host

SECRET = "not-a-secret-but-kept-as-one"
FILE_SECRET = "nor-is-this-but-it-is-a-file"
FILE = "/run/secrets/payments/key.pem"
OTHER = {"blue": "green", "green": "blue"}
AS_NOBODY = "setpriv --reuid=nobody --regid=nogroup --clear-groups"


def version(number: str) -> dict[str, str]:
    """What the application tells of the file that is a secret, in that version."""
    return {"digest": hashlib.sha256(f"{FILE_SECRET}-{number}\n".encode()).hexdigest()}


def active(host: Host) -> str:
    """The colour that serves, by the upstream's file."""
    return re.search(
        r"gunicorn-shop-(\w+)\.sock", host.file("/etc/gunicorn/shop/upstream.conf").content_string
    )[1]


def get(host: Host, path: str, colour: str = "") -> dict[str, object]:
    """What the site answers, or its release of that colour."""
    socket = f"/run/gunicorn-shop-{colour or active(host)}.sock"
    said = host.check_output(
        f"curl --silent --show-error --fail --unix-socket {socket} --header 'Host: shop.example' 'http://localhost{path}'"
    )
    return json.loads(said)


def ask(host: Host, site: str, release: str = "") -> tuple[int, str]:
    """The status and the release that the web server answers who names a release."""
    said = host.check_output(
        "curl --silent --show-error --write-out '\\n%%{http_code}' --header %s --header %s http://127.0.0.1/",
        f"Host: {site}.example",
        f"X-Release-Candidate: {release}",
    )
    body, _unused, status = said.rpartition("\n")
    return int(status), json.loads(body)["release"] if status == "200" else ""


def reached(host: Host, expected: tuple[int, str], site: str, release: str = "") -> None:
    """Waits until the web server answers so: it goes on with its old configuration for a moment after it was reloaded."""
    deadline = time.monotonic() + 20
    while (answered := ask(host, site, release)) != expected:
        assert time.monotonic() < deadline, answered


def state(host: Host, unit: str) -> str:
    """What systemd says of a unit of the site."""
    return host.run(f"systemctl is-active gunicorn-shop@{unit}").stdout.strip()


def pids(host: Host) -> dict[str, str]:
    """The main process of each colour that runs."""
    found = {
        colour: host.check_output(f"systemctl show --property=MainPID --value gunicorn-shop@{colour}.service")
        for colour in OTHER
    }
    return {colour: pid for colour, pid in found.items() if pid != "0"}


def fact(done: subprocess.CompletedProcess[str], host: str) -> dict[str, object]:
    """The fact that a play printed of a host."""
    return json.loads(re.search(rf"\b{host} has (\{{.*?\}})", done.stdout)[1])


def standing(play, *arguments: str, **variables: object) -> dict[str, dict[str, object]]:
    """What serves and what waits, by host."""
    done = play("standing.yml", *arguments, **variables)
    assert done.returncode == 0, done.stdout
    assert "changed=0" in done.stdout
    return {host: fact(done, host) for host in re.findall(r"\b(\w+) has {", done.stdout)}


@pytest.fixture
def visited(hosts: dict[str, Host]) -> Iterator[dict[str, dict[str, int]]]:
    """People visit all hosts while the test goes on; afterwards it holds what each saw how often, by host. Nobody saw an error."""
    found: dict[str, dict[str, int]] = {}
    for host in hosts.values():
        host.check_output(
            "rm -f /run/enough /run/visited; nohup python3 /opt/visitor.py >/run/visitor.log 2>&1 &"
        )
    yield found
    for name, host in hosts.items():
        host.check_output("touch /run/enough")
        host.check_output("timeout 40 sh -c 'until test -s /run/visited; do sleep 0.1; done'")
        found[name] = json.loads(host.file("/run/visited").content_string)
    errors = {name: [what for what in seen if not what.startswith("200 ")] for name, seen in found.items()}
    assert not any(errors.values()), found
    assert all(sum(seen.values()) > 50 for seen in found.values()), found


def test_it_serves_and_what_reads_the_upstream_was_told(host: Host) -> None:
    assert get(host, "/") == {"release": "1"}
    assert (
        host.file("/run/reloaded").content_string
        == host.file("/etc/gunicorn/shop/upstream.conf").content_string
    )


@pytest.mark.parametrize(
    ("path", "error"),
    [
        ("/srv/shop/media/photo", ""),
        ("/tmp/own", ""),
        ("/srv/shop/releases/1/source/shop/evil.py", "EROFS"),
        ("/etc/gunicorn/shop/blue.py", "EROFS"),
        ("/home/evil", "EACCES"),
        ("/var/lib/evil", "EROFS"),
        ("/proc/sys/kernel/hostname", "ENOENT"),
    ],
)
def test_the_application_writes_only_where_it_may(host: Host, path: str, error: str) -> None:
    assert get(host, f"/write/?path={quote(path)}") == {"error": error}
    assert host.file(path).exists is (
        path.startswith("/srv/shop/media") or error == "ENOENT" or path.endswith("blue.py")
    )


def test_the_application_sees_neither_homes_nor_processes_of_others(host: Host) -> None:
    seen = get(host, "/seen/")
    assert "1" not in seen["processes"]
    assert seen["root"] is False


def test_the_score_of_the_sandbox_is_the_one_that_is_told(host: Host) -> None:
    said = host.check_output(f"systemd-analyze security --no-pager gunicorn-shop@{active(host)}.service")
    assert re.search(r"Overall exposure level for \S+: (\S+) (\w+)", said).groups() == ("1.3", "OK"), said


def test_the_application_finds_its_secret_and_nobody_else_does(host: Host) -> None:
    digest = hashlib.sha256(SECRET.encode()).hexdigest()
    assert get(host, "/secret/") == {"digests": [digest, digest]}
    holding = host.run(
        f"grep --recursive --files-with-matches --fixed-strings {SECRET} /etc /run/systemd /srv /var/log"
    )
    assert holding.stdout.split() == ["/etc/shop/secret_key"]
    unit = f"gunicorn-shop@{active(host)}.service"
    shown = host.check_output(
        f"systemctl show {unit}; systemctl cat {unit}; journalctl --no-pager --unit={unit}"
    )
    assert "SECRET_KEY" in shown
    assert SECRET not in shown
    pids = host.check_output("pgrep -u shop").split()
    assert len(pids) >= 2
    for pid in pids:
        assert SECRET not in host.check_output(
            f"tr '\\0' ' ' </proc/{pid}/cmdline; tr '\\0' ' ' </proc/{pid}/environ"
        )
    assert host.run(f"{AS_NOBODY} cat /etc/shop/secret_key /run/credentials/{unit}/SECRET_KEY").stdout == ""


def test_a_secret_is_a_file_for_the_application_alone(host: Host) -> None:
    assert get(host, f"/read/?path={FILE}") == version("1")
    assert get(host, f"/write/?path={FILE}") == {"error": "EROFS"}
    holding = host.run(
        f"grep --recursive --files-with-matches --fixed-strings {FILE_SECRET} /etc /run/secrets /run/systemd /srv /var/log"
    )
    assert sorted(holding.stdout.split()) == ["/etc/shop/payments_key.1", "/etc/shop/payments_key.2"]
    unit = f"gunicorn-shop@{active(host)}.service"
    told = host.check_output(
        f"systemctl show {unit}; systemctl cat {unit}; journalctl --no-pager --unit={unit}; cat /proc/[0-9]*/cmdline | tr '\\0' ' '"
    )
    assert FILE in told
    assert FILE_SECRET not in told
    # Neither others nor another service of the same user's: what is left at the path is empty.
    as_user = "systemd-run --quiet --wait --pipe --uid=shop --property=ProtectSystem=strict"
    for who in ("", AS_NOBODY, as_user):
        assert host.run(f"{who} cat {FILE}").stdout == ""
    assert host.run(f"{AS_NOBODY} cat /run/credentials/{unit}/file-1").rc == 1


def test_nobody_but_the_web_server_may_connect(host: Host) -> None:
    asked = f"curl --silent --unix-socket /run/gunicorn-shop-{active(host)}.sock --header 'Host: shop.example' http://localhost/"
    assert host.run(f"{AS_NOBODY} {asked}").rc == 7
    assert (
        host.run(f"setpriv --reuid=www-data --regid=www-data --clear-groups {asked}").stdout
        == '{"release": "1"}'
    )


@pytest.mark.parametrize(
    ("variables", "told"),
    [
        (
            {"gunicorn_workers": 0},
            "gunicorn_workers, gunicorn_threads, gunicorn_backlog and gunicorn_ready_seconds are 1 or more.",
        ),
        ({"gunicorn_release": "2; return 200"}, "gunicorn_release (2; return 200) has no more than letters"),
        ({"gunicorn_release": "include"}, "gunicorn_release (include) has no more than letters"),
        ({"gunicorn_release": 47 * "a"}, "is at most 46 long"),
        ({"gunicorn_worker_class": "asgi"}, "gunicorn_threads (4) is 1 with gunicorn_worker_class asgi"),
        (
            {"gunicorn_settings": {"max_request": 5}},
            "gunicorn does not take its settings: max_request is not a setting of gunicorn's",
        ),
        (
            {"gunicorn_settings": {"max_requests": "many"}},
            'gunicorn does not take its settings: max_requests cannot be "many"',
        ),
        (
            {"gunicorn_credentials": {"SECRET_KEY": "/etc/passwd"}},
            "/etc/passwd, a file of gunicorn_credentials or gunicorn_credentials_as_files, can be read by others than root.",
        ),
        (
            {"gunicorn_credentials_as_files": {FILE: "/etc/passwd"}},
            "/etc/passwd, a file of gunicorn_credentials or gunicorn_credentials_as_files, can be read by others than root.",
        ),
        *(
            (
                {
                    "gunicorn_credentials_as_files": {
                        "/run/secrets/a": "/etc/shop/payments_key.1",
                        path: "/etc/shop/payments_key.2",
                    }
                },
                f"{path} of gunicorn_credentials_as_files is to be a path from the root",
            )
            for path in (
                "secrets/key",
                "/run/../key",
                "/run/a:b",
                "/home/key",
                "/run/secrets/a/b",
                "/srv/shop/releases/1/source/key",
                "/srv/shop/media/key",
            )
        ),
    ],
)
def test_what_cannot_be_is_refused_before_anything_changes(
    variables: dict[str, object], told: str, play
) -> None:
    done = play("serve.yml", "--limit=debian13", **variables)
    assert done.returncode != 0
    assert told in done.stdout
    assert "Nothing was changed." in done.stdout
    assert "changed=0" in done.stdout


def test_check_mode_tells_of_a_release_and_starts_none(hosts: dict[str, Host], play) -> None:
    before = {name: active(host) for name, host in hosts.items()}
    done = play("serve.yml", "--check", "--diff", gunicorn_environment={"RELEASE": "2"})
    assert done.returncode == 0, done.stdout
    assert '+os.environ["RELEASE"] = "2"' in done.stdout
    assert {name: active(host) for name, host in hosts.items()} == before
    assert all(get(host, "/") == {"release": "1"} for host in hosts.values())


def test_a_broken_release_leaves_the_one_that_serves(hosts: dict[str, Host], visited, play) -> None:
    before = {name: active(host) for name, host in hosts.items()}
    done = play("serve.yml", gunicorn_environment={"RELEASE": "2", "BROKEN": "yes"}, gunicorn_ready_seconds=4)
    assert done.returncode != 0
    told = done.stdout
    assert told.count("RuntimeError: this release is broken on purpose") >= len(hosts)
    assert "What served before goes on serving." in told
    for name, host in hosts.items():
        assert active(host) == before[name]
        other = OTHER[before[name]]
        assert {state(host, f"{other}.{kind}") for kind in ("service", "socket")} <= {"inactive", "failed"}
        assert get(host, "/") == {"release": "1"}


def test_a_release_and_the_way_back_lose_no_request(hosts: dict[str, Host], visited, play) -> None:
    for release in ("2", "1"):
        before = {name: active(host) for name, host in hosts.items()}
        done = play("serve.yml", gunicorn_environment={"RELEASE": release})
        assert done.returncode == 0, done.stdout
        for name, host in hosts.items():
            assert active(host) != before[name]
            assert get(host, "/") == {"release": release}


def test_a_new_version_of_a_file_is_seen_by_its_release_alone(hosts: dict[str, Host], visited, play) -> None:
    before = {name: active(host) for name, host in hosts.items()}
    second = {
        "gunicorn_release": "second-file",
        "gunicorn_credentials_as_files": {FILE: "/etc/shop/payments_key.2"},
    }
    assert play("candidate.yml", **second).returncode == 0
    for name, host in hosts.items():
        assert active(host) == before[name]
        assert get(host, f"/read/?path={FILE}") == version("1")
        assert get(host, f"/read/?path={FILE}", OTHER[before[name]]) == version("2")
    for arguments in ((), ("--check",)):
        assert play("candidate.yml", *arguments, **second).stdout.count("changed=0") == len(hosts)
    # What goes on serving goes on with its own.
    assert play("serve.yml").returncode == 0
    for name, host in hosts.items():
        assert pids(host).keys() == {before[name]}
        assert get(host, f"/read/?path={FILE}") == version("1")


def test_a_candidate_waits_beside_what_serves(hosts: dict[str, Host], visited, play) -> None:
    before = {name: active(host) for name, host in hosts.items()}
    done = play("candidate.yml", gunicorn_environment={"RELEASE": "2"}, gunicorn_release="second-7c1e")
    assert done.returncode == 0, done.stdout
    for name, host in hosts.items():
        assert active(host) == before[name]
        assert get(host, "/") == {"release": "1"}
        assert get(host, "/", OTHER[before[name]]) == {"release": "2"}
        assert fact(done, name)["colour"] == OTHER[before[name]]
        assert fact(done, name)["is_serving"] is False
    found = standing(play, "--check")
    assert found == {
        name: {"serving": "", "candidate": "second-7c1e", "running": ["blue", "green"]} for name in hosts
    }


def test_a_candidate_that_waits_is_left_alone(hosts: dict[str, Host], play) -> None:
    before = {name: pids(host) for name, host in hosts.items()}
    variables = {"gunicorn_environment": {"RELEASE": "2"}, "gunicorn_release": "second-7c1e"}
    for arguments in ((), ("--check",)):
        done = play("candidate.yml", *arguments, **variables)
        assert done.returncode == 0, done.stdout
        assert done.stdout.count("changed=0") == len(hosts)
    # Another name is not another release.
    done = play("candidate.yml", **{**variables, "gunicorn_release": "second-b20d"})
    assert done.returncode == 0, done.stdout
    assert {name: pids(host) for name, host in hosts.items()} == before
    assert {found["candidate"] for found in standing(play).values()} == {"second-b20d"}


def test_the_visitors_get_the_candidate_that_runs(hosts: dict[str, Host], visited, play) -> None:
    candidates = {name: OTHER[active(host)] for name, host in hosts.items()}
    before = {name: pids(host)[candidates[name]] for name, host in hosts.items()}
    variables = {"gunicorn_environment": {"RELEASE": "2"}, "gunicorn_release": "second-b20d"}
    done = play("serve.yml", **variables)
    assert done.returncode == 0, done.stdout
    for name, host in hosts.items():
        assert active(host) == candidates[name]
        assert get(host, "/") == {"release": "2"}
        assert pids(host) == {candidates[name]: before[name]}
    assert standing(play) == {
        name: {"serving": "second-b20d", "candidate": "", "running": [candidates[name]]} for name in hosts
    }
    assert play("serve.yml", **variables).stdout.count("changed=0") == len(hosts)


def test_another_name_of_what_serves_restarts_nothing(hosts: dict[str, Host], play) -> None:
    before = {name: pids(host) for name, host in hosts.items()}
    done = play("serve.yml", gunicorn_environment={"RELEASE": "2"}, gunicorn_release="second")
    assert done.returncode == 0, done.stdout
    assert {name: pids(host) for name, host in hosts.items()} == before
    assert {found["serving"] for found in standing(play).values()} == {"second"}


def test_what_serves_already_is_no_candidate(hosts: dict[str, Host], visited, play) -> None:
    before = {name: pids(host) for name, host in hosts.items()}
    variables = {"gunicorn_environment": {"RELEASE": "2"}, "gunicorn_release": "second"}
    done = play("candidate.yml", **variables)
    assert done.returncode == 0, done.stdout
    assert done.stdout.count("changed=0") == len(hosts)
    assert all(fact(done, name)["is_serving"] is True for name in hosts)
    # One that is left is stopped.
    assert (
        play("candidate.yml", gunicorn_environment={"RELEASE": "3"}, gunicorn_release="third").returncode == 0
    )
    assert all(len(pids(host)) == 2 for host in hosts.values())
    assert play("candidate.yml", **variables).returncode == 0
    assert {name: pids(host) for name, host in hosts.items()} == before
    for host in hosts.values():
        assert state(host, f"{OTHER[active(host)]}.socket") == "inactive"
    assert {(found["serving"], found["candidate"]) for found in standing(play).values()} == {("second", "")}


def test_a_broken_candidate_leaves_what_serves_alone(hosts: dict[str, Host], visited, play) -> None:
    before = {name: pids(host) for name, host in hosts.items()}
    # It takes the place of one that waits.
    assert (
        play("candidate.yml", gunicorn_environment={"RELEASE": "3"}, gunicorn_release="third").returncode == 0
    )
    done = play(
        "candidate.yml",
        gunicorn_environment={"RELEASE": "4", "BROKEN": "yes"},
        gunicorn_release="fourth",
        gunicorn_ready_seconds=4,
    )
    assert done.returncode != 0
    assert done.stdout.count("RuntimeError: this release is broken on purpose") >= len(hosts)
    assert {name: pids(host) for name, host in hosts.items()} == before
    assert {(found["serving"], found["candidate"]) for found in standing(play).values()} == {("second", "")}


def test_a_candidate_that_no_longer_answers_gets_no_visitors(hosts: dict[str, Host], visited, play) -> None:
    before = {name: pids(host) for name, host in hosts.items()}
    variables = {"gunicorn_environment": {"RELEASE": "3"}, "gunicorn_release": "third"}
    assert play("candidate.yml", **variables).returncode == 0
    done = play("serve.yml", **variables, gunicorn_health_path="/none/", gunicorn_ready_seconds=2)
    assert done.returncode != 0
    assert done.stdout.count("it did not answer 200 at /none/ within 2 s (HTTP 404)") >= len(hosts)
    assert {name: pids(host) for name, host in hosts.items()} == before
    assert {(found["serving"], found["candidate"]) for found in standing(play).values()} == {("second", "")}


def test_another_release_than_the_candidate_takes_its_place(hosts: dict[str, Host], visited, play) -> None:
    assert (
        play("candidate.yml", gunicorn_environment={"RELEASE": "3"}, gunicorn_release="third").returncode == 0
    )
    done = play("serve.yml", gunicorn_environment={"RELEASE": "4"}, gunicorn_release="fourth")
    assert done.returncode == 0, done.stdout
    assert all(get(host, "/") == {"release": "4"} for host in hosts.values())
    assert standing(play) == {
        name: {"serving": "fourth", "candidate": "", "running": [active(host)]}
        for name, host in hosts.items()
    }


def test_a_first_release_is_reached_by_its_name_alone(hosts: dict[str, Host], play) -> None:
    variables = {
        "gunicorn_name": "young",
        "gunicorn_user": "shop",
        "gunicorn_environment": {"RELEASE": "first"},
        "gunicorn_release": "first-91d3",
        "gunicorn_reload": ["nginx"],
    }
    done = play("candidate.yml", **variables)
    assert done.returncode == 0, done.stdout
    assert all(fact(done, name)["is_serving"] is False for name in hosts)
    done = play("web.yml")
    assert done.returncode == 0, done.stdout
    for host in hosts.values():
        reached(host, (200, "first"), "young", "first-91d3")
        assert ask(host, "young") == ask(host, "young", "second-02aa") == (502, "")
        assert ask(host, "shop", "first-91d3") == (200, "4")
    assert play("candidate.yml", **variables).stdout.count("changed=0") == len(hosts)
    waiting = {"serving": "", "candidate": "first-91d3", "running": ["blue"]}
    assert standing(play, gunicorn_name="young") == dict.fromkeys(hosts, waiting)
    # The second is beside the first.
    assert play("serve.yml", **variables).returncode == 0
    for host in hosts.values():
        reached(host, (200, "first"), "young")
    second = {**variables, "gunicorn_environment": {"RELEASE": "second"}, "gunicorn_release": "second-02aa"}
    assert play("candidate.yml", **second).returncode == 0
    for host in hosts.values():
        reached(host, (200, "second"), "young", "second-02aa")
        assert ask(host, "young") == ask(host, "young", "first-91d3") == (200, "first")
    # It is known by its other name, and no longer by the one before.
    assert play("candidate.yml", **{**second, "gunicorn_release": "second-5e5e"}).returncode == 0
    for host in hosts.values():
        reached(host, (200, "second"), "young", "second-5e5e")
        assert ask(host, "young", "second-02aa") == (200, "first")


def test_where_nothing_is_it_stands_so(hosts: dict[str, Host], play) -> None:
    nothing = {"serving": "", "candidate": "", "running": []}
    assert standing(play, gunicorn_name="nobody") == dict.fromkeys(hosts, nothing)


def test_an_asynchronous_worker_serves(hosts: dict[str, Host], play) -> None:
    done = play(
        "serve.yml",
        gunicorn_environment={"RELEASE": "asynchronous"},
        gunicorn_application="shop.asgi:application",
        gunicorn_worker_class="asgi",
        gunicorn_threads=1,
    )
    assert done.returncode == 0, done.stdout
    assert all(get(host, "/") == {"release": "asynchronous"} for host in hosts.values())


def test_what_serves_and_what_waits_is_there_after_a_reboot(hosts: dict[str, Host]) -> None:
    names = [host.backend.name for host in hosts.values()]
    subprocess.run(["docker", "restart", *names], check=True, capture_output=True)
    for host in hosts.values():
        host.check_output(
            "timeout 60 sh -c 'until systemctl is-system-running | grep -E \"running|degraded\"; do sleep 0.2; done'"
        )
        other = OTHER[active(host)]
        assert state(host, f"{active(host)}.service") == "active"
        assert [state(host, f"{other}.{kind}") for kind in ("service", "socket")] == ["inactive", "inactive"]
        assert get(host, "/") == {"release": "asynchronous"}
        # What waits beside it waits again.
        reached(host, (200, "second"), "young", "second-5e5e")
        assert ask(host, "young") == (200, "first")


def test_zz_nothing_stays_of_it(hosts: dict[str, Host], play) -> None:
    check = play("absent.yml", "--check", "--diff")
    assert check.returncode == 0, check.stdout
    assert check.stdout.count("changed=0") == 0
    for host in hosts.values():
        assert get(host, "/") == {"release": "asynchronous"}
    assert play("absent.yml").returncode == 0
    for host in hosts.values():
        assert host.check_output("systemctl list-units --all --no-legend 'gunicorn-shop@*'") == ""
        assert (
            host.check_output("find /etc /run -name '*gunicorn-shop*' -o -path '/etc/gunicorn/shop*'") == ""
        )
        assert host.run("pgrep --full gunicorn/[s]hop").stdout == ""
        # What is not its own.
        assert host.file("/srv/shop/releases/1/complete").exists
        assert host.file("/etc/shop/secret_key").exists
        assert ask(host, "young") == (200, "first")
    for arguments in ((), ("--check",)):
        again = play("absent.yml", *arguments)
        assert again.returncode == 0, again.stdout
        assert again.stdout.count("changed=0") == len(hosts)
