"""Build an image from a Dockerfile with processes, without a container engine.

Every stage is an ordinary folder that holds the image's own files; RUN executes in bubblewrap (see `run`), layers
are cached by content (see `cache`).
"""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import json
import platform
import uuid
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from gcp_emulator.workloads.build.base import Interpreters, resolve_base
from gcp_emulator.workloads.build.cache import BuildCache, LayerCache, in_thread
from gcp_emulator.workloads.build.copy import CopyError, CopySource, build_context, resolve_inside
from gcp_emulator.workloads.build.dockerfile import (
    IN_CONTAINERS,
    Dockerfile,
    DockerfileError,
    Instruction,
    Stage,
    expand,
    parse,
)
from gcp_emulator.workloads.build.overlay import is_available
from gcp_emulator.workloads.build.run import HostAccess, Log
from gcp_emulator.workloads.build.stage import BuildFailed, StageBuild, failing_step
from gcp_emulator.workloads.images import Image, ImageStore, remove_tree
from gcp_emulator.workloads.sandbox.process import SandboxUnavailable
from gcp_emulator.workloads.sandbox.system import System

__all__ = ["BuildFailed", "Builder"]

_ARCHITECTURES = {"x86_64": "amd64", "aarch64": "arm64"}
# Build arguments that Docker knows without an ARG.
_PROXY_ARGUMENTS = frozenset({"HTTP_PROXY", "HTTPS_PROXY", "FTP_PROXY", "NO_PROXY", "ALL_PROXY"})
# What BuildKit itself reads, and no Dockerfile has to declare.
_BUILDKIT_ARGUMENTS = frozenset({"BUILDKIT_INLINE_CACHE"})


class Builder:
    """Builds images into an `ImageStore`, keeping its layer cache in a folder on the same file system."""

    def __init__(
        self,
        folder: Path,
        images: ImageStore,
        host: HostAccess,
        *,
        parallel: int = 2,
        max_layers: int = 40,
        max_bytes: int = 8 << 30,
        interpreters: Interpreters | None = None,
        overlay: bool | None = None,
    ) -> None:
        """``parallel`` builds run at once, others wait. ``overlay``: use overlayfs; None: when this machine can. The cache keeps at most ``max_layers`` layers and
        ``max_bytes`` bytes (files shared by layers count in each)."""
        self._images = images
        self._host = host
        self._cache = LayerCache(folder, max_layers=max_layers, max_bytes=max_bytes)
        self._slots = asyncio.Semaphore(parallel)
        self._running = 0
        self._cleanups: set[asyncio.Task[None]] = set()
        self._interpreters = interpreters or Interpreters()
        self._overlay = overlay

    async def build(
        self,
        context_dir: Path,
        dockerfile: str = "Dockerfile",
        *,
        build_args: Mapping[str, str] | None = None,
        target: str | None = None,
        buildkit: bool = True,
        machine: set[str] | None = None,
        cache_from: Sequence[Image] = (),
        inline_cache: bool = False,
        log: Log,
    ) -> Image:
        """See `gcp_emulator.workloads.runtime.ImageBuilder`."""
        async with self._slots:
            self._running += 1
            work = self._cache.work / uuid.uuid4().hex
            work.mkdir()
            try:
                if self._overlay is None:
                    self._overlay = await is_available(work)
                parsed = await in_thread(_read, context_dir, dockerfile)
                if not buildkit:
                    _refuse_mounts(parsed)
                context = build_context(context_dir, dockerfile)
                return await _Build(
                    parsed,
                    context,
                    build_args or {},
                    target,
                    log,
                    work,
                    BuildCache(self._cache, machine, [one.digest for one in cache_from]),
                    self._host,
                    self._interpreters,
                    overlay=self._overlay,
                ).run(self._images, inline_cache=inline_cache)
            except (CopyError, DockerfileError, SandboxUnavailable, OSError) as error:
                raise BuildFailed("", None, str(error)) from error
            finally:
                self._running -= 1
                cleanup = asyncio.create_task(self._clean_up(work))
                self._cleanups.add(cleanup)
                cleanup.add_done_callback(self._cleanups.discard)

    async def close(self) -> None:
        """Wait until everything that ended builds left behind is removed."""
        await asyncio.gather(*self._cleanups)

    async def _clean_up(self, work: Path) -> None:
        """After the image is there: removing thousands of files takes as long as making them."""
        await in_thread(remove_tree, work)
        if not self._running:
            await in_thread(self._cache.prune)


def _read(context: Path, name: str) -> Dockerfile:
    path = context / resolve_inside(context, name)
    if not path.is_file():
        raise CopyError(
            f"unable to prepare context: unable to evaluate symlinks in Dockerfile path: {name}: no such file"
        )
    return parse(path.read_bytes())


def _refuse_mounts(parsed: Dockerfile) -> None:
    if any("mount" in instruction.flags for stage in parsed.stages for instruction in stage.instructions):
        raise DockerfileError(
            "the --mount option requires BuildKit. Refer to https://docs.docker.com/go/buildkit/ to learn how to build "
            "images with BuildKit enabled"
        )


class _Build:
    """One run of a Dockerfile; the `Plan` of its stages."""

    def __init__(
        self,
        parsed: Dockerfile,
        context: CopySource,
        build_args: Mapping[str, str],
        target: str | None,
        log: Log,
        work: Path,
        cache: BuildCache,
        host: HostAccess,
        interpreters: Interpreters,
        *,
        overlay: bool,
    ) -> None:
        self.cache, self.context, self.build_args, self.host, self.log = cache, context, build_args, host, log
        self.escape = parsed.escape
        self.overlay = overlay
        self.used_arguments: set[str] = set()
        self.global_arguments: dict[str, str] = _platform_arguments()
        self._parsed = parsed
        self._work = work
        self._interpreters = interpreters
        self._stages: dict[int, StageBuild] = {}
        self._notes: dict[int, list[str]] = {stage.index: [] for stage in parsed.stages}
        self._current = 0
        self._trees = 0
        self._step = 0
        self._total = 0
        stage = parsed.stage(target) if target else parsed.stages[-1]
        if stage is None:
            raise BuildFailed("", None, f"failed to reach build target {target} in Dockerfile")
        self._target = stage

    async def run(self, images: ImageStore, *, inline_cache: bool) -> Image:
        """Build the needed stages in order and store the last one's image."""
        for instruction in self._parsed.arguments:
            self._declare_globally(instruction)
        needed = [self._parsed.stages[index] for index in sorted(self._needed(self._target))]
        self._total = len(self._parsed.arguments) + sum(len(stage.instructions) + 1 for stage in needed)
        for stage in needed:
            await self._read(stage)
        target = self._stages[self._target.index]
        key = hashlib.sha256(
            json.dumps([target.key, target.config.to_oci()], sort_keys=True).encode()
        ).hexdigest()
        digest = self.cache.result(key, target.key)
        image = images.get(digest) if digest else None
        for instruction in self._parsed.arguments:
            self._announce(instruction)
        for stage in needed:
            self._announce(stage.origin)
            for note in self._notes[stage.index]:
                self.log(f" ---> {note}")
            await self._stages[stage.index].execute(self._announce, wanted=image is None)
        if image is None:
            tree = await target.materialise(share=True)
            image = await in_thread(images.put, tree, target.config, target.python)
            self.cache.remember_result(key, image.digest)
        self.cache.made(target.inline_keys())
        if inline_cache:
            self.cache.put_inline(image.digest, target.inline_keys())
        unused = sorted(set(self.build_args) - self.used_arguments - _PROXY_ARGUMENTS - _BUILDKIT_ARGUMENTS)
        if unused:
            self.log(f"[Warning] One or more build-args [{' '.join(unused)}] were not consumed")
        self.log(f"Successfully built {image.digest.removeprefix('sha256:')[:12]}")
        return image

    async def _read(self, stage: Stage) -> None:
        self._current = stage.index
        with failing_step(stage.origin):
            build = await self._begin(stage)
        proxies = {name: value for name, value in self.build_args.items() if name.upper() in _PROXY_ARGUMENTS}
        build.arguments.update(proxies)
        for instruction in stage.instructions:
            await build.read(instruction)
        self._stages[stage.index] = build

    async def _begin(self, stage: Stage) -> StageBuild:
        reference = expand(stage.base, self.global_arguments, self.escape)
        if not reference:
            raise ValueError(f"base name ({stage.base}) should not be blank")
        if earlier := self._earlier(reference, stage):
            return StageBuild.on_stage(self, self._stages[earlier.index])
        base = await in_thread(resolve_base, reference, self._interpreters)
        if base.note:
            self._notes[stage.index].append(f"Note: {base.note}")
        if base.python:
            self._notes[stage.index].append(f"Python {base.python.version} of {base.python.prefix}")
            system = await in_thread(System.of, base.python)
            if system.missing:
                self._notes[stage.index].append(
                    f"Note: {reference} has packages that this machine does not have, and what needs them fails here only:"
                    f" {', '.join(system.missing)}"
                )
        return StageBuild.on_base(self, base)

    def _announce(self, instruction: Instruction) -> None:
        self._step += 1
        self.log(f"Step {self._step}/{self._total} : {instruction.text}")

    def _declare_globally(self, instruction: Instruction) -> None:
        for name, default in instruction.pairs:
            if name in self.build_args:
                self.global_arguments[name] = self.build_args[name]
                self.used_arguments.add(name)
            elif default is not None:
                self.global_arguments[name] = expand(default, self.global_arguments, self.escape)

    # ---------------------------------------------------------------- stages that refer to stages

    def _needed(self, stage: Stage) -> set[int]:
        needed = {stage.index}
        for reference in self._references(stage):
            if earlier := self._earlier(reference, stage):
                needed |= self._needed(earlier)
        return needed

    def _references(self, stage: Stage) -> Iterator[str]:
        # A base that cannot be expanded is reported with its step, when the stage begins.
        with contextlib.suppress(ValueError):
            yield expand(stage.base, self.global_arguments, self.escape)
        for instruction in stage.instructions:
            yield from instruction.flags.get("from", ())
            for mount in instruction.flags.get("mount", ()):
                yield from (
                    part.removeprefix("from=") for part in mount.split(",") if part.startswith("from=")
                )

    def _earlier(self, reference: str, stage: Stage) -> Stage | None:
        named = [
            other
            for other in self._parsed.stages[: stage.index]
            if other.name == reference.lower() or str(other.index) == reference
        ]
        return named[-1] if named else None

    def stage(self, name: str) -> StageBuild:
        """See `Plan`."""
        earlier = self._earlier(name, self._parsed.stages[self._current])
        if earlier is None:
            raise CopyError(
                f"invalid from flag value {name}: it is not an earlier stage of this Dockerfile, and without a container"
                f" engine other images cannot be pulled. {IN_CONTAINERS}"
            )
        return self._stages[earlier.index]

    def new_tree(self) -> Path:
        """See `Plan`."""
        self._trees += 1
        return self._work / f"tree-{self._trees}"


def _platform_arguments() -> dict[str, str]:
    """The arguments of the platform, in the global scope: a stage gets them with ARG."""
    architecture = _ARCHITECTURES.get(platform.machine(), platform.machine())
    values = {"OS": "linux", "ARCH": architecture, "VARIANT": "", "PLATFORM": f"linux/{architecture}"}
    return {f"{side}{name}": value for side in ("TARGET", "BUILD") for name, value in values.items()}
