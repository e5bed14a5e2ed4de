"""One stage of a build: what each instruction does to the image's configuration, its files and the cache key."""

from __future__ import annotations

import hashlib
import json
import posixpath
import re
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

from gcp_emulator.backends.builder_base import PATH, Base, base_command, finish_base, make_skeleton
from gcp_emulator.backends.builder_cache import LayerCache, copy_tree, in_thread
from gcp_emulator.backends.builder_copy import (
    CopyError,
    CopySource,
    IgnoreRules,
    Placement,
    add_files,
    copy_files,
    make_folder,
    resolve_inside,
)
from gcp_emulator.backends.builder_run import Command, HostAccess, Log, Mount, execute
from gcp_emulator.backends.dockerfile import Instruction, expand
from gcp_emulator.backends.images import ImageConfig, Interpreter, user_ids

_SHELL = ("/bin/sh", "-c")
_IGNORED = {
    "HEALTHCHECK": "Cloud Run has probes of its own and does not use it",
    "VOLUME": "Cloud Run does not make volumes of it",
    "MAINTAINER": "it is deprecated; use LABEL",
}
_PACKAGE_MANAGER = re.compile(r"(?:^|[\s;&|(/])(apt-get|apt|dpkg|apk|yum|dnf|microdnf|zypper)\s")
_REMEMBERED_LINES = 20


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

    cache: LayerCache
    context: CopySource
    build_args: Mapping[str, str]
    global_arguments: dict[str, str]
    host: HostAccess
    log: Log
    escape: str
    used_arguments: set[str]

    def stage(self, name: str) -> StageBuild:
        """A finished stage. Raises `CopyError` when there is none of that name before the current one."""
        ...

    def new_tree(self) -> Path:
        """A path for a tree that lives as long as the build."""
        ...


# Applied to a tree when its files are needed; the flag says whether files may be hard links to their source.
_Change = Callable[[Path, bool], Awaitable[None]]


@dataclass
class StageBuild:
    """The state of a stage between two instructions.

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
    snapshot: Path | None = None
    tree: Path | None = None
    changes: list[_Change] = field(default_factory=list)

    @classmethod
    def on_base(cls, plan: Plan, base: Base) -> StageBuild:
        """A stage that starts with a base image."""
        return cls(plan, base.python, base.key, env=dict(base.env), cmd=base.cmd)

    @classmethod
    async def on_stage(cls, plan: Plan, other: StageBuild) -> StageBuild:
        """A stage that starts with an earlier one (``FROM build``)."""
        return cls(
            plan, other.python, other.key, env=dict(other.env), working_dir=other.working_dir, user=other.user,
            shell=other.shell, cmd=other.cmd, entrypoint=other.entrypoint, ports=dict(other.ports),
            labels=dict(other.labels), stop_signal=other.stop_signal, snapshot=await other.files(),
        )  # fmt: skip

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

    async def source(self, name: str) -> CopySource:
        """The stage, under the name that it was asked for, as the source of COPY --from."""
        return CopySource(await self.files(), f"stage {name}", IgnoreRules())

    async def materialise(self, *, share: bool) -> Path:
        """The stage's tree with all changes applied; ``share`` when nothing will be executed on it any more."""
        if self.tree is None:
            source = self.snapshot or await self._base_layer()
            tree = self.plan.new_tree()
            await copy_tree(source, tree, share=share)
            self.tree, self.snapshot = tree, None
        changes, self.changes = self.changes, []
        for change in changes:
            await change(self.tree, share)
        return self.tree

    async def _base_layer(self) -> Path:
        """The base image's tree; every stage starts with the key of its base."""
        cache, python = self.plan.cache, self.python
        key = hashlib.sha256(f"base {python}".encode()).hexdigest()
        async with cache.building(key):
            if layer := cache.get(key):
                return layer
            tree = self.plan.new_tree()
            await in_thread(make_skeleton, tree, python)
            if python:
                said: list[str] = []
                # With a fixed date pip compiles to files that do not depend on when that was.
                env = {"PATH": PATH, "SOURCE_DATE_EPOCH": "315532800"}
                command = Command(base_command(python), env)
                if await execute(tree, python, command, self.plan.host, said.append):
                    raise BuildFailed(
                        "", None, f"cannot make a base image of {python.executable}: {' '.join(said[-3:])}"
                    )
                await in_thread(finish_base, tree)
            return await cache.put(key, tree, share=True)

    # ---------------------------------------------------------------- instructions

    async def apply(self, instruction: Instruction, *, last_run: bool) -> None:
        """Do one instruction. ``last_run``: no RUN follows in this stage. Raises `BuildFailed`, `CopyError`,
        ValueError (substitution) and LookupError (an unknown user)."""
        match instruction.keyword:
            case "RUN":
                await self._run(instruction, last_run=last_run)
            case "COPY" | "ADD":
                await self._copy(instruction)
            case "WORKDIR":
                self.working_dir = posixpath.normpath(
                    posixpath.join(self.working_dir, self._expand(instruction.words[0]))
                )
                self._change(["WORKDIR", self.working_dir], _folder_change(self.working_dir))
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
                self.plan.log(f" ---> {keyword} is ignored: {_IGNORED[keyword]}")
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

    def _change(self, facts: list[object], change: _Change) -> None:
        self.key = hashlib.sha256(json.dumps([self.key, facts]).encode()).hexdigest()
        self.changes.append(change)

    # ---------------------------------------------------------------- COPY and ADD

    async def _copy(self, instruction: Instruction) -> None:
        *sources, last = (self._expand(word) for word in instruction.words)
        # join drops the last slash only when it is all there is; "." means the folder itself.
        destination = posixpath.join(self.working_dir, last)
        if posixpath.basename(last) in (".", "..") or destination.endswith("/"):
            destination = posixpath.normpath(destination).rstrip("/") + "/"
        owner, mode_text = instruction.flag("chown"), instruction.flag("chmod")
        owner = self._expand(owner) if owner else None
        if mode_text and not re.fullmatch(r"[0-7]{3,4}", mode_text):
            raise CopyError(f"invalid chmod parameter: '{mode_text}'. it should be octal string and between 0 and 07777")
        mode = int(mode_text, 8) if mode_text else None
        add = instruction.keyword == "ADD"
        for source in sources:
            if add and re.match(r"(https?|git|ssh)://|git@", source):
                raise CopyError(f"ADD {source}: only local files can be added; fetch it before the build")
        name = instruction.flag("from")
        stage = self.plan.stage(name) if name else None
        content = stage.key if stage else await in_thread(self.plan.context.digest, sources)

        async def change(tree: Path, share: bool) -> None:
            files = await stage.source(name or "") if stage else self.plan.context
            placement = Placement(user_ids(tree, owner) if owner else (0, 0), mode, share and stage is not None)
            await in_thread(add_files if add else copy_files, tree, files, sources, destination, placement)

        self._change([instruction.keyword, sources, destination, owner, mode, content], change)

    # ---------------------------------------------------------------- RUN

    async def _run(self, instruction: Instruction, *, last_run: bool) -> None:
        cache, log = self.plan.cache, self.plan.log
        argv = list(instruction.words if instruction.exec_form else (*self.shell, *instruction.words))
        variables = {**self.arguments, **self.env}
        network = instruction.flag("network") != "none"
        mounts, mounted = await self._mounts(instruction)
        facts = ["RUN", argv, sorted(variables.items()), self.user, self.working_dir, network, mounted]
        self.key = hashlib.sha256(json.dumps([self.key, facts]).encode()).hexdigest()
        async with cache.building(self.key):
            layer = cache.get(self.key)
            if layer:
                log(" ---> Using cache")
                self.snapshot, self.tree, self.changes = layer, None, []
                return
            tree = await self.materialise(share=False)
            user = user_ids(tree, self.user)
            env = {"HOME": _home(tree, user[0]), **variables}
            last_lines: list[str] = []

            def hear(line: str) -> None:
                log(line)
                last_lines[:] = [*last_lines[1 - _REMEMBERED_LINES :], line]

            command = Command(argv, env, self.working_dir, user, tuple(mounts), network)
            code = await execute(tree, self.python, command, self.plan.host, hear)
            if code:
                message = f"The command '{' '.join(argv)}' returned a non-zero code: {code}"
                raise BuildFailed(instruction.text, code, message + _hint(argv, last_lines))
            # When no RUN follows nothing writes into this tree's files any more, and the layer may be links to them.
            await cache.put(self.key, tree, share=last_run)

    async def _mounts(self, instruction: Instruction) -> tuple[list[Mount], list[object]]:
        """A RUN's ``--mount`` flags, and what of them counts for the key."""
        mounts: list[Mount] = []
        facts: list[object] = []
        for text in instruction.flags.get("mount", ()):
            options = {}
            for part in text.split(","):
                name, _, value = part.partition("=")
                options[_MOUNT_OPTIONS.get(name, name)] = self._expand(value)
            kind = options.get("type", "bind")
            target = posixpath.normpath(posixpath.join(self.working_dir, options.get("target", "")))
            if kind in ("secret", "ssh"):
                if options.get("required") == "true":
                    raise CopyError(f"--mount={text}: this builder has no build secrets")
                self.plan.log(f" ---> --mount=type={kind} is ignored: this builder has no build secrets")
                continue
            if "target" not in options:
                raise CopyError(f"--mount={text}: a target is required")
            if kind == "bind":
                mount, content = await self._bind(options, target)
                mounts.append(mount)
                facts.append([target, content])
            elif kind == "cache":
                mounts.append(Mount("cache", target, self.plan.cache.mount(options.get("id", target))))
            elif kind == "tmpfs":
                mounts.append(Mount("tmpfs", target))
            else:
                raise CopyError(f"--mount={text}: unsupported mount type {kind!r}")
        return mounts, facts

    async def _bind(self, options: Mapping[str, str], target: str) -> tuple[Mount, str]:
        source = options.get("source", ".")
        if name := options.get("from"):
            stage = self.plan.stage(name)
            content, files = stage.key, await stage.source(name)
        else:
            files = self.plan.context
            content = await in_thread(files.digest, [source])
        [path, *_] = files.matches(source)
        return Mount("bind", target, files.root / resolve_inside(files.root, path)), f"{source} {content}"


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


def _hint(argv: list[str], last_lines: list[str]) -> str:
    """What to add to a RUN's failure when the reason is the host's read-only system."""
    manager = _PACKAGE_MANAGER.search(" ".join(argv) + " ")
    output = "\n".join(last_lines)
    if manager and (manager[1] in output or "Read-only file system" in output or not output):
        return (
            f". {manager[1]} cannot install system packages here: without a container engine /usr is this machine's own,"
            " read-only. Install the package on the machine, or use a Python package that brings its libraries (for"
            " example psycopg2-binary)"
        )
    if "Read-only file system" in output:
        return ". Without a container engine the operating system in /usr is this machine's own, read-only"
    return ""
