"""``make audit``: looks whether a vulnerability is known in what the locked requirements install.

Usage: audit.py [--if-reachable] [--service URL]

pip-audit asks OSV's service about every name and version of the locked files (requirements/*.txt, the app's and the
emulator's). One that is known fails, unless requirements/audit-ignored.toml has its id with a reason. Where the service is not reached
nothing was looked at, and that is said: exit status 3, or 0 with ``--if-reachable``, which CI uses.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import re
import subprocess
import sys
import tempfile
import tomllib
import venv
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import requests

ROOT = Path(__file__).resolve().parent.parent
LOCKED = (
    *sorted((ROOT / "requirements").glob("*.txt")),
    *sorted((ROOT / "app").glob("requirements*.txt")),
    ROOT / "emulator/requirements.txt",
)
IGNORED = ROOT / "requirements/audit-ignored.toml"
SERVICE = "https://api.osv.dev/v1/query"
NOT_REACHED = 3
_TOOL = ROOT / "requirements/audit.txt"
_KEPT = ROOT / ".cache/audit"
_PIN = re.compile(r"^([A-Za-z0-9._-]+)==([^\s;\\]+)", re.MULTILINE)

Pin = tuple[str, str]


class AuditError(Exception):
    """A message for the person at the terminal."""


@dataclass(frozen=True)
class Finding:
    """One vulnerability of one version of a package. ``ids`` are all names of it, the service's own first."""

    pin: Pin
    ids: tuple[str, ...]
    fixed_in: tuple[str, ...]


def main() -> int:
    """Audits what is locked; returns the exit status."""
    parser = argparse.ArgumentParser(prog="audit.py", description=(__doc__ or "").splitlines()[0])
    parser.add_argument(
        "--if-reachable", action="store_true", help="no failure where the service is not reached"
    )
    parser.add_argument(
        "--service", default=SERVICE, help="where to ask, as OSV's query (default: %(default)s)"
    )
    arguments = parser.parse_args()
    try:
        ignored = read_ignored(IGNORED)
        pins = read_pins(LOCKED)
        if why := _unreachable(arguments.service, next(iter(pins))):
            print(f"not reachable, not audited: {len(pins)} locked packages ({why})")
            return 0 if arguments.if_reachable else NOT_REACHED
        findings = audit(pins, arguments.service)
    except AuditError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    return report(pins, findings, ignored)


def read_pins(files: tuple[Path, ...]) -> dict[Pin, list[Path]]:
    """Every name and version that is locked -> the files that lock it."""
    pins: dict[Pin, list[Path]] = {}
    for file in files:
        for name, version in _PIN.findall(file.read_text("utf-8")):
            pins.setdefault((name.lower(), version), []).append(file)
    return dict(sorted(pins.items()))


def read_ignored(file: Path) -> dict[str, str]:
    """Id of a vulnerability -> why it does not matter here.

    Raises:
        AuditError: a reason is missing, or this is no TOML.
    """
    try:
        ignored = tomllib.loads(file.read_text("utf-8"))
    except tomllib.TOMLDecodeError as error:
        raise AuditError(f"{file}: {error}") from None
    for name, reason in ignored.items():
        if not isinstance(reason, str) or not reason.strip():
            raise AuditError(f"{file}: {name} has no reason; write: {name} = 'why it does not matter here'")
    return ignored


def audit(pins: dict[Pin, list[Path]], service: str) -> list[Finding]:
    """What is known of ``pins``.

    Raises:
        AuditError: pip-audit cannot be installed, breaks off, or leaves one of them out.
    """
    findings: list[Finding] = []
    answered: set[Pin] = set()
    for batch in _batches(list(pins)):
        for dependency in _run(batch, service)["dependencies"]:
            if "skip_reason" in dependency:
                continue
            pin = (dependency["name"].lower(), dependency["version"])
            answered.add(pin)
            for found in dependency["vulns"]:
                findings.append(Finding(pin, (found["id"], *found["aliases"]), tuple(found["fix_versions"])))
    if missing := sorted(pins.keys() - answered):
        raise AuditError(f"not audited: {', '.join(f'{name} {version}' for name, version in missing)}")
    return findings


def report(pins: dict[Pin, list[Path]], findings: list[Finding], ignored: dict[str, str]) -> int:
    """Prints what was found; returns 1 if something is not ignored."""
    unknown = [finding for finding in findings if not ignored.keys() & set(finding.ids)]
    for finding in findings:
        name, version = finding.pin
        reason = next((ignored[one] for one in finding.ids if one in ignored), "")
        cure = f"fixed in {', '.join(finding.fixed_in)}" if finding.fixed_in else "no version is fixed"
        where = ", ".join(str(file.relative_to(ROOT)) for file in pins[finding.pin])
        print(
            f"{name} {version} ({where}): {' '.join(finding.ids)}: {f'ignored, {reason}' if reason else cure}"
        )
    for one in sorted(ignored.keys() - {one for finding in findings for one in finding.ids}):
        print(f"{IGNORED.relative_to(ROOT)}: {one} is not found any more; remove it")
    print(
        f"{len(pins)} locked packages audited: {len(findings)} known vulnerabilities, {len(unknown)} not ignored"
    )
    return 1 if unknown else 0


def _unreachable(service: str, pin: Pin) -> str:
    """Why the service does not answer; empty when it does."""
    name, version = pin
    query = {"package": {"name": name, "ecosystem": "PyPI"}, "version": version}
    try:
        requests.post(service, json=query, timeout=15).raise_for_status()
    except requests.RequestException as error:
        return type(error).__name__
    return ""


def _batches(pins: list[Pin]) -> list[list[Pin]]:
    """``pins`` in lists that have each name once, as pip-audit wants a file to be."""
    batches: list[dict[str, Pin]] = []
    for pin in pins:
        batch = next((batch for batch in batches if pin[0] not in batch), None)
        if batch is None:
            batches.append(batch := {})
        batch[pin[0]] = pin
    return [list(batch.values()) for batch in batches]


def _run(pins: list[Pin], service: str) -> Any:
    """What pip-audit says of ``pins``, as JSON."""
    with tempfile.NamedTemporaryFile("w", suffix=".txt", encoding="utf-8") as file:
        file.write("".join(f"{name}=={version}\n" for name, version in pins))
        file.flush()
        # Nothing is installed or resolved: what is locked is what is asked about.
        options = ["--no-deps", "--disable-pip", "--progress-spinner=off", "--format=json", "--desc=off"]
        service_options = ["--vulnerability-service=osv", f"--osv-url={service}"]
        done = subprocess.run(
            [str(_tool()), *options, *service_options, "--requirement", file.name],
            capture_output=True,
            text=True,
            check=False,
        )
    # 1 also says that something was found; then there is an answer.
    if done.returncode not in (0, 1) or not done.stdout.startswith("{"):
        raise AuditError(f"pip-audit broke off: {done.stderr.strip()[-500:]}")
    return json.loads(done.stdout)


def _tool() -> Path:
    """pip-audit, in an environment of its own: it has more requirements than everything else here."""
    folder = _KEPT / hashlib.sha256(_TOOL.read_bytes()).hexdigest()[:16]
    program = folder / "bin/pip-audit"
    if not (folder / "complete").exists():
        venv.create(folder, clear=True, with_pip=True)
        command = [
            str(folder / "bin/python"),
            "-m",
            "pip",
            "install",
            "-q",
            "--require-hashes",
            "-r",
            str(_TOOL),
        ]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        if done.returncode != 0:
            raise AuditError(f"pip-audit cannot be installed: {done.stderr.strip()[-500:]}")
        (folder / "complete").touch()
    return program


if __name__ == "__main__":
    sys.exit(main())
