"""Read a Dockerfile: its stages and instructions, and the substitution of variables in their words.

Source: the Dockerfile reference (docs.docker.com/reference/dockerfile). Errors carry the line number in Docker's
words ("dockerfile parse error on line 3: unknown instruction: RUNN"). Not understood, and refused by name: here
documents and ONBUILD.
"""

from __future__ import annotations

import difflib
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field

#: What to do about what processes cannot build.
IN_CONTAINERS = (
    "Containers build it: gcp-emulator start --runtime docker (a rehearsal: make rehearse-clean, then REHEARSAL_RUNTIME=docker"
    " make rehearse)"
)

# fmt: off
KEYWORDS = frozenset({
    "ADD", "ARG", "CMD", "COPY", "ENTRYPOINT", "ENV", "EXPOSE", "FROM", "HEALTHCHECK", "LABEL", "MAINTAINER",
    "ONBUILD", "RUN", "SHELL", "STOPSIGNAL", "USER", "VOLUME", "WORKDIR",
})
# fmt: on
FLAGS: Mapping[str, frozenset[str]] = {
    "ADD": frozenset({"chown", "chmod", "link"}),
    "COPY": frozenset({"from", "chown", "chmod", "link"}),
    "FROM": frozenset({"platform"}),
    "HEALTHCHECK": frozenset({"interval", "timeout", "start-period", "start-interval", "retries"}),
    "RUN": frozenset({"mount", "network", "security"}),
}
# The instructions that take either a JSON array or a line for the shell.
COMMANDS = frozenset({"RUN", "CMD", "ENTRYPOINT", "HEALTHCHECK"})
_VARIABLE = re.compile(r"[A-Za-z_][A-Za-z0-9_]*|[0-9]|[@*#]")
_DIRECTIVE = re.compile(r"^#\s*([A-Za-z][A-Za-z0-9]*)\s*=\s*(.+?)\s*$")


class DockerfileError(ValueError):
    """A Dockerfile that cannot be understood; the text is Docker's, with the line number where there is one."""

    def __init__(self, message: str, line: int | None = None) -> None:
        super().__init__(f"dockerfile parse error on line {line}: {message}" if line else message)
        self.line = line


@dataclass(frozen=True)
class Instruction:
    """One instruction, its variables not yet substituted.

    ``words`` are the arguments: of COPY and ADD the sources and the destination, of a command in exec form its
    argument vector, in shell form one string. ``pairs`` are the settings of ENV, LABEL and ARG (None: no default).
    ``flags`` maps a flag's name to its values in order. ``line`` counts from 1; ``text`` is the whole instruction on
    one line, for the log.
    """

    line: int
    keyword: str
    text: str
    words: tuple[str, ...] = ()
    pairs: tuple[tuple[str, str | None], ...] = ()
    flags: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    exec_form: bool = False

    def flag(self, name: str) -> str | None:
        """The last value of a flag, or None."""
        return self.flags[name][-1] if name in self.flags else None


@dataclass(frozen=True)
class Stage:
    """A FROM and the instructions below it. ``name`` is lower case; a stage without AS has its number as name."""

    index: int
    name: str
    base: str
    origin: Instruction
    instructions: tuple[Instruction, ...]


@dataclass(frozen=True)
class Dockerfile:
    """``arguments`` are the ARG instructions above the first FROM."""

    arguments: tuple[Instruction, ...]
    stages: tuple[Stage, ...]
    escape: str

    def stage(self, name: str) -> Stage | None:
        """The last stage of that name (any case) or number."""
        wanted = name.lower()
        named = [stage for stage in self.stages if stage.name == wanted or str(stage.index) == wanted]
        return named[-1] if named else None


def parse(content: bytes) -> Dockerfile:
    """Read a Dockerfile. Raises `DockerfileError`."""
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = content[: error.start].count(b"\n") + 1
        raise DockerfileError(
            f"the Dockerfile is not UTF-8 text (byte 0x{content[error.start]:02x})", line
        ) from None
    lines = text.splitlines()
    escape = _escape_directive(lines)
    arguments: list[Instruction] = []
    stages: list[tuple[Instruction, list[Instruction]]] = []
    for number, logical in _logical_lines(lines, escape):
        instruction = _instruction(number, logical, escape)
        if instruction.keyword == "FROM":
            stages.append((instruction, []))
        elif stages:
            stages[-1][1].append(instruction)
        elif instruction.keyword == "ARG":
            arguments.append(instruction)
        else:
            raise DockerfileError("no build stage in current context", number)
    if not stages:
        raise DockerfileError(
            "file with no instructions" if not arguments else "no build stage in current context"
        )
    return Dockerfile(tuple(arguments), tuple(_stage(i, *parts) for i, parts in enumerate(stages)), escape)


def _escape_directive(lines: list[str]) -> str:
    for number, line in enumerate(lines, 1):
        match = _DIRECTIVE.match(line)
        if not match:
            break
        if match[1].lower() == "escape":
            if match[2] not in ("\\", "`"):
                raise DockerfileError(f"invalid ESCAPE '{match[2]}'. Must be ` or \\", number)
            return match[2]
    return "\\"


def _logical_lines(lines: list[str], escape: str) -> list[tuple[int, str]]:
    """Lines joined over continuations, without comments and empty lines, each with its first line's number."""
    continued = re.compile(re.escape(escape) + r"[ \t]*$")
    result: list[tuple[int, str]] = []
    parts: list[str] = []
    first = 0
    for number, line in enumerate(lines, 1):
        if not line.strip() or line.lstrip().startswith("#"):
            continue
        if not parts:
            first = number
        if match := continued.search(line):
            parts.append(line[: match.start()])
            continue
        parts.append(line)
        result.append((first, "".join(parts).strip()))
        parts = []
    if parts:
        result.append((first, "".join(parts).strip()))
    return result


def _instruction(line: int, logical: str, escape: str) -> Instruction:
    given, _, rest = logical.partition(" ") if " " in logical.split("\t")[0] else logical.partition("\t")
    keyword, rest = given.upper(), rest.strip()
    text = f"{keyword} {rest}".strip()
    if keyword not in KEYWORDS:
        close = difflib.get_close_matches(keyword, sorted(KEYWORDS), 1)
        hint = f" (did you mean {close[0]}?)" if close else ""
        raise DockerfileError(f"unknown instruction: {given}{hint}", line)
    if keyword == "ONBUILD":
        raise DockerfileError(f"ONBUILD is not supported by this builder. {IN_CONTAINERS}", line)
    flags, rest = _flags(line, keyword, rest)
    if not rest:
        raise DockerfileError(f"{keyword} requires at least one argument", line)
    if keyword in ("RUN", "COPY", "ADD") and re.search(r"(^|\s)<<-?[\"']?[A-Za-z_]", rest):
        raise DockerfileError(
            f"here documents ({keyword} <<EOF) are not supported by this builder. {IN_CONTAINERS}", line
        )
    if keyword in ("ENV", "LABEL"):
        pairs: tuple[tuple[str, str | None], ...] = _settings(line, keyword, rest, escape)
        return Instruction(line, keyword, text, pairs=pairs)
    if keyword == "ARG":
        pairs = tuple(
            (name, value if equals else None)
            for name, equals, value in (word.partition("=") for word in split_words(rest, escape))
        )
        return Instruction(line, keyword, text, pairs=pairs)
    vector = _json_array(rest)
    if keyword == "SHELL" and not vector:
        raise DockerfileError("SHELL requires the arguments to be in JSON form", line)
    if keyword in COMMANDS or keyword == "MAINTAINER":
        words = vector if vector is not None else (rest,)
    else:
        words = vector if vector is not None else tuple(split_words(rest, escape))
    _check_count(line, keyword, words)
    return Instruction(line, keyword, text, words, flags=flags, exec_form=vector is not None)


def _flags(line: int, keyword: str, rest: str) -> tuple[dict[str, tuple[str, ...]], str]:
    flags: dict[str, tuple[str, ...]] = {}
    while match := re.match(r"--([a-z-]+)(?:=(\S*))?(?:\s+|$)", rest):
        name, value = match[1], match[2]
        if name not in FLAGS.get(keyword, ()):
            raise DockerfileError(f"unknown flag: --{name}", line)
        flags[name] = (*flags.get(name, ()), "true" if value is None else value)
        rest = rest[match.end() :]
    return flags, rest


def _check_count(line: int, keyword: str, words: tuple[str, ...]) -> None:
    if keyword in ("COPY", "ADD") and len(words) < 2:
        raise DockerfileError(
            f"{keyword} requires at least two arguments, but only one was provided. Destination could not be"
            " determined",
            line,
        )
    if keyword == "FROM" and (len(words) not in (1, 3) or (len(words) == 3 and words[1].upper() != "AS")):
        raise DockerfileError("FROM requires either one or three arguments", line)
    if keyword in ("WORKDIR", "USER", "STOPSIGNAL") and len(words) != 1:
        raise DockerfileError(f"{keyword} requires exactly one argument", line)


def _settings(line: int, keyword: str, rest: str, escape: str) -> tuple[tuple[str, str | None], ...]:
    words = split_words(rest, escape)
    if "=" not in words[0]:
        # The old form "ENV NAME the rest of the line" sets one variable.
        name, _, value = rest.partition(" ")
        if not value.strip():
            raise DockerfileError(f"{keyword} must have two arguments", line)
        return ((name, value.strip()),)
    pairs: list[tuple[str, str | None]] = []
    for word in words:
        name, equals, value = word.partition("=")
        if not equals:
            raise DockerfileError(
                f"Syntax error - can't find = in {json.dumps(word)}. Must be of the form: name=value", line
            )
        if not name:
            raise DockerfileError(f"{keyword} names can not be blank", line)
        pairs.append((name, value))
    return tuple(pairs)


def _json_array(rest: str) -> tuple[str, ...] | None:
    if not rest.startswith("["):
        return None
    try:
        values = json.loads(rest)
    except ValueError:
        # Docker takes what is not a JSON array of strings for a line for the shell.
        return None
    if isinstance(values, list) and all(isinstance(value, str) for value in values):
        return tuple(values)
    return None


def _stage(index: int, origin: Instruction, instructions: list[Instruction]) -> Stage:
    name = origin.words[2].lower() if len(origin.words) == 3 else str(index)
    if len(origin.words) == 3 and not re.fullmatch(r"[a-z][a-z0-9_.-]*", name):
        raise DockerfileError(
            f"invalid name for build stage: {json.dumps(origin.words[2])}, name can't start with a number or contain"
            " symbols",
            origin.line,
        )
    return Stage(index, name, origin.words[0], origin, tuple(instructions))


def split_words(text: str, escape: str = "\\") -> list[str]:
    """Split at white space outside quotes; quotes and escapes stay in the words for `expand`."""
    words: list[str] = []
    word = ""
    quote = ""
    position = 0
    while position < len(text):
        character = text[position]
        if character == escape and quote != "'" and position + 1 < len(text):
            word += text[position : position + 2]
            position += 2
            continue
        if quote:
            quote = "" if character == quote else quote
        elif character in "\"'":
            quote = character
        elif character.isspace():
            if word:
                words.append(word)
            word = ""
            position += 1
            continue
        word += character
        position += 1
    return [*words, word] if word else words


def expand(word: str, variables: Mapping[str, str], escape: str = "\\") -> str:
    """Remove quotes and escapes from a word and substitute $NAME, ${NAME}, ${NAME:-x}, :+ and :? as Docker does.

    An unset variable is empty. Raises ValueError for ``${NAME:?text}`` of an unset one, a missing brace or a form
    that is not known.
    """
    result, position = _expand(word, 0, variables, escape, until="")
    if position != len(word):
        raise ValueError(f"unexpected end of {json.dumps(word)}")
    return result


def _expand(
    word: str, position: int, variables: Mapping[str, str], escape: str, until: str
) -> tuple[str, int]:
    result = ""
    quote = ""
    while position < len(word):
        character = word[position]
        if not quote and character == until:
            return result, position
        if quote == "'":
            quote, result = ("", result) if character == "'" else (quote, result + character)
        elif character == escape:
            following = word[position + 1 : position + 2]
            # Within double quotes only these lose their escape.
            result += character + following if quote and following not in ('"', "$", escape) else following
            position += 2
            continue
        elif character == "$":
            value, position = _variable(word, position + 1, variables, escape)
            result += value
            continue
        elif character == quote:
            quote = ""
        elif not quote and character in "\"'":
            quote = character
        else:
            result += character
        position += 1
    if quote:
        raise ValueError(
            f"unexpected end of statement while looking for matching {quote} in {json.dumps(word)}"
        )
    return result, position


def _variable(word: str, position: int, variables: Mapping[str, str], escape: str) -> tuple[str, int]:
    """The value of the reference whose ``$`` is before ``position``, and the position after it."""
    if word[position : position + 1] != "{":
        match = _VARIABLE.match(word, position)
        return (variables.get(match[0], ""), match.end()) if match else ("$", position)
    match = _VARIABLE.match(word, position + 1)
    if not match:
        raise ValueError(f"bad substitution in {json.dumps(word)}")
    name, position = match[0], match.end()
    value = variables.get(name)
    if word[position : position + 1] == "}":
        return value or "", position + 1
    operator = re.match(r":?[-+?]", word[position:])
    if not operator:
        raise ValueError(f"unsupported modifier ({word[position : position + 1]}) in substitution of {name}")
    other, position = _expand(word, position + len(operator[0]), variables, escape, until="}")
    if word[position : position + 1] != "}":
        raise ValueError(f"syntax error: missing }} in {json.dumps(word)}")
    # With the colon an empty value counts as unset.
    present = bool(value) if operator[0].startswith(":") else value is not None
    if operator[0].endswith("+"):
        return other if present else "", position + 1
    if operator[0].endswith("?") and not present:
        raise ValueError(f"{name}: {other or 'is not set'}")
    return (value or "") if present else other, position + 1
