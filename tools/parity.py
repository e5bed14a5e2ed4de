"""Where the Compose stack and a deployed site differ: Python, Django, PostgreSQL, environment, settings, storage.

Usage: parity.py INVENTORY   (for example inventories/local, after `. .rehearsal/env`)
       parity.py FILE FILE   (what `manage.py describe_site` printed in two places)

The stack must be up (`DEBUG=false docker compose up --wait` is the nearest to production). Differences that follow from what
the two are for are told apart; any other makes the exit status 1.
"""

from __future__ import annotations

import argparse
import json
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
COMMAND = "describe_site"
#: Names whose difference is the point: pattern -> why.
EXPECTED = {
    r"environment (SECRET_KEY|DATABASE_URL)(_FILE)?": "secrets are files here, variables of Cloud Run there",
    r"environment (STORAGE_EMULATOR_HOST|GCE_METADATA_.*)": "fake-gcs-server and the metadata server have addresses of their own here",
    r"environment (https?_proxy|no_proxy|.*CA_BUNDLE|.*CA_CERTS?|SSL_CERT_FILE|GRPC_DEFAULT_SSL_.*)": "the way to the emulator",
    r"environment (K_.*|CLOUD_RUN_.*|GOOGLE_CLOUD_REGION|PORT)": "set by Cloud Run",
    r"environment (HOSTNAME|HOME|PWD|SHLVL|_|OLDPWD|LC_CTYPE|GPG_KEY|PYTHON_SHA256|PYTHON_VERSION)": "set by the image or the shell",
    r"settings (ALLOWED_HOSTS|CSRF_TRUSTED_ORIGINS|DATABASES|GOOGLE_CLOUD_PROJECT|GS_.*|STATIC_URL|STORAGES|LOGGING|SECURE_CSP)": "names of the site's own",
    r"(environment|settings) (SECURE_.*|SESSION_COOKIE_SECURE|CSRF_COOKIE_SECURE|TRUSTED_PROXIES)": "nothing ends TLS in front of the stack",
    r"environment (DEBUG|WEB_CONCURRENCY|SECRET_KEY_FALLBACKS)": "has a default",
}


class ParityError(Exception):
    """A message for the person at the terminal."""


def main() -> int:
    """Prints the differences; 1 when one was not expected, 2 when there is nothing to compare."""
    parser = argparse.ArgumentParser(prog="parity.py", description=(__doc__ or "").splitlines()[0])
    parser.add_argument("sources", nargs="+", metavar="INVENTORY|FILE", type=Path)
    sources = parser.parse_args().sources
    try:
        if len(sources) == 2:
            left, right = (described(source.read_text("utf-8"), str(source)) for source in sources)
        else:
            left, right = of_compose(), of_inventory(sources[0])
    except (ParityError, OSError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    found = list(differences(left, right))
    for name, here, there in found:
        why = reason(name)
        print(
            f"{'expected' if why else 'DIFFERENT':<10}{name}: {here} | {there}{f'  ({why})' if why else ''}"
        )
    unexpected = sum(reason(name) is None for name, _, _ in found)
    print(f"{len(found)} differences, {unexpected} of them not expected")
    return 1 if unexpected else 0


def of_compose() -> dict[str, Any]:
    """The site of the Compose stack."""
    return described(
        _output("docker", "compose", "exec", "-T", "app", "python", "manage.py", COMMAND), "the stack"
    )


def of_inventory(inventory: Path) -> dict[str, Any]:
    """The deployed site of an inventory, by a job of its own image."""
    command = json.dumps({"manage_command": [COMMAND]})
    playbook = ("ansible-playbook", "playbooks/manage.yml", "-i", str(inventory), "-e", command)
    return described(_output(*playbook), str(inventory))


def described(text: str, source: str) -> dict[str, Any]:
    """The description in what a command printed, also where Ansible shows it within a string of JSON."""
    if quoted := re.search(r'site: \{\\"(?:[^"\\]|\\.)*', text):
        text = json.loads(f'"{quoted[0]}"')
    begin = text.find('site: {"')
    if begin < 0:
        raise ParityError(
            f"{source} printed no description of a site: does it have the command {COMMAND}?\n{text[-2000:]}"
        )
    site: dict[str, Any] = json.JSONDecoder().raw_decode(text[begin:].removeprefix("site: "))[0]
    return site


def differences(left: dict[str, Any], right: dict[str, Any]) -> Iterator[tuple[str, str, str]]:
    """Name, here and there of everything that differs."""
    for name in ("python", "django", "database"):
        # Of Python the minor version counts: images get patches as they appear.
        here, there = (_minor(side[name]) if name == "python" else side[name] for side in (left, right))
        if here != there:
            yield name, here, there
    for name in sorted({*left["environment"]} ^ {*right["environment"]}):
        yield f"environment {name}", *(("set", "-") if name in left["environment"] else ("-", "set"))
    for part in ("storages", "settings"):
        for name in sorted({*left[part]} | {*right[part]}):
            here, there = (json.dumps(side[part].get(name), sort_keys=True) for side in (left, right))
            if here != there:
                yield f"{part} {name}", here, there


def reason(name: str) -> str | None:
    """Why a difference is expected, or None."""
    return next(
        (why for pattern, why in EXPECTED.items() if re.fullmatch(pattern, name, re.IGNORECASE)), None
    )


def _minor(version: str) -> str:
    return ".".join(version.split(".")[:2])


def _output(*command: str) -> str:
    done = subprocess.run(
        command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False
    )
    if done.returncode != 0:
        raise ParityError(f"{' '.join(command)} failed:\n{done.stdout[-2000:]}")
    return done.stdout


if __name__ == "__main__":
    sys.exit(main())
