"""The file system of a sandbox as a list of bubblewrap mounts.

An image holds only its own files; the operating system is what of the host's such an image has (see `system`). Where both have
something below one folder (an image that puts its code in ``/usr/src/app``), the folder is made anew and each entry is bound for
itself, the image's in front: a union without overlayfs, which an ordinary user may not mount everywhere.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from gcp_emulator.workloads.images import Image
from gcp_emulator.workloads.sandbox.system import FOLDERS, LIBRARY_CACHE, System

_IMAGE_ONLY = PurePosixPath("/usr/local")
_MADE_BY_THE_SANDBOX = frozenset({"dev", "proc", "sys", "tmp"})


@dataclass(frozen=True)
class Rootfs:
    """What a sandbox sees below ``/``.

    ``tree`` holds the image's own files; ``binds`` are host folders seen read-only at the same path; ``python`` is the path, inside,
    of an interpreter of at least 3.9 that runs process 1.
    """

    tree: Path
    python: str
    system: System
    binds: tuple[str, ...] = ()

    @classmethod
    def of(cls, image: Image) -> Rootfs:
        """The file system of a built image. Raises ValueError for an image that is not based on Python, and
        `gcp_emulator.workloads.sandbox.process.SandboxUnavailable`."""
        if image.python is None:
            raise ValueError(
                f"Image {image.digest} is not based on a python image; this runtime runs images based on python only."
            )
        return cls(image.root, image.python.executable, System.of(image.python), image.python.binds)

    def arguments(self, mount_points: Iterable[str] = ()) -> list[str]:
        """bubblewrap's arguments. ``mount_points`` are absolute paths that the caller mounts next: they are left free
        (their folders are made where the image lacks them)."""
        libraries = f"/{LIBRARY_CACHE}"
        binds = {path: path for path in self.binds}
        if (self.system.root / LIBRARY_CACHE).exists() and not (self.tree / LIBRARY_CACHE).exists():
            binds[str(self.system.root / LIBRARY_CACHE)] = libraries
        free = {PurePosixPath(path) for path in (*mount_points, *binds.values())}
        plan: list[str] = []
        for name in sorted({*_entries(self.tree), *FOLDERS, *(path.parts[1] for path in free)}):
            if name in _MADE_BY_THE_SANDBOX:
                continue
            sources = [self.tree / name]
            if name in FOLDERS:
                sources.insert(0, self.system.root / name)
            _bind(PurePosixPath("/", name), sources, free, plan)
        for source, target in binds.items():
            plan += ["--ro-bind", source, target]
        for path in self.system.masked:
            plan += ["--tmpfs", path]
        return plan

    def arguments_on(self, root: Path, mount_points: Iterable[str] = ()) -> list[str]:
        """bubblewrap's arguments where ``root`` holds image and system already; see `arguments`."""
        plan = ["--bind", str(root), "/"]
        parents = {parent for path in (*mount_points, *self.binds) for parent in PurePosixPath(path).parents}
        for parent in sorted(parents):
            inside = parent.relative_to("/")
            if not any((layer / inside).exists() for layer in (self.tree, self.system.root)):
                # bubblewrap would make it for root alone.
                plan += ["--perms", "0755", "--dir", str(parent)]
        for path in self.binds:
            plan += ["--ro-bind", path, path]
        for path in self.system.masked:
            plan += ["--tmpfs", path]
        return plan


def _bind(place: PurePosixPath, sources: list[Path], free: set[PurePosixPath], plan: list[str]) -> None:
    """Show at ``place`` the union of ``sources``, the last in front, leaving the paths in ``free`` free."""
    if place in free:
        return
    if place == _IMAGE_ONLY and sources[-1].is_dir():
        sources = sources[-1:]
    sources = [source for source in sources if os.path.lexists(source)]
    folders = [source for source in sources if source.is_dir() and not source.is_symlink()]
    missing = [
        path
        for path in free
        if path.is_relative_to(place) and not (folders and (folders[-1] / path.relative_to(place)).exists())
    ]
    if sources and sources[-1].is_symlink():
        plan += ["--symlink", os.readlink(sources[-1]), str(place)]
    elif sources and not folders:
        plan += ["--ro-bind", str(sources[-1]), str(place)]
    elif len(folders) == 1 and not missing:
        plan += ["--ro-bind", str(folders[0]), str(place)]
    elif folders or missing:
        mode = stat.S_IMODE(folders[-1].stat().st_mode) if folders else 0o755
        plan += ["--perms", f"{mode:04o}", "--dir", str(place)]
        names = {name for folder in folders for name in _entries(folder)}
        names |= {path.relative_to(place).parts[0] for path in missing}
        for name in sorted(names):
            _bind(place / name, [folder / name for folder in folders], free, plan)


def _entries(folder: Path) -> list[str]:
    return [entry.name for entry in os.scandir(folder)] if folder.is_dir() else []
