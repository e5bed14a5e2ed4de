"""``gcp-emulator faults list | add | clear``: the plan of faults of a running emulator."""

from __future__ import annotations

import argparse
import http.client
import json
from pathlib import Path
from typing import Any

import yaml

from gcp_emulator.engine.faults import KINDS

_PATH = "/_emulator/faults"
_SECONDS = 30


class FaultsError(Exception):
    """A message for the person at the terminal."""


def add_list(parser: argparse.ArgumentParser) -> None:
    """The options of ``list``."""
    parser.set_defaults(request=lambda options: ("GET", _PATH, None))


def add_clear(parser: argparse.ArgumentParser) -> None:
    """The options of ``clear``."""
    parser.add_argument("id", nargs="?", help="the fault to remove (default: all)")
    parser.set_defaults(
        request=lambda options: ("DELETE", f"{_PATH}/{options.id}" if options.id else _PATH, None)
    )


def add_add(parser: argparse.ArgumentParser) -> None:
    """The options of ``add``."""
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.epilog = "kinds:\n" + "\n".join(f"  {name:<20} {kind.text}" for name, kind in KINDS.items())
    parser.add_argument("--plan", type=Path, help="YAML file: a list of faults with the fields below")
    parser.add_argument("--method", help="discovery method id; * stands for any text")
    parser.add_argument("--kind", metavar="KIND", help="see below")
    parser.add_argument("--count", type=int, help="how often it strikes; 0: every time (default: 1)")
    parser.add_argument("--skip", type=int, help="matching calls that are left alone first (default: 0)")
    parser.add_argument("--probability", type=float, help="of each matching call (default: 1)")
    parser.add_argument("--seed", type=int, help="makes the draws repeatable (default: 0)")
    parser.add_argument("--caller", help="IAM member, such as user:a@example.com; * stands for any text")
    parser.add_argument("--target", help="path with query of the request; * stands for any text")
    parser.add_argument(
        "--retry-after", dest="retryAfter", type=int, help="seconds, of rate_limited (default: 1)"
    )
    parser.add_argument(
        "--seconds",
        type=float,
        help="of stall (default: 3600), database_restart (default: 0), unknown_account, grant_pending (default: 3), logs_late (default: 5)",
    )
    parser.add_argument(
        "--service",
        help="of unknown_account, grant_pending: who does not know yet, as in its permissions (cloudsql); * stands for any text",
    )
    parser.add_argument("--calls", type=int, help="of revision_crashes (default: 1)")
    parser.set_defaults(request=_addition)


def _addition(options: argparse.Namespace) -> tuple[str, str, Any]:
    names = (
        "method", "kind", "count", "skip", "probability", "seed", "caller", "target", "retryAfter", "seconds",
        "service", "calls",
    )  # fmt: skip
    given = {name: getattr(options, name) for name in names if getattr(options, name) is not None}
    if options.plan is None:
        return "POST", _PATH, given
    if given:
        raise FaultsError("--plan has all fields in its file; leave the other options out")
    try:
        plan = yaml.safe_load(options.plan.read_text("utf-8"))
    except (OSError, ValueError, yaml.YAMLError) as error:
        raise FaultsError(f"cannot read {options.plan}: {error}") from None
    return "POST", _PATH, {"faults": plan}


def change(options: argparse.Namespace, port: int) -> str:
    """Does what the options say at the emulator on ``port``; returns what to print. FaultsError when it refuses."""
    method, path, body = options.request(options)
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=_SECONDS)
    try:
        connection.request(method, path, None if body is None else json.dumps(body))
        response = connection.getresponse()
        answer = json.loads(response.read())
    except OSError as error:
        raise FaultsError(f"the emulator on 127.0.0.1:{port} does not answer: {error}") from None
    finally:
        connection.close()
    if response.status != 200:
        raise FaultsError(answer["error"]["message"])
    return "".join(_line(fault) for fault in answer["faults"])


def _line(fault: dict[str, Any]) -> str:
    """``f1  unavailable at secretmanager.* (count 3): struck 0 of 0 calls``."""
    shown = ("id", "kind", "method", "seen", "struck")
    details = ", ".join(
        f"{name} {value}" for name, value in fault.items() if name not in shown and value != "*"
    )
    return (
        f"{fault['id']}  {fault['kind']} at {fault['method']} ({details}): "
        f"struck {fault['struck']} of {fault['seen']} calls\n"
    )
