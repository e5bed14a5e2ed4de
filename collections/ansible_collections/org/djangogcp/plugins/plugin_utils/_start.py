# Copyright (c) 2026, The djangogcp contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# PRIVATE to the collection: this file may change in any release.

"""How a project is started: the command of a Procfile, and what a Dockerfile of its own runs Python by."""

from __future__ import annotations

import json
import os
import re
import shlex
import typing as t
from pathlib import Path

from ansible_collections.org.djangogcp.plugins.plugin_utils._text import text

_SERVERS = r"gunicorn|uvicorn|daphne|hypercorn|uwsgi|granian|waitress-serve|python[\d.]*|activate"
#: A program of a virtual environment, and not the system's.
_IN_AN_ENVIRONMENT = re.compile(
    rf"(?<![\w./-])(?!/usr/(?:local/)?bin/|/bin/)((?:[\w.-]*/)+bin/)(?:{_SERVERS})(?![\w.-])"
)
#: The port that a server listens on by its command, and in a file of its own (gunicorn.conf.py, uwsgi.ini).
_BOUND = re.compile(
    r"""(?:--bind|-b|--http(?:11)?(?:-socket)?|--listen|runserver)[\s="']+(?P<host>\[[\da-f:]*\]|[\w.*-]*):(?P<port>\d{1,5})\b"""
    r"""|(?:--port|-p|runserver)[\s="']+(?P<alone>\d{1,5})\b"""
)
_CONFIGURED = re.compile(
    r"""^\s*(?:bind|http(?:11)?(?:-socket)?)\s*=\s*["']?(?P<host>\[[\da-f:]*\]|[\w.*-]*):(?P<port>\d{1,5})\b""",
    re.MULTILINE,
)
_CONFIGURATIONS = ("gunicorn.conf.py",)
_LOOPBACK = re.compile(r"127\.|localhost$|\[::1\]$")
_PROGRAM = re.compile(rf"(?<![\w-])(?:{_SERVERS.partition('|python')[0]}|runserver)(?![\w-])")
_RUNNER = re.compile(r"(?<![\w./-])(uv|poetry|pdm|pipenv|hatch)\s+run(?=\s)")
_INSTRUCTION = re.compile(r"\s*([A-Za-z]+)\s+(.*)", re.DOTALL)
_ASSIGNMENT = re.compile(r"[A-Za-z_]\w*=")
#: Words at the beginning of a command that are the shell's own.
_NO_PROGRAM = frozenset(
    {
        "exec",
        ".",
        "!",
        "{",
        "}",
        "if",
        "then",
        "elif",
        "else",
        "fi",
        "for",
        "while",
        "until",
        "do",
        "done",
        "case",
        "esac",
    }
)
#: What stands between commands of a shell, but neither in quotes nor escaped.
_PARTS = re.compile(
    r"""'[^']*'|"(?:\\.|[^"\\])*"|\\.|&&|\|\||;;|[;|&()<>]|\d?>&\d|[^'"\\;|&()<>]+""", re.DOTALL
)


def procfile(path: Path) -> dict[str, str]:
    """The commands of a Procfile by the name of their process."""
    return dict(re.findall(r"^([\w-]+):[ \t]*(.+?)[ \t]*\r?$", text(path), re.MULTILINE))


def executed(command: str) -> str:
    """A shell's command line, of which the last command takes the place of the shell, so that it gets the signals.

    What goes on after the last command, or beside it, stays as it is.
    """
    parts = _PARTS.findall(command)
    last = max((place for place, part in enumerate(parts) if part in ("&&", ";")), default=-1)
    rest = parts[last + 1 :]
    if "".join(parts) != command or any(part in ("|", "||", "&", "(", ")", ";;") for part in rest):
        return command
    line = "".join(rest).strip()
    word = line.partition(" ")[0]
    if not line or word in _NO_PROGRAM:
        return command
    begun = "".join(parts[: last + 1])
    return f"{begun}{' ' if begun else ''}exec {'env ' if _ASSIGNMENT.match(line) else ''}{line}"


def instructions(dockerfile: str) -> list[tuple[str, str]]:
    """The instructions of a Dockerfile's last stage, each with its text."""
    found: list[tuple[str, str]] = []
    for keyword, said in _all_instructions(dockerfile):
        found = [] if keyword == "FROM" else found
        found.append((keyword, said))
    return found


def copies_overlay(dockerfile: str) -> bool:
    """Whether a stage copies the settings overlay, which a build puts into the context as ``.overlay``."""
    return any(
        keyword == "COPY" and re.search(r"(?:^|\s)\.overlay\b", said)
        for keyword, said in _all_instructions(dockerfile)
    )


def is_of_python_alone(dockerfile: str) -> bool:
    """Whether all stages of an image are made from Python's images, and none calls other tools that build, such as those of a front end."""
    found = list(_all_instructions(dockerfile))
    stages: set[str] = set()
    for said in (said for keyword, said in found if keyword == "FROM"):
        base, *named = [word for word in said.split() if not word.startswith("--")]
        if base not in stages and not re.fullmatch(r"(?:[\w./-]*/)?python(?::.*)?", base):
            return False
        stages |= set(named[1:])
    runs = " ".join(said for keyword, said in found if keyword == "RUN")
    return not re.search(r"\b(?:npm|npx|yarn|pnpm|bun|node)\b", runs)


def _all_instructions(dockerfile: str) -> t.Iterator[tuple[str, str]]:
    """Those of all stages."""
    lines = [line for line in dockerfile.splitlines() if not line.lstrip().startswith("#")]
    joined = re.sub(r"\\[ \t]*\n", " ", "\n".join(lines))
    for line in joined.splitlines():
        if one := _INSTRUCTION.fullmatch(line):
            yield one[1].upper(), one[2].strip()


def variables(stage: list[tuple[str, str]]) -> dict[str, str]:
    """What ENV and ARG of a stage set."""
    found: dict[str, str] = {}
    for keyword, said in stage:
        if keyword not in ("ENV", "ARG"):
            continue
        try:
            words = shlex.split(said)
        except ValueError:
            continue
        if words and "=" not in words[0]:
            words = [f"{words[0]}={' '.join(words[1:])}"] if keyword == "ENV" else []
        for word in words:
            name, _equals, value = word.partition("=")
            found[name] = _expanded(value, found)
    return found


def _expanded(said: str, known: dict[str, str]) -> str:
    return re.sub(r"\$(?:\{(\w+)\}|(\w+))", lambda found: known.get(found[1] or found[2], found[0]), said)


def _words(said: str) -> list[str]:
    """The words of CMD or ENTRYPOINT, in either form."""
    try:
        given = json.loads(said)
    except (ValueError, RecursionError):
        given = None
    if isinstance(given, list):
        return [str(word) for word in given]
    try:
        return shlex.split(said)
    except ValueError:
        return said.split()


def scripts(root: Path, words: list[str]) -> str:
    """The texts of the scripts that are started, where the project has them."""
    found = []
    for word in words:
        parts = Path(word).parts
        for place in range(len(parts)):
            tail = Path(*parts[place:])
            if not tail.is_absolute() and ".." not in tail.parts and os.path.isfile(root / tail):
                found.append(text(root / tail))
                break
    return "\n".join(found)


def python_of(root: Path, dockerfile: str) -> list[str]:
    """What runs Python in the image of a Dockerfile as what serves does: of its virtual environment, by its tool, or ``python``."""
    stage = instructions(dockerfile)
    known = variables(stage)
    started = [word for keyword, said in stage if keyword in ("CMD", "ENTRYPOINT") for word in _words(said)]
    line = _expanded("\n".join([" ".join(started), scripts(root, started)]), known)
    if runner := _RUNNER.search(line):
        return [runner[1], "run", "python"]
    if found := _IN_AN_ENVIRONMENT.search(line):
        return [f"{found[1]}python"]
    base = next((said for keyword, said in stage if keyword == "FROM"), "")
    without = re.match(r"(?:\S+/)?(?:debian|ubuntu|alpine|fedora|rockylinux|almalinux)\b", base)
    return ["python3"] if without and not known.get("PATH") else ["python"]


def port(root: Path, dockerfile: str, web: str = "") -> int:
    """The port that is fixed in an image, 0 if what serves takes the one that ``PORT`` says.

    Cloud Run sets ``PORT`` to the port of the container, so that of EXPOSE is right for what follows it, too.

    Args:
        root: the folder that is built.
        dockerfile: the text of its Dockerfile, "" if it has none.
        web: the command of a Procfile that is run instead.
    """
    stage = instructions(dockerfile)
    known = {name: value for name, value in variables(stage).items() if name != "PORT"}
    started = [word for keyword, said in stage if keyword in ("CMD", "ENTRYPOINT") for word in _words(said)]
    started = started or web.split()
    said = _expanded("\n".join([" ".join(started), scripts(root, started)]), known)
    # ${OTHER:-8000} is 8000 where nobody sets it.
    said = re.sub(r"\$\{(?!PORT\b)\w+:?-(\d+)\}", r"\1", re.sub(r"\\\s*\n", " ", said))
    lines = "\n".join(line for line in said.splitlines() if _PROGRAM.search(line))
    configured = "\n".join([said, *(text(root / name) for name in _CONFIGURATIONS if "gunicorn" in lines)])
    for found in (*_BOUND.finditer(lines), *_CONFIGURED.finditer(configured)):
        parts = found.groupdict()
        if not _LOOPBACK.match(parts["host"] or ""):
            return _as_port(parts["port"] or parts["alone"])
    if re.search(r"\bPORT\b", configured):
        return 0
    exposed = {
        one.partition("/")[0]
        for keyword, said in stage
        if keyword == "EXPOSE"
        for one in _expanded(said, known).split()
        if not one.endswith("/udp")
    }
    return _as_port(exposed.pop()) if len(exposed) == 1 else 0


def _as_port(said: str) -> int:
    return int(said) if said.isdecimal() and 0 < int(said) < 65536 else 0


def manage_command(root: Path, dockerfile: str, manage_dir: str) -> list[str]:
    """What runs manage.py in an image, before its arguments.

    The working folder of a generated one is that of manage.py. That of a Dockerfile of its own may be one above it.
    """
    command = [*(python_of(root, dockerfile) if dockerfile else ["python"]), "manage.py"]
    if not dockerfile or not manage_dir:
        return command
    script = f'if [ -f {shlex.quote(manage_dir)}/manage.py ]; then cd {shlex.quote(manage_dir)}; fi; exec {shlex.join(command)} "$@"'
    return ["/bin/sh", "-c", script, "manage.py"]


def shell(root: Path, dockerfile: str) -> list[str]:
    """What runs a shell's command line in an image, before the line: with the programs of the environment that its Python is of."""
    *runner, python = python_of(root, dockerfile) if dockerfile else ["python"]
    folder = os.path.dirname(python)
    if not folder:
        return [*runner, "/bin/sh", "-c"]
    place = folder if folder.startswith("/") else f"$PWD/{folder}"
    return ["/bin/sh", "-c", f'PATH="{place}:$PATH" exec /bin/sh -c "$0"']
