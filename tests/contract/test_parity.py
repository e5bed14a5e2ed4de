"""tools/parity.py tells how two sites differ, and which of the differences were to be expected."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

from tests.contract.wire import ROOT

SITE: dict[str, Any] = {
    "python": "3.13.5",
    "django": "5.2.19",
    "database": "postgresql 17",
    "environment": ["ALLOWED_HOSTS", "PATH"],
    "storages": {"default": "config.storage.SignedMediaStorage"},
    "settings": {"ALLOWED_HOSTS": ["localhost"], "DEBUG": False, "X_FRAME_OPTIONS": "DENY"},
}


def line(site: dict[str, Any]) -> str:
    return f"site: {json.dumps(site)}"


def compare(folder: Path, there: str) -> subprocess.CompletedProcess[str]:
    (folder / "here").write_text(line(SITE), "utf-8")
    (folder / "there").write_text(there, "utf-8")
    command = [sys.executable, ROOT / "tools/parity.py", folder / "here", folder / "there"]
    return subprocess.run(command, capture_output=True, text=True, check=False)


def test_the_same_site_has_no_differences(tmp_path: Path) -> None:
    done = compare(tmp_path, line(SITE | {"python": "3.13.9"}))
    assert (done.returncode, done.stdout) == (0, "0 differences, 0 of them not expected\n")


def test_each_difference_is_named_with_both_values(tmp_path: Path) -> None:
    other = SITE | {
        "python": "3.12.1",
        "database": "postgresql 16",
        "environment": ["ALLOWED_HOSTS", "K_SERVICE", "NEW", "PATH"],
        "storages": {"default": "django.core.files.storage.FileSystemStorage"},
        "settings": SITE["settings"]
        | {"ALLOWED_HOSTS": ["polls.example.org"], "DEBUG": True, "TRUSTED_PROXIES": 1},
    }
    done = compare(tmp_path, line(other))
    assert done.returncode == 1
    assert done.stdout.splitlines() == [
        "DIFFERENT python: 3.13 | 3.12",
        "DIFFERENT database: postgresql 17 | postgresql 16",
        "expected  environment K_SERVICE: - | set  (set by Cloud Run)",
        "DIFFERENT environment NEW: - | set",
        'DIFFERENT storages default: "config.storage.SignedMediaStorage" | "django.core.files.storage.FileSystemStorage"',
        'expected  settings ALLOWED_HOSTS: ["localhost"] | ["polls.example.org"]  (names of the site\'s own)',
        "DIFFERENT settings DEBUG: false | true",
        "expected  settings TRUSTED_PROXIES: null | 1  (nothing ends TLS in front of the stack)",
        "8 differences, 5 of them not expected",
    ]


def test_what_ansible_shows_is_understood(tmp_path: Path) -> None:
    shown = {"msg": ["Running migrations", line(SITE | {"django": "6.0"}), "bye"]}
    done = compare(tmp_path, f"ok: [polls] => {json.dumps(shown, indent=4)}\n")
    assert done.stdout.splitlines()[0] == "DIFFERENT django: 5.2.19 | 6.0"


def test_a_site_without_the_command_is_told(tmp_path: Path) -> None:
    done = compare(tmp_path, "Unknown command: 'describe_site'")
    assert done.returncode == 2
    assert "does it have the command describe_site?\nUnknown command" in done.stderr
