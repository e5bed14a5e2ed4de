"""Let a command change a tree without touching its files: overlayfs, where the machine allows it.

With it a tree may be hard links to cached layers, and what the command changed is moved in afterwards; without it
every tree that a command runs on must be a private copy.
"""

from __future__ import annotations

import asyncio
import os
import stat
from dataclasses import dataclass
from pathlib import Path

from gcp_emulator.workloads.images import remove_tree

_MOUNT = 'mount -t overlay overlay -o "$1" "$2" && shift 2 && exec "$@"'
# Renamed folders, metadata-only copies and the index would need more than a plain walk to read. "userxattr", which an
# ordinary user needs, rules the first two out by itself and does not bear to be told.
_ROOT_OPTIONS = "redirect_dir=off,metacopy=off,index=off"
_USER_OPTIONS = "userxattr,index=off"


@dataclass(frozen=True)
class Overlay:
    """A writable view of ``tree`` for one command. All its folders are beside the tree, on the same file system."""

    tree: Path

    @property
    def merged(self) -> Path:
        """Where the view is mounted, for the command only."""
        return self._beside("merged")

    @property
    def upper(self) -> Path:
        """What the command changed."""
        return self._beside("upper")

    def _beside(self, name: str) -> Path:
        return self.tree.with_name(f"{self.tree.name}-{name}")

    def prepare(self) -> list[str]:
        """Make the folders. Returns the words to put before the command, to be run in the tree's parent folder."""
        for name in ("merged", "upper", "scratch"):
            self._beside(name).mkdir()
        status = self.tree.stat()
        self.upper.chmod(stat.S_IMODE(status.st_mode))
        if os.geteuid() == 0:
            os.chown(self.upper, status.st_uid, status.st_gid)
        # Relative names: a comma or a colon in the state's path would end an option.
        name = self.tree.name
        options = f"lowerdir={name},upperdir={name}-upper,workdir={name}-scratch,"
        space = ["--mount", "--propagation", "private"]
        if os.geteuid() == 0:
            options += _ROOT_OPTIONS
        else:
            options += _USER_OPTIONS
            space = ["--user", "--map-root-user", "--mount"]
        return ["unshare", *space, "--", "sh", "-c", _MOUNT, "sh", options, f"{name}-merged"]

    def commit(self) -> None:
        """Move the changes into the tree. Files that did not change stay what they were, links or not."""
        _merge(self.upper, self.tree)

    def remove(self) -> None:
        """Remove everything but the tree."""
        for name in ("merged", "upper", "scratch"):
            remove_tree(self._beside(name))


async def is_available(folder: Path) -> bool:
    """Whether this machine, this user and the file system of ``folder`` can do it. Tries."""
    tree = folder / "overlay-probe"
    tree.mkdir()
    overlay = Overlay(tree)
    try:
        (tree / "gone").touch()
        script = f"cd {tree.name}-merged && touch new && rm gone"
        process = await asyncio.create_subprocess_exec(
            *overlay.prepare(), "sh", "-c", script, cwd=folder,
            stdin=asyncio.subprocess.DEVNULL, stdout=asyncio.subprocess.DEVNULL, stderr=asyncio.subprocess.DEVNULL,
        )  # fmt: skip
        if await process.wait():
            return False
        overlay.commit()
        return sorted(path.name for path in tree.iterdir()) == ["new"]
    except OSError:
        return False
    finally:
        overlay.remove()
        remove_tree(tree)


def _merge(upper: Path, tree: Path) -> None:
    # As an ordinary user: a folder may be closed to its owner; it gets its mode back below.
    tree.chmod(stat.S_IMODE(tree.stat().st_mode) | 0o700)
    for entry in list(os.scandir(upper)):
        target = tree / entry.name
        status = entry.stat(follow_symlinks=False)
        if stat.S_ISCHR(status.st_mode) and status.st_rdev == 0:
            _remove(target)
        elif (
            stat.S_ISDIR(status.st_mode)
            and target.is_dir()
            and not target.is_symlink()
            and not _is_opaque(entry.path)
        ):
            _merge(Path(entry.path), target)
        else:
            _remove(target)
            os.rename(entry.path, target)
    status = upper.stat()
    if os.geteuid() == 0:
        os.chown(tree, status.st_uid, status.st_gid)
    tree.chmod(stat.S_IMODE(status.st_mode))


def _is_opaque(folder: str) -> bool:
    """Whether the command replaced a folder by a new one of the same name."""
    name = "trusted.overlay.opaque" if os.geteuid() == 0 else "user.overlay.opaque"
    try:
        os.getxattr(folder, name)
    except OSError:
        return False
    os.removexattr(folder, name)
    return True


def _remove(path: Path) -> None:
    if path.is_dir() and not path.is_symlink():
        remove_tree(path)
    else:
        path.unlink(missing_ok=True)
