"""The playbooks of the collection org.djangogcp, run as a person would, their output shown as it comes."""

from __future__ import annotations

import json
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

from django_simple_deploy.management.commands.utils import plugin_utils
from django_simple_deploy.management.commands.utils.command_errors import DSDCommandError

from dsd_djangogcp.options import Options

COLLECTION = "org.djangogcp"
#: The file of an inventory that the playbook adopt writes.
FILE = "hosts.yml"


def inventory(folder: Path, site: str) -> Path:
    """Where a site's inventory is, below the folder of the repository. A site has dashes where a Python package has underscores."""
    return folder / "inventories" / site.replace("_", "-").lower()


def adopt(source: Path, folder: Path, options: Options) -> None:
    """Reads the project, tells what becomes of it and what it costs, and writes ``folder``; DSDCommandError where it cannot be deployed."""
    said = {
        "source_dir": str(source),
        "inventory_dir": str(folder),
        "site": folder.name,
        "project_id": options.project_id,
        "region": options.region,
        "superuser_email": options.superuser_email,
    }
    chosen = {name: value for name, value in said.items() if value}
    _play("adopt", "--inventory", "localhost,", "--extra-vars", json.dumps(chosen))


def deploy(folder: Path) -> None:
    """Deploys the site of an inventory; DSDCommandError where that fails."""
    _play("deploy", "--inventory", str(folder))


def check() -> None:
    """DSDCommandError where no playbook can be run here, with the command that brings what is missing."""
    done = subprocess.run(
        [_program(), f"{COLLECTION}.adopt", "--syntax-check", "--inventory", "localhost,"],
        capture_output=True,
        text=True,
        check=False,
    )
    if "could not be found" in done.stderr:
        raise DSDCommandError(
            f"The collection {COLLECTION} is not installed here: ansible-galaxy collection install {COLLECTION}"
        )
    if done.returncode != 0:
        raise DSDCommandError(f"ansible-playbook does not run here: {done.stderr.strip()}")


def _play(name: str, *options: str) -> None:
    command = ["ansible-playbook", f"{COLLECTION}.{name}", *options]
    plugin_utils.write_output(f"\n{shlex.join(command)}")
    with subprocess.Popen(
        [_program(), *command[1:]], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    ) as process:
        for line in process.stdout or ():
            plugin_utils.write_output(line.rstrip("\n"))
    if process.returncode != 0:
        raise DSDCommandError(f"{command[1]} failed: what it printed tells why, and what to do.")


def _program() -> str:
    """ansible-playbook: the one that was installed with this package, else the first in PATH."""
    found = shutil.which("ansible-playbook", path=str(Path(sys.executable).parent))
    if found := found or shutil.which("ansible-playbook"):
        return found
    raise DSDCommandError("There is no ansible-playbook here: pip install ansible-core")
