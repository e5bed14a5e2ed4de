# Copyright (c) 2026, The djangogcp contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What a server with releases does; each test begins where the one before ended."""

from __future__ import annotations

import hashlib
import re
from typing import Any

import pytest
from testinfra.host import Host

ROOT = "/srv/shop"
SECRET = "not-a-secret-but-kept-as-one"
FILE_SECRET = "nor-is-this-but-it-is-a-file"
FILE = "/run/secrets/payments/key.pem"
AS_USER = "setpriv --reuid=shop --regid=shop --clear-groups"


def links(host: Host) -> tuple[str, str]:
    """The current release and the one before; "" where there is none."""
    found = [host.run(f"readlink {ROOT}/{name}").stdout.strip() for name in ("current", "previous")]
    return found[0].removeprefix("releases/"), found[1].removeprefix("releases/")


def releases(host: Host) -> list[str]:
    """The folders of releases."""
    return sorted(host.file(f"{ROOT}/releases").listdir())


def test_the_release_runs_in_its_own_environment(host: Host) -> None:
    python = f"{ROOT}/current/virtualenv/bin/python"
    assert host.check_output(f"{python} -c 'import django; print(django.__version__)'") == "5.2.19"
    assert links(host) == ("1", "")


def test_the_user_may_write_nothing_but_its_own_folders(host: Host) -> None:
    writable = host.check_output(f"{AS_USER} find -P {ROOT} ! -type l -writable").split()
    assert {f"{ROOT}/media", f"{ROOT}/run"} <= set(writable)
    assert all(path.startswith((f"{ROOT}/media", f"{ROOT}/run")) for path in writable)
    assert host.user("shop").shell == "/usr/sbin/nologin"


def test_the_user_can_read_all_that_the_server_reads_and_is_in_its_further_groups(host: Host) -> None:
    # Root's umask was a strict one.
    assert host.check_output(f"{AS_USER} find {ROOT}/releases/1 ! -type l ! -readable") == ""
    assert host.file(f"{ROOT}/releases/1/source/shop/__pycache__").listdir()
    assert host.user("shop").groups == ["shop", "www-data"]


def test_a_command_has_run_as_the_user_and_in_its_folders(host: Host) -> None:
    database = host.file(f"{ROOT}/run/db.sqlite3")
    assert (database.user, database.mode) == ("shop", 0o640)


def test_a_command_finds_its_secret_and_nobody_sees_it(hosts: dict[str, Host], play) -> None:
    code = "import hashlib, os; print(hashlib.sha256(os.environ['SECRET_KEY'].encode()).hexdigest())"
    done = play("command.yml", "-vvv", python_app_release="1", python_app_command=["python", "-c", code])
    assert done.returncode == 0, done.stdout
    assert done.stdout.count(f"msg: {hashlib.sha256(SECRET.encode()).hexdigest()}") == len(hosts)
    assert done.stdout.count("msg: status 0, and 0 characters of what went wrong") == len(hosts)
    assert SECRET not in done.stdout


@pytest.mark.parametrize("number", ["1", "2"])
def test_a_secret_is_a_file_for_the_command_alone(number: str, hosts: dict[str, Host], play) -> None:
    code = (
        f"import hashlib; print(hashlib.sha256(open('{FILE}', 'rb').read()).hexdigest()); open('{FILE}', 'w')"
    )
    done = play(
        "command.yml",
        "-vvv",
        python_app_release="1",
        python_app_command=["python", "-c", code],
        python_app_credentials_as_files={FILE: f"/etc/shop/payments_key.{number}"},
    )
    digest = hashlib.sha256(f"{FILE_SECRET}-{number}\n".encode()).hexdigest()
    assert done.stdout.count(f"msg: {digest}") == len(hosts), done.stdout
    assert f"OSError: [Errno 30] Read-only file system: '{FILE}'" in done.stdout
    assert FILE_SECRET not in done.stdout
    for host in hosts.values():
        assert host.file(FILE).content == b""
        assert FILE_SECRET not in host.check_output("journalctl --no-pager")
        assert host.check_output("ls /run/credentials | grep python-app || true") == ""


@pytest.mark.parametrize("path", ["secrets/key", "/srv/shop/run/key", "/home/key", "/run//key"])
def test_a_secret_is_no_file_where_none_can_be(path: str, play) -> None:
    done = play(
        "command.yml",
        "--limit=debian13",
        python_app_release="1",
        python_app_command=["python", "-V"],
        python_app_credentials_as_files={path: "/etc/shop/payments_key.1"},
    )
    assert f"{path} of python_app_credentials_as_files is to be a path from the root" in done.stdout
    assert "Nothing was run." in done.stdout


def test_a_command_may_not_write_elsewhere_and_what_failed_is_told(hosts: dict[str, Host], play) -> None:
    code = f"print('said before'); open('{ROOT}/releases/1/source/shop/evil.py', 'w')"
    done = play("command.yml", python_app_release="1", python_app_command=["python", "-c", code])
    assert done.returncode != 0
    told = done.stdout
    assert "of release 1 of shop: it ended with status 1 and said:" in told
    assert told.count("OSError: [Errno 30] Read-only file system") >= len(hosts)
    # The fact tells of it too.
    assert told.count("msg: said before") == len(hosts)
    assert len(re.findall("msg: status 1, and [1-9][0-9]* characters of what went wrong", told)) == len(hosts)


def test_a_command_that_takes_too_long_is_ended_and_that_is_told(hosts: dict[str, Host], play) -> None:
    code = "import threading; print('waits', flush=True); threading.Event().wait()"
    done = play(
        "command.yml",
        python_app_release="1",
        python_app_command=["python", "-c", code],
        python_app_command_seconds=2,
    )
    assert done.returncode != 0
    told = "it was ended after 2 seconds, which is python_app_command_seconds, and said: waits"
    assert done.stdout.count(told) >= len(hosts)


@pytest.mark.parametrize(
    ("variables", "told"),
    [
        ({"python_app_release": "../1"}, '"../1" are to be the name of an application and of a release'),
        (
            {"python_app_release": "2", "python_app_source": "/nowhere"},
            'its source, "/nowhere", is neither a folder nor an archive',
        ),
        (
            {
                "python_app_release": "2",
                "python_app_folder": "a/../..",
                "python_app_files": dict.fromkeys(["/etc/evil", "two words", "a/b_c-d.txt"], ""),
            },
            '"/etc/evil", "two words", "a/../.." of python_app_folder or python_app_files',
        ),
    ],
)
def test_what_cannot_be_is_refused_before_anything_changes(
    variables: dict[str, Any], told: str, play
) -> None:
    done = play("release.yml", "--limit=debian13", **variables)
    assert told in done.stdout
    assert "Nothing was changed." in done.stdout
    assert "changed=0" in done.stdout


def test_check_mode_tells_of_a_release_and_makes_none(hosts: dict[str, Host], play) -> None:
    done = play("release.yml", "--check", "--diff", python_app_release="2")
    assert done.returncode == 0, done.stdout
    assert "+++ after" in done.stdout
    for host in hosts.values():
        assert releases(host) == ["1"]
        assert links(host) == ("1", "")


def test_a_full_disk_leaves_the_release_that_serves(hosts: dict[str, Host], play) -> None:
    for host in hosts.values():
        # All but 4 MiB, which the source fits in and Django does not.
        free = int(host.check_output("df --output=avail --block-size=1M /srv").split()[-1])
        host.check_output(f"dd if=/dev/zero of=/srv/filler bs=1M count={free - 4}")
    done = play("release.yml", python_app_release="2")
    for host in hosts.values():
        host.check_output("rm /srv/filler")
    assert done.returncode != 0
    assert "Failed to make release 2 of shop: fill | Install the requirements" in done.stdout
    assert len(re.findall(r"\([0-4] MiB are free in /srv/shop/releases\.\)", done.stdout)) >= len(hosts)
    for host in hosts.values():
        assert links(host) == ("1", "")
        assert releases(host) == ["1"]


def test_a_mirror_that_does_not_answer_is_in_the_way_of_new_packages_alone(
    hosts: dict[str, Host], play
) -> None:
    host = hosts["debian13"]
    host.check_output(
        "cp -r /etc/apt/sources.list.d /var/tmp/sources && sed -i 's,//[^/]*/,//127.0.0.1:9/,' /etc/apt/sources.list.d/*"
        " && find /var/lib/apt /var/cache/apt -maxdepth 2 -exec touch --date='3 days ago' {} +"
    )
    try:
        there = play(
            "release.yml", "--limit=debian13", python_app_release="1", python_app_packages=["python3-venv"]
        )
        missing = play(
            "release.yml",
            "--limit=debian13",
            python_app_release="1",
            python_app_packages=["python3-venv", "hello"],
        )
    finally:
        host.check_output("cp -r /var/tmp/sources/. /etc/apt/sources.list.d")
    assert there.returncode == 0, there.stdout
    assert missing.returncode != 0
    assert (
        "Failed to install the packages python3-venv, hello of Debian for shop: Failed to update apt cache"
        in missing.stdout
    )
    assert links(host) == ("1", "")


@pytest.mark.parametrize(
    ("variables", "told"),
    [
        (
            {
                "python_app_install_commands": [
                    "pip --version",
                    "echo why it failed && exit 3",
                    f"touch {ROOT}/went-on",
                ]
            },
            r"lines \| Run the commands: echo why it failed && exit 3: .* why it failed \(\d+ MiB are free",
        ),
        (
            {"python_app_folder": "shop/site"},
            "The source has no folder shop/site, which python_app_folder names",
        ),
    ],
)
def test_what_cannot_be_installed_is_told_and_leaves_the_release_that_serves(
    variables: dict[str, Any], told: str, hosts: dict[str, Host], play
) -> None:
    done = play("release.yml", python_app_release="2", **variables)
    assert done.returncode != 0
    assert "Failed to make release 2 of shop:" in done.stdout
    assert re.search(told, done.stdout)
    for host in hosts.values():
        assert links(host) == ("1", "")
        assert releases(host) == ["1"]
        assert not host.file(f"{ROOT}/went-on").exists


def test_a_release_that_was_ended_half_way_is_never_made_current(hosts: dict[str, Host], play) -> None:
    for host in hosts.values():
        host.check_output(f"mkdir --parents {ROOT}/releases/2/source && touch {ROOT}/releases/2/source/left")
    done = play("switch.yml", python_app_release="2")
    assert done.returncode != 0
    assert (
        "The release 2 of shop was not made whole, and is not made the current one. There are: 1."
        in done.stdout
    )
    for host in hosts.values():
        assert links(host) == ("1", "")


def test_it_is_made_anew_from_an_archive_on_the_server_and_by_commands(hosts: dict[str, Host], play) -> None:
    for host in hosts.values():
        host.check_output(
            f"tar --create --gzip --file /opt/shop.tar.gz --directory {ROOT}/releases/1/source ."
        )
    done = play(
        "release.yml",
        python_app_release="2",
        python_app_source="/opt/shop.tar.gz",
        python_app_source_is_remote=True,
        python_app_files={"tools/further/words.txt": "two words\n", "shop/version.py": "VERSION = 2\n"},
        # It is not asked for where commands install.
        python_app_requirements="missing.txt",
        python_app_install_commands=[
            "pip install --no-index --find-links=/opt/wheels --requirement requirements.txt",
            "cat tools/further/words.txt > found && env > environment",
        ],
        python_app_finish_commands=[
            "python -c 'import django; from shop.version import VERSION; print(VERSION)' > finished",
            'test -s found && echo "$GREETING" >> finished',
        ],
        python_app_finish_environment={"GREETING": "good 'day'"},
        python_app_folder="shop",
        python_app_command=["python", "../manage.py", "migrate", "--noinput"],
    )
    assert done.returncode == 0, done.stdout
    release = f"{ROOT}/releases/2"
    assert not any(host.file(f"{release}/source/left").exists for host in hosts.values())
    environment = {
        f"VIRTUAL_ENV={release}/virtualenv",
        f"PIP_PYTHON={release}/virtualenv/bin/python",
        "PIP_NO_INPUT=1",
        "PIP_DISABLE_PIP_VERSION_CHECK=1",
    }
    for host in hosts.values():
        assert links(host) == ("2", "1")
        assert host.file(f"{ROOT}/current/source/manage.py").user == "root"
        found = {
            name: host.file(f"{release}/source/{name}").content_string
            for name in ("found", "environment", "finished")
        }
        assert found["found"] == "two words\n"
        assert environment <= set(found["environment"].splitlines())
        assert f"\nPATH={release}/virtualenv/bin:/" in f"\n{found['environment']}"
        assert "GREETING" not in found["environment"]
        assert found["finished"] == "2\ngood 'day'\n"
        modes = host.check_output(
            f"cd {release}/source && stat --format='%U %a' tools tools/further tools/further/words.txt found"
        )
        assert modes.splitlines() == ["root 755", "root 755", "root 644", "root 644"]
        assert host.check_output(f"{AS_USER} find {release} ! -type l ! -readable") == ""


def test_the_link_is_there_at_every_moment_of_a_switch(hosts: dict[str, Host], play) -> None:
    watch = (
        "import os, time\\nmissed = seen = 0\\n"
        f"while not os.path.exists('/run/enough'):\\n try: os.stat('{ROOT}/current/complete')\\n"
        " except OSError: missed += 1\\n seen += 1; time.sleep(0.0005)\\n"
        "open('/run/watched', 'w').write(f'{missed} {seen > 100}')"
    )
    for host in hosts.values():
        host.check_output(f'nohup python3 -c "exec(\\"{watch}\\")" >/dev/null 2>&1 &')
    for target in ("1", "2"):
        done = play("back.yml", python_app_back_to="" if target == "1" else "2")
        assert done.returncode == 0, done.stdout
        for host in hosts.values():
            assert links(host)[0] == target
    for host in hosts.values():
        host.check_output("touch /run/enough")
        host.check_output("timeout 10 sh -c 'until test -s /run/watched; do sleep 0.1; done'")
        assert host.file("/run/watched").content_string == "0 True"


def test_older_releases_go_but_never_the_current_one_nor_the_one_before(hosts: dict[str, Host], play) -> None:
    for host in hosts.values():
        for days, name in enumerate(("d", "b", "a", "c"), start=1):
            folder = f"{ROOT}/releases/{name}"
            host.check_output(f"mkdir {folder} && touch --date='{days} days' {folder}/complete")
        host.check_output(f"mkdir {ROOT}/releases/half")
    done = play("switch.yml", python_app_release="2", python_app_keep=2)
    assert done.returncode == 0, done.stdout
    for host in hosts.values():
        assert links(host) == ("2", "1")
        assert releases(host) == ["1", "2", "a", "c"]


def test_zz_what_was_written_stays_and_the_rest_goes(hosts: dict[str, Host], play) -> None:
    check = play("absent.yml", "--check", "--diff")
    assert check.returncode == 0, check.stdout
    assert check.stdout.count("changed=0") == 0
    for host in hosts.values():
        assert links(host) == ("2", "1")
        assert host.user("shop").exists
    for arguments, changed in (((), False), ((), True), (("--check",), True)):
        done = play("absent.yml", *arguments)
        assert done.returncode == 0, done.stdout
        assert (done.stdout.count("changed=0") == len(hosts)) is changed
    for host in hosts.values():
        assert sorted(host.file(ROOT).listdir()) == ["media", "run"]
        assert host.file(f"{ROOT}/run/db.sqlite3").user == "shop"


def test_zz_without_anything_written_nothing_stays(hosts: dict[str, Host], play) -> None:
    for host in hosts.values():
        host.check_output(f"rm {ROOT}/run/db.sqlite3")
    check = play("absent.yml", "--check")
    assert check.stdout.count("changed=2") == len(hosts), check.stdout
    assert play("absent.yml").returncode == 0
    for host in hosts.values():
        assert not host.file(ROOT).exists
        assert not host.user("shop").exists
        assert host.file("/etc/shop/secret_key").exists
    for arguments in ((), ("--check",)):
        again = play("absent.yml", *arguments)
        assert again.returncode == 0, again.stdout
        assert again.stdout.count("changed=0") == len(hosts)
