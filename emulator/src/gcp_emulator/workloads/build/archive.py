"""Unpack an archive that somebody else made: nothing leaves the folder, nothing is followed, sizes are bounded.

ADD is here too, because it is COPY that unpacks.
"""

from __future__ import annotations

import os
import shutil
import tarfile
from collections.abc import Sequence
from pathlib import Path

from gcp_emulator.workloads.build.copy import (
    CopyError,
    CopySource,
    Placement,
    copy_files,
    make_folder,
    resolve_inside,
)

MAX_BYTES = 4 << 30
MAX_FILES = 200_000


def unpack_tar(archive: Path, root: Path, destination: str = "/") -> None:
    """Unpack a tar archive (plain or compressed) below ``destination`` of the tree ``root``.

    Paths are resolved inside the tree, whatever links are there; links of the archive are made but never followed on
    the host; devices and pipes are left out; owners are not kept. Raises `CopyError` when the file is not a tar archive,
    is damaged, has a path that leads out of the folder, or unpacks to more than `MAX_BYTES` or `MAX_FILES`.
    """
    size = count = 0
    make_folder(root, destination)
    try:
        with tarfile.open(archive) as content:
            for member in content:
                size, count = size + member.size, count + 1
                if size > MAX_BYTES or count > MAX_FILES:
                    raise CopyError(
                        f"the archive unpacks to more than {MAX_BYTES} bytes or {MAX_FILES} files"
                    )
                _unpack(content, member, root, destination)
    except (tarfile.TarError, EOFError, OSError) as error:
        raise CopyError(f"not a readable tar archive: {error}") from error


def _unpack(content: tarfile.TarFile, member: tarfile.TarInfo, root: Path, destination: str) -> None:
    parts = [part for part in member.name.split("/") if part not in ("", ".")]
    if member.name.startswith("/") or ".." in parts:
        raise CopyError(f"the archive has the path {member.name!r}, which leads out of it")
    if not parts:
        return
    folder = make_folder(root, "/".join([destination, *parts[:-1]]))
    path = folder / parts[-1]
    if member.isdir():
        make_folder(root, "/".join([destination, *parts]))
        return
    if not (member.isfile() or member.islnk() or member.issym()):
        return
    if path.is_dir() and not path.is_symlink():
        raise CopyError(f"the archive has the file {member.name!r}, which is a folder there")
    path.unlink(missing_ok=True)
    if member.issym():
        path.symlink_to(member.linkname)
    elif member.islnk():
        source = root / resolve_inside(root, f"{destination}/{member.linkname}")
        if not source.is_file():
            raise CopyError(
                f"the archive links {member.name!r} to {member.linkname!r}, which it does not hold"
            )
        shutil.copy2(source, path)
    else:
        stream = content.extractfile(member)
        assert stream is not None
        with stream, path.open("wb") as target:
            shutil.copyfileobj(stream, target)
        path.chmod(member.mode & 0o777 | 0o600)
        os.utime(path, (member.mtime, member.mtime))


def add_files(
    tree: Path, source: CopySource, patterns: Sequence[str], destination: str, placement: Placement
) -> None:
    """Do one ADD: like `copy_files`, but local tar archives are unpacked into the destination. Raises `CopyError`."""
    plain = []
    for path in [found for pattern in patterns for found in source.matches(pattern)]:
        archive = source.root / resolve_inside(source.root, path)
        if archive.is_file() and tarfile.is_tarfile(archive):
            unpack_tar(archive, tree, destination)
        else:
            plain.append(path)
    if plain:
        copy_files(tree, source, plain, destination, placement)
