"""What the table of `make test` tells of a layer that failed, of a real run of pytest in which a real playbook fails."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from tests.contract.wire import ROOT
from tools.test import failures

PLAYBOOK = """
- name: Deploy
  hosts: localhost
  gather_facts: false
  tasks:
    - name: Go well
      ansible.builtin.debug:
        msg: Well.
    - name: Run the job
      ansible.builtin.fail:
        msg: |-
          Failed to run job migrate.
          What to do: look at its log.
"""
TEST = """
import subprocess

def test_it():
    done = subprocess.run({command}, cwd={root!r}, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
"""


def test_what_ansible_says_in_a_failed_test_is_in_it(tmp_path: Path) -> None:
    (tmp_path / "play.yml").write_text(PLAYBOOK, "utf-8")
    command = [str(Path(sys.executable).with_name("ansible-playbook")), str(tmp_path / "play.yml")]
    test = tmp_path / "test_play.py"
    test.write_text(TEST.format(command=command, root=str(ROOT)), "utf-8")
    done = subprocess.run(
        [
            sys.executable,
            "-m",
            "pytest",
            "-q",
            "-p",
            "no:cacheprovider",
            "--rootdir",
            str(tmp_path),
            str(test),
        ],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 1, done.stdout
    named, *told = failures(done.stdout.splitlines(keepends=True))
    assert named.startswith("FAILED ")
    assert "test_play.py::test_it" in named
    # What ansible-core says of the place differs from version to version.
    where = next(at for at, line in enumerate(told) if "fatal: [localhost]: FAILED!" in line)
    assert told[where].startswith("TASK [Run the job]: ")
    assert told[where + 1 : where + 3] == [
        "  Failed to run job migrate.",
        "  What to do: look at its log.",
    ]
    assert "Go well" not in "".join(told)
