"""The builder ``gcr.io/cloud-builders/docker``: what ``docker build``, ``tag`` and ``push`` do in a build step.

Other builders are programs of their own in containers, which the emulator does not run.
"""

from __future__ import annotations

import argparse
import os
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import NoReturn

from gcp_emulator.services.artifactregistry.ports import PushRefusedError
from gcp_emulator.workloads.build.builder import BuildFailed
from gcp_emulator.workloads.images import Image
from gcp_emulator.workloads.runtime import ImageBuilder

Log = Callable[[str], None]
Push = Callable[[str, Image], str]
#: The image of a reference, or None when it cannot be pulled.
Pull = Callable[[str], Image | None]

_NAMES = ("gcr.io/cloud-builders/docker", "docker")
#: Exit codes of the docker command: a wrong command line, and a failed command.
_USAGE, _FAILED = 125, 1


class StepFailed(Exception):  # noqa: N818 - the outcome of a step
    """A step that ended with an exit code; its output says why."""

    def __init__(self, exit_code: int) -> None:
        super().__init__(f"step exited with non-zero status: {exit_code}")
        self.exit_code = exit_code


class _Parser(argparse.ArgumentParser):
    def error(self, message: str) -> NoReturn:
        raise ValueError(message)


def _build_parser() -> _Parser:
    parser = _Parser(prog="docker build", add_help=False, allow_abbrev=False)
    parser.add_argument("-t", "--tag", action="append", default=[])
    parser.add_argument("-f", "--file")
    parser.add_argument("--build-arg", action="append", default=[])
    parser.add_argument("--target")
    parser.add_argument("--label", action="append", default=[])
    parser.add_argument("--cache-from", action="append", default=[])
    for flag in ("--network", "--platform", "--progress"):
        parser.add_argument(flag, action="append", dest="ignored", default=[])
    for flag in ("--no-cache", "--pull"):
        parser.add_argument(flag, action="append_const", const=flag, dest="ignored")
    parser.add_argument("-q", "--quiet", action="store_true")
    parser.add_argument("path")
    return parser


class Docker:
    """The images of one build, as the docker daemon of its machine knows them."""

    def __init__(self, builder: ImageBuilder, workspace: Path, push: Push, pull: Pull) -> None:
        self._builder = builder
        self._workspace = workspace
        self._push = push
        self._pull = pull
        #: What its builds have made; a build begins on a machine that has nothing.
        self._machine: set[str] = set()
        #: By every name that the build gave them, with its tag.
        self.images: dict[str, Image] = {}

    @staticmethod
    def is_builder(name: str) -> bool:
        """Whether a step's ``name`` is this builder, in any version."""
        return name.split("@")[0].partition(":")[0] in _NAMES

    def find(self, name: str) -> Image | None:
        """The image of a name; without a tag it is ``latest``."""
        return self.images.get(_tagged(name))

    async def run(self, args: Sequence[str], folder: str, env: Mapping[str, str], log: Log) -> None:
        """``docker ARGS`` in a folder of the workspace. Raises `StepFailed`."""
        command, *rest = args or [""]
        try:
            match command:
                case "build":
                    await self._build(rest, folder, env, log)
                case "tag" if len(rest) == 2:
                    self.images[_tagged(rest[1])] = self._require(rest[0])
                case "push" if len(rest) == 1:
                    push_image(rest[0], self._require(rest[0]), self._push, log)
                case "tag" | "push":
                    raise ValueError(f'"docker {command}" got {len(rest)} arguments')
                case _:
                    raise ValueError(
                        f"'{command}' is not emulated; the emulator's docker knows build, tag and push"
                    )
        except ValueError as error:
            log(f"docker: {error}.")
            raise StepFailed(_USAGE) from error
        except (LookupError, PushRefusedError) as error:
            log(str(error.args[0]))
            raise StepFailed(_FAILED) from error

    async def _build(self, args: Sequence[str], folder: str, env: Mapping[str, str], log: Log) -> None:
        options = _build_parser().parse_args(list(args))
        for value in options.ignored or ():
            log(f"Note: the emulator's builder ignores {value}")
        if options.label:
            raise ValueError("--label is not emulated; use LABEL in the Dockerfile")
        if "://" in options.path or options.path == "-":
            raise ValueError(f"the context must be a folder of the workspace, not {options.path}")
        here = os.path.normpath(self._workspace / folder)
        context = Path(os.path.normpath(os.path.join(here, options.path)))
        if not context.is_relative_to(self._workspace) or not context.resolve().is_relative_to(
            self._workspace.resolve()
        ):
            raise ValueError(f"the context must be a folder of the workspace, not {options.path}")
        if not context.is_dir():
            raise ValueError(f"unable to prepare context: path {options.path!r} not found")
        dockerfile = (
            os.path.relpath(os.path.join(here, options.file), context) if options.file else "Dockerfile"
        )
        build_args = {}
        for text in options.build_arg:
            name, equals, value = text.partition("=")
            # Without a value it is the step's own variable.
            if equals or name in env:
                build_args[name] = value if equals else env[name]
        # Off unless asked for, as in Google's builder (Cloud Build runs docker 20.10).
        buildkit = env.get("DOCKER_BUILDKIT") == "1"
        try:
            image = await self._builder.build(
                context,
                dockerfile,
                build_args=build_args,
                target=options.target,
                buildkit=buildkit,
                machine=self._machine,
                cache_from=self._caches(options.cache_from, log) if buildkit else [],
                inline_cache=buildkit and build_args.get("BUILDKIT_INLINE_CACHE") == "1",
                log=log,
            )
        except BuildFailed as failed:
            log(failed.message)
            raise StepFailed(failed.exit_code or _FAILED) from failed
        for name in options.tag:
            self.images[_tagged(name)] = image
            log(f"Successfully tagged {_tagged(name)}")

    def _caches(self, names: Sequence[str], log: Log) -> list[Image]:
        """The images whose inline caches a build uses; BuildKit goes on without one that it cannot pull."""
        found = []
        for name in names:
            log(f"importing cache manifest from {name}")
            image = self.find(name) or self._pull(name)
            if image is None:
                log(f"ERROR: {name}: not found")
            else:
                found.append(image)
        return found

    def _require(self, name: str) -> Image:
        image = self.find(name)
        if image is None:
            raise LookupError(f"An image does not exist locally with the tag: {name}")
        return image


def push_image(name: str, image: Image, push: Push, log: Log) -> str:
    """``docker push``: returns the digest. Raises `PushRefusedError`."""
    repository, _, tag = _tagged(name).rpartition(":")
    log(f"The push refers to repository [{repository}]")
    digest = push(name, image)
    log(f"{tag}: digest: {digest} size: {image.size}")
    return digest


def _tagged(name: str) -> str:
    return name if ":" in name.rpartition("/")[2] else f"{name}:latest"
