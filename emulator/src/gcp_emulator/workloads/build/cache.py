"""The builder's layer cache: trees after each RUN, by the key of everything that led to them.

A layer is never written to. Whoever continues on one gets a private copy, unless overlayfs keeps it from writing to
the files (see `overlay`); whoever only reads or runs it has hard links.
"""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import json
import os
from collections.abc import AsyncIterator, Callable, Collection, Iterable, Sequence
from pathlib import Path
from typing import TypeVar

from gcp_emulator.workloads.images import remove_tree, tree_entries

_T = TypeVar("_T")


async def in_thread(function: Callable[..., _T], *arguments: object) -> _T:
    """Run blocking code in a thread; a cancelled caller goes on only when the thread has ended, so that nothing is
    still writing to a tree that is being removed."""
    task = asyncio.ensure_future(asyncio.to_thread(function, *arguments))
    try:
        return await asyncio.shield(task)
    except asyncio.CancelledError:
        await asyncio.wait([task])
        raise


async def copy_tree(source: Path, target: Path, *, share: bool) -> None:
    """Copy a tree with owners, modes and times; ``share``: files are hard links, for a copy that nobody writes to.

    `cp` and not Python: it is several times as fast, and clones where the file system can. Raises OSError.
    """
    options = ["-al"] if share else ["-a"]
    process = await asyncio.create_subprocess_exec(
        "cp", *options, "--", str(source), str(target),
        stdin=asyncio.subprocess.DEVNULL, stderr=asyncio.subprocess.PIPE,
    )  # fmt: skip
    try:
        _, said = await process.communicate()
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
    if process.returncode:
        raise OSError(f"cannot copy {source} to {target}: {said.decode(errors='replace').strip()}")


class LayerCache:
    """Layers and results below one folder: ``layers/<key>``, ``results/<key>``, ``inline/<digest>``, ``mounts/`` and ``work/``.

    Keys are SHA-256 in hexadecimal. One process at a time may use the folder.
    """

    def __init__(self, folder: Path, *, max_layers: int, max_bytes: int) -> None:
        """``work`` is emptied: what is left there belongs to builds that were interrupted."""
        self._folder = folder
        self._max_layers = max_layers
        self._max_bytes = max_bytes
        self._locks: dict[str, asyncio.Lock] = {}
        remove_tree(self.work)
        for path in (self.work, folder / "layers", folder / "results", folder / "inline", folder / "mounts"):
            path.mkdir(parents=True, exist_ok=True)

    @property
    def work(self) -> Path:
        """A folder for unfinished trees, on the layers' file system."""
        return self._folder / "work"

    @contextlib.asynccontextmanager
    async def building(self, key: str) -> AsyncIterator[None]:
        """Held while a layer is made, so that two builds which need the same one make it once."""
        lock = self._locks.setdefault(key, asyncio.Lock())
        async with lock:
            yield
        if not lock.locked():
            self._locks.pop(key, None)

    def get(self, key: str) -> Path | None:
        """The tree of a layer, marked as used now, or None."""
        home = self._folder / "layers" / key
        if not home.is_dir():
            return None
        os.utime(home)
        return home / "tree"

    async def put(self, key: str, tree: Path, *, share: bool) -> Path:
        """Store a copy of a tree (see `copy_tree` for ``share``). One that is there stays."""
        if there := self.get(key):
            return there
        incoming = self.work / f"layer-{key}"
        incoming.mkdir()
        try:
            await copy_tree(tree, incoming / "tree", share=share)
            size = await in_thread(
                lambda: sum(status.st_size for _, status in tree_entries(incoming / "tree"))
            )
            (incoming / "size").write_text(str(size))
            home = self._folder / "layers" / key
            incoming.rename(home)
        except BaseException:
            await in_thread(remove_tree, incoming)
            raise
        return home / "tree"

    def result(self, key: str) -> str | None:
        """The digest of the image that a whole build gave, or None."""
        try:
            return str(json.loads((self._folder / "results" / key).read_text())["digest"])
        except FileNotFoundError:
            return None

    def remember_result(self, key: str, digest: str) -> None:
        """Record what `result` gives."""
        (self._folder / "results" / key).write_text(json.dumps({"digest": digest}))

    def inline(self, digest: str) -> frozenset[str]:
        """The keys that `put_inline` recorded for an image; none for one that holds no cache."""
        try:
            return frozenset(json.loads((self._folder / "inline" / digest).read_text()))
        except FileNotFoundError:
            return frozenset()

    def put_inline(self, digest: str, keys: Collection[str]) -> None:
        """Record whose results an image holds (BuildKit's inline cache, which is a part of the image there)."""
        (self._folder / "inline" / digest).write_text(json.dumps(sorted(keys)))

    def mount(self, name: str) -> Path:
        """The folder of a ``--mount=type=cache``, kept from build to build."""
        path = self._folder / "mounts" / hashlib.sha256(name.encode()).hexdigest()[:32]
        path.mkdir(exist_ok=True)
        # Any USER of any build may write there, as in Docker with mode=0777 given.
        path.chmod(0o777)
        return path

    def prune(self) -> None:
        """Forget the layers used longest ago until the rest is within the limits. Not while a build runs."""
        homes = sorted(
            (self._folder / "layers").iterdir(), key=lambda home: home.stat().st_mtime, reverse=True
        )
        kept = 0
        for number, home in enumerate(homes, 1):
            kept += int((home / "size").read_text())
            if number > self._max_layers or (kept > self._max_bytes and number > 1):
                remove_tree(home)
        for name in ("results", "inline"):
            paths = sorted(
                (self._folder / name).iterdir(), key=lambda path: path.stat().st_mtime, reverse=True
            )
            for path in paths[10 * self._max_layers :]:
                path.unlink()


class BuildCache:
    """What of a `LayerCache` one build may use: all of it, or what the machine of a build has, which starts with nothing.

    Such a machine has what its builds made, and what the images of ``--cache-from`` hold: their own layers, not those of
    stages that they only copied from ("inline" is "min" mode: https://docs.docker.com/build/cache/backends/inline/; tried with
    Docker 26.1).
    """

    def __init__(self, layers: LayerCache, machine: set[str] | None, cache_from: Sequence[str]) -> None:
        """``machine``: the keys of what it has, which grow; None: all of the cache. ``cache_from``: the digests of images."""
        self._layers = layers
        self._known = machine
        self.made(key for one in cache_from for key in layers.inline(one))
        self.building = layers.building
        self.mount = layers.mount
        self.remember_result = layers.remember_result
        self.put_inline = layers.put_inline

    def knows(self, key: str) -> bool:
        """Whether the result of the step with this key may be used."""
        return self._known is None or key in self._known

    def get(self, key: str) -> Path | None:
        """As `LayerCache.get`, whether the build knows the step or not: a base image every machine pulls."""
        return self._layers.get(key)

    async def put(self, key: str, tree: Path, *, share: bool) -> Path:
        """As `LayerCache.put`; the build has it from now on."""
        made = await self._layers.put(key, tree, share=share)
        self.made([key])
        return made

    def made(self, keys: Iterable[str]) -> None:
        """The machine has the results of these steps from now on."""
        if self._known is not None:
            self._known.update(keys)

    def result(self, key: str, step: str) -> str | None:
        """The digest of the image that a whole build gave, by its key and that of its last step, or None."""
        return self._layers.result(key) if self.knows(step) else None
