"""The verbs of `make` in every wrong state: one line that names the cause and what to type."""

from __future__ import annotations

import os
import re
import shutil
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
VERBS = ("rehearse-status", "rehearse-password", "env")


def make(
    *words: str, cwd: Path = ROOT, home: Path | None = None, **more: str
) -> subprocess.CompletedProcess[str]:
    """``make`` as a person types it."""
    kept = {
        name: value
        for name, value in os.environ.items()
        if name not in ("MAKEFLAGS", "MAKELEVEL", "MFLAGS", "ANSIBLE_HOME")
        and not name.startswith("GCP_EMULATOR")
    }
    if home:
        kept["REHEARSAL_HOME"] = str(home)
    return subprocess.run(
        ["make", *words],
        cwd=cwd,
        env={**kept, "PWD": str(cwd), **more},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )


def complaint(done: subprocess.CompletedProcess[str]) -> str:
    """The one line that a verb that failed says, beside make's own."""
    assert done.returncode != 0, done.stdout
    assert "Traceback" not in done.stderr
    lines = [line for line in done.stderr.splitlines() if not line.startswith("make: ***")]
    assert len(lines) == 1, done.stderr
    return lines[0]


@pytest.fixture
def home() -> Iterator[Path]:
    """The place of a rehearsal of its own."""
    # Not pytest's folder: paths of sockets have to be short.
    with tempfile.TemporaryDirectory(prefix="home-") as name:
        yield Path(name) / "home"
        make("rehearse-clean", home=Path(name) / "home")


@pytest.fixture
def fresh(tmp_path: Path) -> Path:
    """A checkout in which nothing was done yet."""
    folder = tmp_path / "fresh clone"
    folder.mkdir()
    shutil.copy(ROOT / "Makefile", folder)
    shutil.copytree(ROOT / "tools", folder / "tools", ignore=shutil.ignore_patterns("__pycache__"))
    return folder


@pytest.mark.parametrize("verb", VERBS)
def test_before_the_first_rehearsal_a_verb_says_what_to_type(verb: str, fresh: Path) -> None:
    assert (
        complaint(make(verb, cwd=fresh))
        == "error: nothing has been rehearsed in this checkout yet: make rehearse"
    )


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (
            ("rehearse", "SORUCE=../shop"),
            "there is no SORUCE=... here: it takes SOURCE INVENTORY SITE PORT TARGET ARGS",
        ),
        (
            ("rehearse", "source=../shop"),
            "there is no source=... here: it takes SOURCE INVENTORY SITE PORT TARGET ARGS",
        ),
        (("rehearse", "SOURCE="), "SOURCE is empty: leave it out for the model project"),
        (
            ("rehearse", "../shop"),
            "there is no verb ../shop: `make help` lists them, and a folder is given by",
        ),
        (("rehearse", "SOURCE=../my", "shop"), "there is no verb shop: "),
        (("reharse",), "there is no verb reharse: "),
    ],
)
def test_what_is_typed_wrong_rehearses_nothing(words: tuple[str, ...], said: str, fresh: Path) -> None:
    """make would take it, and rehearse the model project."""
    done = make(*words, cwd=fresh)
    assert done.returncode != 0
    assert done.stdout == ""
    (line,) = done.stderr.splitlines()
    assert f"*** {said}" in line


def test_variables_of_the_environment_are_typed_behind_a_verb_too(fresh: Path) -> None:
    done = make("help", "REHEARSAL_RUNTIME=docker", "PYTHON=python3", "SITE=shop", cwd=fresh)
    assert (done.returncode, done.stderr) == (0, "")


@pytest.mark.parametrize("verb", ["rehearse-stop", "rehearse-clean"])
def test_there_is_nothing_to_end_before_the_first_rehearsal(verb: str, fresh: Path) -> None:
    done = make(verb, cwd=fresh)
    assert (done.returncode, done.stdout) == (0, "nothing is rehearsed here\n"), done.stderr


@pytest.mark.parametrize("verb", VERBS[:2])
def test_without_a_rehearsal_there_is_nothing_to_show(verb: str, home: Path) -> None:
    assert complaint(make(verb, home=home)) == "error: nothing has been rehearsed here yet: make rehearse"


def test_a_stopped_rehearsal_says_so_at_once(home: Path) -> None:
    assert make("env", home=home).returncode == 0
    assert make("rehearse-stop", home=home).returncode == 0
    for verb in VERBS[:2]:
        begun = time.monotonic()
        assert complaint(make(verb, home=home)) == "error: the rehearsal is stopped: make rehearse"
        assert time.monotonic() - begun < 60, (
            "not after the three minutes of a connection that is tried again and again"
        )


def test_a_playbook_whose_rehearsal_is_stopped_says_so_at_once(home: Path) -> None:
    assert make("env", home=home).returncode == 0
    assert make("rehearse-stop", home=home).returncode == 0
    line = f". {home}/env && exec ansible-playbook playbooks/status.yml -i inventories/local"
    begun = time.monotonic()
    with socket.socket() as nothing:
        # Bound and not listening: nobody else's emulator takes the port meanwhile. To bind it, the option is needed, for the
        # connections that have just ended; with it, Linux would let another server with the same option listen there.
        nothing.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        nothing.bind(("127.0.0.1", int((home / "emulator" / "port").read_text("utf-8"))))
        nothing.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 0)
        done = subprocess.run(["sh", "-c", line], cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode != 0
    assert "it is stopped: make rehearse" in done.stdout + done.stderr, done.stdout + done.stderr
    assert time.monotonic() - begun < 90, (
        "not after the three minutes of a connection that is tried again and again"
    )


def test_the_password_of_a_site_that_is_not_deployed(home: Path) -> None:
    assert make("env", home=home).returncode == 0
    said = complaint(make("rehearse-password", home=home))
    assert said.startswith("error: polls has no superuser in this rehearsal (")
    assert said.endswith("): make rehearse")
    said = complaint(make("rehearse-password", "SITE=shop", home=home))
    assert said == "error: there is no site shop; there are: polls"


def test_make_env_prints_what_a_shell_takes_and_nothing_else(home: Path) -> None:
    """One command leads there, from any folder, and one leads back."""
    script = f"""
        eval "$(make -s -C '{ROOT}' env)"
        printf '%s\\n' "$GOOGLE_CLOUD_PROJECT" "$(command -v ansible-playbook)"
        curl -sS -o /dev/null -w '%{{http_code}}\\n' https://run.googleapis.com/v2/projects/p/locations/l/services
        rehearsal_off
        printf '%s\\n' "${{GOOGLE_CLOUD_PROJECT-unset}}" "${{HTTPS_PROXY-unset}}"
    """
    kept = {name: value for name, value in os.environ.items() if name.lower() != "https_proxy"}
    done = subprocess.run(
        ["bash", "-c", script],
        cwd="/",
        env={**kept, "REHEARSAL_HOME": str(home)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.stdout.splitlines() == [
        "djangogcp-rehearsal-ssl",
        str(ROOT / ".venv/bin/ansible-playbook"),
        "401",
        "unset",
        "unset",
    ], done.stderr


def test_a_port_that_is_asked_for_is_taken(home: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as busy:
        port = busy.getsockname()[1]
        said = complaint(make("env", f"PORT={port}", home=home))
        assert f"port {port} on 127.0.0.1 is taken by another program" in said
        offered = re.search(r"make rehearse PORT=(\d+)", said)
        assert offered is not None
    done = make("env", f"PORT={offered[1]}", home=home)
    assert done.returncode == 0, done.stderr
    assert f"http://127.0.0.1:{offered[1]}" in done.stdout
    for wrong in ("0", "65536", "many"):
        assert complaint(make("env", f"PORT={wrong}", home=home)).startswith(
            f"error: PORT is {wrong}: expected"
        )


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("SOURCE=nowhere",), r"error: there is no nowhere \(looked for .*\)"),
        (
            ("SOURCE=docs",),
            r"error: .*/docs holds no manage.py, and no folder up to three below it does: SOURCE is the folder of a Django project",
        ),
        (("INVENTORY=docs/handbook.md",), r"error: the inventory .*/docs/handbook.md .*"),
        (("SOURCE=app", "INVENTORY=inventories/local"), r"error: SOURCE and INVENTORY say two things: .*"),
    ],
)
def test_what_cannot_be_rehearsed_is_named(words: tuple[str, ...], message: str, home: Path) -> None:
    assert re.fullmatch(message, complaint(make("env", *words, home=home)))


def test_reading_an_inventory_leaves_nothing_in_a_persons_home(home: Path, tmp_path: Path) -> None:
    said = complaint(make("env", "INVENTORY=docs/handbook.md", home=home, HOME=str(tmp_path)))
    assert said.startswith("error: the inventory ")
    assert list(tmp_path.iterdir()) == []


def test_the_verbs_work_from_any_folder(fresh: Path) -> None:
    for words in (("-C", str(fresh)), ("-f", str(fresh / "Makefile"))):
        assert "make rehearse-status" in make(*words, "help", cwd=Path("/")).stdout
        said = complaint(make("-s", *words, "rehearse-status", cwd=Path("/")))
        assert said == "error: nothing has been rehearsed in this checkout yet: make rehearse"


def test_the_local_inventory_sends_nothing_to_google(tmp_path: Path) -> None:
    """Without the rehearsal's variables it is refused before anybody is asked, and before credentials are looked for."""
    kept = {
        name: value
        for name, value in os.environ.items()
        if not name.startswith(("GCP_", "GOOGLE_", "CLOUDSDK_"))
    }
    done = subprocess.run(
        [str(ROOT / ".venv/bin/ansible-playbook"), "deploy.yml", "-i", "inventories/local"],
        cwd=ROOT, env={**kept, "HOME": str(tmp_path), "HTTPS_PROXY": "http://127.0.0.1:9"}, capture_output=True, text=True, check=False,
    )  # fmt: skip
    said = done.stdout + done.stderr
    assert done.returncode != 0
    assert "polls: Google Cloud, project djangogcp-rehearsal-ssl" in said
    assert "Rehearse with: make rehearse" in said
    assert "application-default login" not in said
    assert "127.0.0.1:9" not in said
