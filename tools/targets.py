"""What a rehearsal needs besides its inventory, depending on where the site runs: the target.

A machine of Compute Engine is a container here, so there has to be an engine; the real program of the Cloud SQL proxy is taken out of its image; and the
certificate of the site's name is one of the emulator's authority.
"""

from __future__ import annotations

import hashlib
import json
import os
import shlex
import subprocess
import sys
from pathlib import Path

import yaml

from tools import engine

CLOUD_RUN = "cloud_run"
COMPUTE_ENGINE = "compute_engine"
TARGETS = (CLOUD_RUN, COMPUTE_ENGINE)
#: What who deploys to a machine may do besides what the seed gives them, each with a permission of it that no other one has.
ROLES = {
    "roles/compute.instanceAdmin.v1": "compute.instances.create",
    "roles/compute.networkAdmin": "compute.networks.create",
    "roles/compute.osAdminLogin": "compute.instances.osAdminLogin",
    "roles/compute.securityAdmin": "compute.firewalls.create",
    "roles/iap.tunnelResourceAccessor": "iap.tunnelInstances.accessViaIAP",
}
_TOOLS = Path(__file__).resolve().parent
_PROXY_IMAGE = next(image.name for image in engine.IMAGES if image.go.find("/cloud-sql-proxy/") > 0)
_PROXY_VERSION = _PROXY_IMAGE.rpartition(":")[2]


class TargetError(Exception):
    """A message for the person at the terminal."""


def bring_engine() -> None:
    """Sees to a container engine, and to the image of the proxy. TargetError."""
    if engine.version() is None:
        if sys.platform != "linux" or os.geteuid() != 0:
            raise TargetError(
                "TARGET=compute_engine runs machines as containers, and no container engine answers: start Docker, or run this as root on Debian or"
                " Ubuntu, where one is brought"
            )
    elif _docker("image", "inspect", _PROXY_IMAGE) or _docker("pull", "--quiet", _PROXY_IMAGE):
        return
    if subprocess.run([sys.executable, str(_TOOLS / "engine.py"), "up"], check=False).returncode != 0:
        raise TargetError(
            "TARGET=compute_engine needs a container engine with its images; the message above says what is missing"
        )


def write_variables(file: Path, home: Path, state: Path, python: Path) -> None:
    """Writes the variables of a deploy to a machine, with which the playbooks go against the emulator whose state this is. TargetError."""
    proxy = home / f"cloud-sql-proxy-{_PROXY_VERSION}"
    if not proxy.exists():
        _take_proxy(proxy)
    # The role knows the name when the address is reserved. Whoever looks at all variables of a site may do so before.
    program = shlex.join(
        [str(python), str(_TOOLS / "machine_certificate.py"), str(state), str(home / "certificates")]
    )
    certificate = (
        f"(lookup('ansible.builtin.pipe', {json.dumps(f'{program} ')} ~ (compute_engine_host | quote))"
        " if compute_engine_host is defined else '')"
    )
    variables = {
        "djangogcp_target": COMPUTE_ENGINE,
        "cloud_sql_proxy_file": str(proxy),
        "cloud_sql_proxy_version": _PROXY_VERSION,
        "cloud_sql_proxy_sha256": hashlib.sha256(proxy.read_bytes()).hexdigest(),
        "compute_engine_certificate": f"{{{{ {certificate} }}}}",
        "compute_engine_certificate_key": f"{{{{ {certificate} | regex_replace('[.]pem$', '.key') }}}}",
    }
    file.write_text(yaml.safe_dump(variables, sort_keys=False, width=10_000), "utf-8")


def _take_proxy(file: Path) -> None:
    """Copies the program out of its image."""
    fresh = file.with_name(f"{file.name}.new")
    container = _docker("create", _PROXY_IMAGE)
    copied = container and _docker("cp", f"{container}:/cloud-sql-proxy", str(fresh)) is not None
    if container:
        _docker("rm", container)
    if not copied:
        raise TargetError(f"the program of the Cloud SQL proxy cannot be copied out of {_PROXY_IMAGE}")
    fresh.replace(file)


def _docker(*arguments: str) -> str | None:
    """What ``docker`` prints; None when it fails or is not there."""
    try:
        done = subprocess.run(
            ["docker", *arguments],
            env={**os.environ, **engine.environment()},
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
            check=False,
        )
    except FileNotFoundError:
        return None
    return done.stdout.strip() if done.returncode == 0 else None
