"""One stage of a build: what each instruction does to the image's configuration, its files and the cache key."""

from __future__ import annotations

import contextlib
import hashlib
import json
import posixpath
import re
import time
from collections.abc import Awaitable, Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

from gcp_emulator.workloads.build.archive import add_files
from gcp_emulator.workloads.build.base import (
    BASE_FORMAT,
    Base,
    BaseUnavailableError,
    make_environment,
    make_skeleton,
)
from gcp_emulator.workloads.build.cache import BuildCache, copy_tree, in_thread
from gcp_emulator.workloads.build.copy import (
    CopyError,
    CopySource,
    IgnoreRules,
    Placement,
    copy_files,
    make_folder,
    resolve_inside,
)
from gcp_emulator.workloads.build.dockerfile import IN_CONTAINERS, Instruction, expand
from gcp_emulator.workloads.build.run import Command, HostAccess, Log, Mount, execute
from gcp_emulator.workloads.images import ImageConfig, Interpreter, user_ids

_SHELL = ("/bin/sh", "-c")
_IGNORED = {
    "HEALTHCHECK": "Cloud Run has probes of its own and does not use it",
    "VOLUME": "Cloud Run does not make volumes of it",
    "MAINTAINER": "it is deprecated; use LABEL",
}
_PACKAGE_MANAGERS = "apt-get|apt|aptitude|dpkg|apk|yum|dnf|microdnf|zypper"
_PACKAGE_MANAGER = re.compile(rf"(?:^|[\s;&|(/])({_PACKAGE_MANAGERS})\s")
# At the beginning of a command, but none that is only run when another one fails.
_INSTALLS_PACKAGES = re.compile(
    r"(?:^|(?<!\|)\||[;&(\n]|\b(?:then|else|do|sudo|exec)\s)\s*(?:\w+=\S*\s+)*(?:/\S*/)?"
    rf"({_PACKAGE_MANAGERS})\s(?:[^;&|)\n]*\s)?"
    r"(?:install|add|update|upgrade|dist-upgrade|full-upgrade|build-dep|makecache|-i|--install)(?![\w-])"
)
# How shells, setuptools, pip, the loader and drivers say that a program or a library is not there.
_NOT_IN_THE_IMAGE = re.compile(
    r"command '[^']*(?:gcc|g\+\+|cc|clang)' failed|No such file or directory: '(?:[\w-]*gcc|g\+\+|cc|make|cmake|git)'"
    r"|fatal error: \S+\.h: No such file|pg_config executable not found|sh(?:: (?:line )?\d+)?: \S+: (?:command )?not found"
    r"|Cannot find command 'git'|Can't find msg\w+|Can not find valid pkg-config name|cannot open shared object file"
    r"|libpq library not found|failed to find libmagic"
)
_COMMAND_NOT_FOUND = 127
# pip explains a failed build in thirty lines more.
_REMEMBERED_LINES = 60
_WORTH_CACHING = 2.0  # seconds


class BuildFailed(Exception):  # noqa: N818 - the name that Cloud Build uses in its logs
    """A build that ended without an image.

    ``step`` is the instruction (empty when the build did not get that far), ``exit_code`` that of a failed RUN, else
    None, ``message`` says what failed and why.
    """

    def __init__(self, step: str, exit_code: int | None, message: str) -> None:
        super().__init__(message)
        self.step, self.exit_code, self.message = step, exit_code, message


class Plan(Protocol):
    """What a stage needs to know of the build that it is part of."""

    cache: BuildCache
    context: CopySource
    build_args: Mapping[str, str]
    global_arguments: dict[str, str]
    host: HostAccess
    log: Log
    escape: str
    used_arguments: set[str]
    overlay: bool

    def stage(self, name: str) -> StageBuild:
        """A finished stage. Raises `CopyError` when there is none of that name before the current one."""
        ...

    def new_tree(self) -> Path:
        """A path for a tree that lives as long as the build."""
        ...


@contextlib.contextmanager
def failing_step(instruction: Instruction) -> Iterator[None]:
    """Turn what an instruction raises into `BuildFailed` with its name."""
    try:
        yield
    except (CopyError, BaseUnavailableError, ValueError, LookupError) as error:
        raise BuildFailed(instruction.text, None, str(error)) from error


# Changes a tree; the flag says whether files may be hard links to their source.
_Change = Callable[[Path, bool], Awaitable[None]]


@dataclass
class Step:
    """An instruction that was read: what it does to the files, and the key of the files after it."""

    instruction: Instruction
    key: str
    change: _Change | None = None
    notes: list[str] = field(default_factory=list)
    #: Why it cannot be executed here, "" when it can.
    refusal: str = ""

    @property
    def is_run(self) -> bool:
        """True for the instructions whose results are cached."""
        return self.instruction.keyword == "RUN"


@dataclass
class StageBuild:
    """A stage, first read (`read`: its configuration and keys), then executed (`execute`: its files).

    Its files are ``snapshot`` (a layer, or nothing yet: the base) or ``tree`` (private), plus ``changes`` not applied
    yet: a stage whose layers are all cached never touches a file.
    """

    plan: Plan
    python: Interpreter | None
    key: str
    env: dict[str, str] = field(default_factory=dict)
    arguments: dict[str, str] = field(default_factory=dict)
    working_dir: str = "/"
    user: str = ""
    shell: tuple[str, ...] = _SHELL
    cmd: tuple[str, ...] | None = None
    own_cmd: bool = False
    entrypoint: tuple[str, ...] | None = None
    ports: dict[str, None] = field(default_factory=dict)
    labels: dict[str, str] = field(default_factory=dict)
    stop_signal: str = ""
    steps: list[Step] = field(default_factory=list)
    parent: StageBuild | None = None
    #: The steps of other stages that copy from it, and the stages that start with it.
    takers: list[tuple[StageBuild, Step]] = field(default_factory=list)
    children: list[StageBuild] = field(default_factory=list)
    #: The source arguments of every instruction that takes files of this stage and has not yet.
    uses: list[list[str]] = field(default_factory=list)
    snapshot: Path | None = None
    tree: Path | None = None
    changes: list[tuple[Instruction, _Change]] = field(default_factory=list)

    @classmethod
    def on_base(cls, plan: Plan, base: Base) -> StageBuild:
        """A stage that starts with a base image."""
        return cls(plan, base.python, base.key, env=dict(base.env), cmd=base.cmd)

    @classmethod
    def on_stage(cls, plan: Plan, other: StageBuild) -> StageBuild:
        """A stage that starts with an earlier one (``FROM build``)."""
        other.uses.append(["/"])
        stage = cls(
            plan, other.python, other.key, env=dict(other.env), working_dir=other.working_dir, user=other.user,
            shell=other.shell, cmd=other.cmd, entrypoint=other.entrypoint, ports=dict(other.ports),
            labels=dict(other.labels), stop_signal=other.stop_signal, parent=other,
        )  # fmt: skip
        other.children.append(stage)
        return stage

    @property
    def config(self) -> ImageConfig:
        """The configuration of the image that the stage is now."""
        return ImageConfig(
            env=tuple(f"{name}={value}" for name, value in self.env.items()),
            cmd=self.cmd,
            entrypoint=self.entrypoint,
            user=self.user,
            working_dir=self.working_dir,
            exposed_ports=tuple(self.ports),
            labels=self.labels,
            stop_signal=self.stop_signal,
        )

    # ---------------------------------------------------------------- files

    async def files(self) -> Path:
        """The stage's tree for reading, once all its instructions are done."""
        if self.snapshot is not None and not self.changes:
            return self.snapshot
        await self.materialise(share=True)
        assert self.tree is not None
        return self.tree

    def may_give_away(self, paths: list[str]) -> bool:
        """Whether these paths can be moved out: the tree is the build's own, and nobody else takes files from there."""
        self.uses.remove(paths)
        others = [path for use in self.uses for path in use]
        if self.tree is None or any(re.search(r"[*?[\\]", path) for path in (*paths, *others)):
            return False
        taken = [f"/{resolve_inside(self.tree, path)}/" for path in paths]
        needed = [f"/{resolve_inside(self.tree, path)}/" for path in others]
        return not any(a.startswith(b) or b.startswith(a) for a in taken for b in needed)

    async def source(self, name: str) -> CopySource:
        """The stage, under the name that it was asked for, as the source of COPY --from."""
        return CopySource(await self.files(), f"stage {name}", IgnoreRules())

    async def materialise(self, *, share: bool) -> Path:
        """The stage's tree with all changes applied; ``share`` when nothing will be executed on it any more."""
        if self.tree is None:
            source = self.snapshot or await (self.parent.files() if self.parent else self._base_layer())
            tree = self.plan.new_tree()
            await copy_tree(source, tree, share=share)
            self.tree, self.snapshot = tree, None
        changes, self.changes = self.changes, []
        for instruction, change in changes:
            with failing_step(instruction):
                await change(self.tree, share)
        return self.tree

    async def _base_layer(self) -> Path:
        """The base image's tree; every stage starts with the key of its base."""
        cache, python = self.plan.cache, self.python
        key = hashlib.sha256(f"base {BASE_FORMAT} {python}".encode()).hexdigest()
        async with cache.building(key):
            if layer := cache.get(key):
                return layer
            tree = self.plan.new_tree()
            await in_thread(make_skeleton, tree, python)
            if python:
                await in_thread(make_environment, tree, python)
            return await cache.put(key, tree, share=True)

    # ---------------------------------------------------------------- executing

    async def execute(self, announce: Callable[[Instruction], None], *, wanted: bool) -> None:
        """Announce the steps that were read and, when the files are ``wanted``, do those after the last cached one.

        Raises `BuildFailed`.
        """
        runs = [position for position, step in enumerate(self.steps) if step.is_run]
        cached = [position for position in runs if self._cached(self.steps[position])]
        done = cached[-1] + 1 if cached else 0
        if not wanted:
            done = len(self.steps)
        elif done:
            self.snapshot = self._cached(self.steps[done - 1])
        for step in self.steps[done:]:
            if step.refusal:
                raise BuildFailed(step.instruction.text, None, step.refusal)
        for position, step in enumerate(self.steps):
            announce(step.instruction)
            for note in step.notes:
                self.plan.log(f" ---> {note}")
            if position < done:
                if step.change:
                    self.plan.log(" ---> Using cache")
            elif step.is_run:
                with failing_step(step.instruction):
                    await self._run_or_reuse(step, last=position == runs[-1])
            elif step.change:
                self.changes.append((step.instruction, step.change))

    def _cached(self, step: Step) -> Path | None:
        may_use = self.plan.cache.knows(step.key) or self.is_held()
        return self.plan.cache.get(step.key) if may_use else None

    def is_held(self) -> bool:
        """Whether an image of the cache holds all that is taken from this stage, so that nothing of it is made for that."""
        taken = [self.plan.cache.knows(step.key) or stage.is_held() for stage, step in self.takers]
        begun = [stage.is_held() for stage in self.children]
        return bool(taken or begun) and all(taken + begun)

    def inline_keys(self) -> set[str]:
        """The keys of the steps whose results an image of this stage holds."""
        own = {self.key, *(step.key for step in self.steps)}
        return own | (self.parent.inline_keys() if self.parent else set())

    async def _run_or_reuse(self, step: Step, *, last: bool) -> None:
        cache = self.plan.cache
        async with cache.building(step.key):
            # Another build may have made it since this one looked.
            if layer := self._cached(step):
                self.plan.log(" ---> Using cache")
                self.snapshot, self.tree, self.changes = layer, None, []
                return
            tree = await self.materialise(share=self.plan.overlay)
            assert step.change is not None
            started = time.monotonic()
            await step.change(tree, self.plan.overlay)
            # A layer of a quick command would take longer to store than the command to run again.
            if time.monotonic() - started > _WORTH_CACHING:
                # Links will do when nothing writes into this tree's files any more.
                await cache.put(step.key, tree, share=last or self.plan.overlay)

    # ---------------------------------------------------------------- reading

    async def read(self, instruction: Instruction) -> None:
        """Take in one instruction: configuration and keys change, no file does. Raises `BuildFailed`."""
        with failing_step(instruction):
            step = Step(instruction, self.key)
            self.steps.append(step)
            await self._read(instruction, step)
            step.key = self.key

    async def _read(self, instruction: Instruction, step: Step) -> None:
        match instruction.keyword:
            case "RUN":
                await self._run(instruction, step)
            case "COPY" | "ADD":
                await self._copy(instruction, step)
            case "WORKDIR":
                self.working_dir = posixpath.normpath(
                    posixpath.join(self.working_dir, self._expand(instruction.words[0]))
                )
                self._advance(["WORKDIR", self.working_dir])
                step.change = _folder_change(self.working_dir)
            case "ARG":
                self._declare(instruction)
            case "ENV":
                self.env.update(self._pairs(instruction))
            case "LABEL":
                self.labels.update(self._pairs(instruction))
            case "EXPOSE":
                for word in instruction.words:
                    port = self._expand(word)
                    self.ports[port if "/" in port else f"{port}/tcp"] = None
            case keyword if keyword in _IGNORED:
                step.notes.append(f"{keyword} is ignored: {_IGNORED[keyword]}")
            case _:
                self._set(instruction)

    def _set(self, instruction: Instruction) -> None:
        """The instructions that only set one value of the configuration."""
        command = instruction.words if instruction.exec_form else (*self.shell, *instruction.words)
        match instruction.keyword:
            case "USER":
                self.user = self._expand(instruction.words[0])
            case "STOPSIGNAL":
                self.stop_signal = self._expand(instruction.words[0])
            case "SHELL":
                self.shell = instruction.words
            case "CMD":
                self.cmd, self.own_cmd = command, True
            case "ENTRYPOINT":
                self.entrypoint = command
                # As Docker: a new entry point does not get the arguments meant for the base's.
                self.cmd = self.cmd if self.own_cmd else None

    def _expand(self, word: str) -> str:
        return expand(word, {**self.arguments, **self.env}, self.plan.escape)

    def _pairs(self, instruction: Instruction) -> dict[str, str]:
        # All with the values from before the instruction.
        return {self._expand(name): self._expand(value or "") for name, value in instruction.pairs}

    def _declare(self, instruction: Instruction) -> None:
        for name, default in instruction.pairs:
            if name in self.plan.build_args:
                self.arguments[name] = self.plan.build_args[name]
                self.plan.used_arguments.add(name)
            elif default is not None:
                self.arguments[name] = self._expand(default)
            elif name in self.plan.global_arguments:
                self.arguments[name] = self.plan.global_arguments[name]

    def _advance(self, facts: list[object]) -> None:
        self.key = hashlib.sha256(json.dumps([self.key, facts]).encode()).hexdigest()

    # ---------------------------------------------------------------- COPY and ADD

    async def _copy(self, instruction: Instruction, step: Step) -> None:
        *sources, last = (self._expand(word) for word in instruction.words)
        # join drops the last slash only when it is all there is; "." means the folder itself.
        destination = posixpath.join(self.working_dir, last)
        if posixpath.basename(last) in (".", "..") or destination.endswith("/"):
            destination = posixpath.normpath(destination).rstrip("/") + "/"
        owner, mode_text = instruction.flag("chown"), instruction.flag("chmod")
        owner = self._expand(owner) if owner else None
        if mode_text and not re.fullmatch(r"[0-7]{3,4}", mode_text):
            raise CopyError(
                f"invalid chmod parameter: '{mode_text}'. it should be octal string and between 0 and 07777"
            )
        mode = int(mode_text, 8) if mode_text else None
        add = instruction.keyword == "ADD"
        for source in sources:
            if add and re.match(r"(https?|git|ssh)://|git@", source):
                raise CopyError(f"ADD {source}: only local files can be added; fetch it before the build")
        name = instruction.flag("from")
        stage = self.plan.stage(name) if name else None
        content = stage.key if stage else await in_thread(self.plan.context.digest, sources)
        if stage:
            stage.uses.append(sources)
            stage.takers.append((self, step))

        async def change(tree: Path, share: bool) -> None:
            files = await stage.source(name or "") if stage else self.plan.context
            ids = user_ids(tree, owner) if owner else (0, 0)
            shared = share and stage is not None
            move = shared and stage is not None and stage.may_give_away(sources)
            placement = Placement(ids, mode, shared, move)
            await in_thread(add_files if add else copy_files, tree, files, sources, destination, placement)

        self._advance([instruction.keyword, sources, destination, owner, mode, content])
        step.change = change

    # ---------------------------------------------------------------- RUN

    async def _run(self, instruction: Instruction, step: Step) -> None:
        argv = list(instruction.words if instruction.exec_form else (*self.shell, *instruction.words))
        python = self.python
        if python is None:
            raise CopyError(f'exec: "{argv[0]}": stat {argv[0]}: no such file or directory: scratch is empty')
        variables = {**self.arguments, **self.env}
        network = instruction.flag("network") != "none"
        user_name, working_dir = self.user, self.working_dir
        wanted = [
            wish for text in instruction.flags.get("mount", ()) if (wish := self._mount_options(text, step))
        ]
        stages = [self.plan.stage(options["from"]) if "from" in options else None for options in wanted]
        for options, stage in zip(wanted, stages, strict=True):
            if stage:
                stage.uses.append([options["source"]])
        mounted = [
            [options["target"], await self._mount_key(options, stage)]
            for options, stage in zip(wanted, stages, strict=True)
        ]
        self._advance(["RUN", argv, sorted(variables.items()), user_name, working_dir, network, mounted])

        async def change(tree: Path, share: bool) -> None:
            mounts = [await self._mount(*wish) for wish in zip(wanted, stages, strict=True)]
            user = user_ids(tree, user_name)
            env = {"HOME": _home(tree, user[0]), **variables}
            last_lines: list[str] = []

            def hear(line: str) -> None:
                self.plan.log(line)
                last_lines[:] = [*last_lines[1 - _REMEMBERED_LINES :], line]

            command = Command(argv, env, working_dir, user, tuple(mounts), network)
            code = await execute(tree, python, command, self.plan.host, hear, overlay=self.plan.overlay)
            if code:
                message = f"The command '{' '.join(argv)}' returned a non-zero code: {code}"
                raise BuildFailed(instruction.text, code, message + _hint(argv, code, last_lines))

        step.change = change
        step.refusal = _refusal(" ".join(instruction.words))

    def _mount_options(self, text: str, step: Step) -> dict[str, str] | None:
        """The settings of a ``--mount`` flag; None for one that is left out."""
        options = {"type": "bind", "source": "."}
        for part in text.split(","):
            name, _, value = part.partition("=")
            options[_MOUNT_OPTIONS.get(name, name)] = self._expand(value)
        kind = options["type"]
        if kind in ("secret", "ssh"):
            if options.get("required") == "true":
                raise CopyError(f"--mount={text}: this builder has no build secrets")
            step.notes.append(f"--mount=type={kind} is ignored: this builder has no build secrets")
            return None
        if kind not in ("bind", "cache", "tmpfs"):
            raise CopyError(f"--mount={text}: unsupported mount type {kind!r}")
        if "target" not in options:
            raise CopyError(f"--mount={text}: a target is required")
        options["target"] = posixpath.normpath(posixpath.join(self.working_dir, options["target"]))
        return options

    async def _mount_key(self, options: Mapping[str, str], stage: StageBuild | None) -> str:
        """What of a mount decides over the result: the files of a bind, nothing of a cache."""
        if options["type"] != "bind":
            return ""
        if stage:
            return f"{options['source']} {stage.key}"
        return await in_thread(self.plan.context.digest, [options["source"]])

    async def _mount(self, options: Mapping[str, str], stage: StageBuild | None) -> Mount:
        target = options["target"]
        if options["type"] == "tmpfs":
            return Mount("tmpfs", target)
        if options["type"] == "cache":
            return Mount("cache", target, self.plan.cache.mount(options.get("id", target)))
        files = await stage.source(options["from"]) if stage else self.plan.context
        [path, *_] = files.matches(options["source"])
        return Mount("bind", target, files.root / resolve_inside(files.root, path))


_MOUNT_OPTIONS = {"dst": "target", "destination": "target", "src": "source"}


def _folder_change(path: str) -> _Change:
    async def change(tree: Path, share: bool) -> None:
        make_folder(tree, path)

    return change


def _home(tree: Path, uid: int) -> str:
    """The home folder that Docker sets HOME to."""
    passwd = tree / resolve_inside(tree, "etc/passwd")
    lines = passwd.read_text(errors="replace").splitlines() if passwd.is_file() else []
    entries = (line.split(":") for line in lines)
    return next((entry[5] for entry in entries if len(entry) > 5 and entry[2] == str(uid)), "/")


def _refusal(command: str) -> str:
    """Why a RUN is refused before anything of its stage is done: what it would install is what an image has in Cloud Build."""
    manager = _INSTALLS_PACKAGES.search(command)
    return f"{manager[1]} {_NO_PACKAGES}" if manager else ""


_NO_PACKAGES = (
    "cannot install system packages here, because processes share this machine's /usr, which is read-only. "
    + IN_CONTAINERS
)


def _hint(argv: list[str], code: int, last_lines: list[str]) -> str:
    """What to add to a RUN's failure when the reason is what there is of the system, and that it is read-only."""
    manager = _PACKAGE_MANAGER.search(" ".join(argv) + " ")
    output = "\n".join(last_lines)
    if manager and (manager[1] in output or "Read-only file system" in output or not output):
        return f". {manager[1]} {_NO_PACKAGES}"
    if "Read-only file system" in output:
        return f". Processes share this machine's /usr, which is read-only. {IN_CONTAINERS}"
    if code == _COMMAND_NOT_FOUND or _NOT_IN_THE_IMAGE.search(output):
        return (
            ". The image does not have what the command needs, neither here nor in Cloud Build. Use a Python package that brings"
            " it (for example psycopg[binary]), build in a stage from the image without -slim, or install it in the Dockerfile."
            f" {IN_CONTAINERS}"
        )
    return ""
