"""``gcp-emulator record`` and ``gcp-emulator facts check``: what Google Cloud said, and whether the emulator says the same."""

from __future__ import annotations

import argparse
import asyncio
import os
import subprocess
import tempfile
from pathlib import Path

from gcp_emulator import environment
from gcp_emulator.recording.clean import Cleaner
from gcp_emulator.recording.form import Conversation, ConversationError, load
from gcp_emulator.recording.recorder import Recorder


class RecordingError(Exception):
    """A message for the person at the terminal."""


def add_record(parser: argparse.ArgumentParser) -> None:
    """The options of ``record``."""
    parser.add_argument("--project", required=True, help="the id of the project, which becomes ${projectId}")
    parser.add_argument(
        "--output", type=Path, required=True, help="the file that the conversation is written to"
    )
    parser.add_argument(
        "--replace",
        action="append",
        default=[],
        metavar="TEXT=NAME",
        help="another text that names something of yours, and the ${NAME} that stands for it (may be given again)",
    )
    parser.add_argument(
        "command", nargs=argparse.REMAINDER, metavar="-- COMMAND", help="what talks to Google Cloud"
    )


def add_check(parser: argparse.ArgumentParser) -> None:
    """The options of ``facts check``."""
    parser.add_argument(
        "paths", nargs="+", type=Path, metavar="PATH", help="conversations, or folders of them"
    )
    parser.add_argument(
        "--at-least",
        type=float,
        default=100.0,
        metavar="PERCENT",
        help="how much of each folder has to agree for the exit status 0 (default: 100)",
    )


def record(options: argparse.Namespace) -> int:
    """Runs the command through the recorder, writes the file, and returns the command's exit status. RecordingError."""
    command = options.command[1:] if options.command[:1] == ["--"] else options.command
    if not command:
        raise RecordingError(
            "say behind -- which command to record, for instance: -- ansible-playbook deploy.yml -i inventories/prod"
        )
    names = [tuple(one.split("=", 1)) for one in options.replace]
    if any(len(one) != 2 or not one[0] or not one[1].isidentifier() for one in names):
        raise RecordingError("--replace takes TEXT=NAME, for instance --replace shop=siteName")
    try:
        # Before the command runs: what it does may be costly.
        options.output.touch()
    except OSError as error:
        raise RecordingError(f"cannot write {options.output}: {error.strerror}") from None
    status, conversation = asyncio.run(_record(command, Cleaner(options.project, names)))
    options.output.write_text(conversation.text(), "utf-8")
    print(
        f"{len(conversation.exchanges)} exchanges in {options.output}: read it before you show it to anybody"
    )
    return status


async def _record(command: list[str], cleaner: Cleaner) -> tuple[int, Conversation]:
    upstream = os.environ.get("HTTPS_PROXY") or os.environ.get("https_proxy") or None
    with tempfile.TemporaryDirectory(prefix="gcp-emulator-record-") as folder:
        recorder = Recorder(Path(folder), cleaner, upstream)
        await recorder.start()
        try:
            variables = {**os.environ, **environment.proxy_variables(recorder.port, recorder.bundle)}
            try:
                process = await asyncio.create_subprocess_exec(*command, env=variables)
            except OSError as error:
                raise RecordingError(f"cannot run {command[0]}: {error.strerror}") from None
            status = await process.wait()
            return status, recorder.conversation(subprocess.list2cmdline(command[:1]))
        finally:
            await recorder.stop()


def check(options: argparse.Namespace) -> int:
    """Prints what agrees and what differs; returns 1 when less agrees than is asked for. RecordingError."""
    # Imported here, because the other verbs would wait for all services.
    from gcp_emulator.recording.check import agreement, replay, report

    try:
        conversations = [one for path in options.paths for one in load(path)]
    except ConversationError as error:
        raise RecordingError(str(error)) from None
    with tempfile.TemporaryDirectory(prefix="gcp-emulator-check-") as folder:
        outcomes = asyncio.run(replay(conversations, Path(folder) / "state"))
    print(report(outcomes), end="")
    shares = [100 * agree / total for agree, total in agreement(outcomes).values()]
    return 0 if all(share >= options.at_least for share in shares) else 1
