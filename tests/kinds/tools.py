"""The tools that begin projects, each in a virtual environment of its own below .cache, and what each makes."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

from pip._internal.models.index import PyPI

from tests.e2e.rehearsal import BIN
from tests.pythons import CACHE, alone, install

#: What each is installed from. Every version is said here and nowhere else.
PINS = {
    "djangocms": ("django-cms==5.1.3", "django==5.2.19"),
    "hatch": ("hatch==1.18.2",),
    "pdm": ("pdm==2.29.4", "hishel==1.4.0"),
    "pipenv": ("pipenv==2026.10.3",),
    # Without the plugin Poetry asks a registry for JSON that a mirror of it need not have; with it, for what pip asks.
    "poetry": ("poetry==2.5.1", "poetry-plugin-pypi-mirror==0.6.5"),
    "uv": ("uv==0.13.9",),
    "wagtail": ("wagtail==8.0.1", "django==5.2.19"),
}
#: What the projects ask for, so that a run makes what the one before it made.
DJANGO = "django==5.2.19"
CHANNELS = ("channels[daphne]==4.3.2", "channels-redis==4.3.0")


def run(tool: str, program: str, *words: str, folder: Path) -> None:
    """Runs a program of a tool in a folder; AssertionError with what it said if it fails."""
    environment = _environment(tool)
    # The suite's own environment is not one that a tool may write into.
    given = {name: value for name, value in os.environ.items() if name not in ("VIRTUAL_ENV", "PYTHONPATH")}
    done = subprocess.run(
        [environment / "bin" / program, *words],
        cwd=folder,
        env={**given, **_settings(), "PATH": f"{environment / 'bin'}{os.pathsep}{given['PATH']}"},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
    )
    assert done.returncode == 0, f"{program} {' '.join(words)}: {done.stdout}"


def startproject(folder: Path) -> None:
    """``django-admin startproject mysite .``"""
    subprocess.run([BIN / "django-admin", "startproject", "mysite", "."], cwd=folder, check=True)


def installed(tool: str) -> str:
    """What ``pip freeze`` says in the environment of a tool."""
    command = [_environment(tool) / "bin" / "pip", "freeze"]
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout


def _environment(tool: str) -> Path:
    folder = CACHE / "kinds" / "-".join(pin.replace("==", "-") for pin in PINS[tool])
    folder.parent.mkdir(parents=True, exist_ok=True)
    with alone(f"kinds-{tool}"):
        install(sys.executable, folder, *PINS[tool])
    return folder


def _settings() -> dict[str, str]:
    """What keeps the tools out of a person's home, and lets them take this Python."""
    return {
        "PDM_CHECK_UPDATE": "false",
        "PIPENV_IGNORE_VIRTUALENVS": "1",
        "PIPENV_VENV_IN_PROJECT": "1",
        "PIPENV_CACHE_DIR": str(CACHE / "kinds" / "pipenv"),
        "POETRY_CACHE_DIR": str(CACHE / "kinds" / "poetry"),
        "POETRY_PYPI_MIRROR_URL": os.environ.get("PIP_INDEX_URL", PyPI.simple_url),
        "UV_CACHE_DIR": str(CACHE / "kinds" / "uv"),
        "UV_PYTHON": sys.executable,
        "UV_PYTHON_DOWNLOADS": "never",
    }
