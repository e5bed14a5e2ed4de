"""The bytes of Cloud Storage's objects: immutable files below one folder, written and read off the event loop.

A content is named by a random id, never by its object: overwriting an object makes a new file and then drops the old
one, so that a reader who holds the old file open still gets all of it.
"""

from __future__ import annotations

import asyncio
import base64
import hashlib
import os
import secrets
import zlib
from collections.abc import AsyncIterable, AsyncIterator, Iterable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import BinaryIO

import google_crc32c

from gcp_emulator.engine.faults import require_space

#: Bytes that one trip to a worker thread moves.
_BLOCK = 1024 * 1024


@dataclass(frozen=True)
class Content:
    """A finished file: its id, its length in bytes, and its digests in base64 as Google writes them.

    ``md5`` is None for what was composed of other objects, of which Cloud Storage does not know it.
    """

    id: str
    size: int
    md5: str | None
    crc32c: str


class Files:
    """All contents of one emulator, and the files of unfinished uploads beside them."""

    def __init__(self, folder: Path) -> None:
        self._contents = folder / "contents"
        self._uploads = folder / "uploads"
        for path in (self._contents, self._uploads):
            path.mkdir(parents=True, exist_ok=True, mode=0o700)

    def path(self, content_id: str) -> Path:
        """Where a content is."""
        return self._contents / content_id

    def upload_path(self, upload_id: str) -> Path:
        """Where the bytes of an unfinished upload are collected."""
        return self._uploads / upload_id

    def new_upload(self) -> str:
        """The id of a new, empty upload."""
        upload_id = secrets.token_hex(16)
        self.upload_path(upload_id).touch(mode=0o600)
        return upload_id

    def received(self, upload_id: str) -> int:
        """How many bytes an unfinished upload holds."""
        return self.upload_path(upload_id).stat().st_size

    def truncate(self, upload_id: str, size: int) -> None:
        """Forgets what an unfinished upload holds beyond ``size`` bytes."""
        os.truncate(self.upload_path(upload_id), size)

    async def append(self, upload_id: str, body: AsyncIterable[bytes]) -> None:
        """Adds ``body`` to an unfinished upload; what arrived before a broken connection stays."""
        require_space()
        with self.upload_path(upload_id).open("ab") as file:
            pending = bytearray()
            try:
                async for part in body:
                    pending += part
                    if len(pending) >= _BLOCK:
                        full, pending = pending, bytearray()
                        await asyncio.to_thread(file.write, full)
            finally:
                file.write(pending)

    async def finish(self, upload_id: str) -> Content:
        """Turns an upload into a content, which has the upload's id."""
        content = await asyncio.to_thread(self._digest, upload_id, self.upload_path(upload_id))
        self.upload_path(upload_id).replace(self.path(upload_id))
        return content

    async def store(self, body: AsyncIterable[bytes]) -> Content:
        """A content out of a whole body."""
        upload_id = self.new_upload()
        try:
            await self.append(upload_id, body)
            return await self.finish(upload_id)
        except BaseException:
            self.abandon(upload_id)
            raise

    async def concatenate(self, content_ids: Iterable[str]) -> Content:
        """A content made of others, one after the other."""

        async def parts() -> AsyncIterator[bytes]:
            for content_id in content_ids:
                async for part in self.read(content_id, 0, self.path(content_id).stat().st_size):
                    yield part

        return await self.store(parts())

    def copy(self, content: Content) -> Content:
        """The same bytes under an id of their own, which costs no room."""
        copy = replace(content, id=secrets.token_hex(16))
        os.link(self.path(content.id), self.path(copy.id))
        return copy

    def delete(self, content_id: str) -> None:
        """Frees a content."""
        self.path(content_id).unlink(missing_ok=True)

    def abandon(self, upload_id: str) -> None:
        """Frees an unfinished upload."""
        self.upload_path(upload_id).unlink(missing_ok=True)

    def sweep(self, contents: set[str], uploads: set[str]) -> None:
        """Frees everything that is not named: the remains of a process that was killed."""
        for folder, kept in ((self._contents, contents), (self._uploads, uploads)):
            for path in folder.iterdir():
                if path.name not in kept:
                    path.unlink()

    def read(self, content_id: str, start: int, end: int) -> AsyncIterator[bytes]:
        """The bytes ``start`` to ``end`` (exclusive). The file is opened at once, so a later delete does no harm."""
        file = self.path(content_id).open("rb", buffering=0)
        file.seek(start)
        return _blocks(file, end - start)

    def read_gunzipped(self, content_id: str) -> AsyncIterator[bytes]:
        """The whole content, decompressed."""
        return _gunzip(self.read(content_id, 0, self.path(content_id).stat().st_size))

    @staticmethod
    def _digest(content_id: str, path: Path) -> Content:
        md5, crc, size = hashlib.md5(usedforsecurity=False), google_crc32c.Checksum(), 0
        with path.open("rb", buffering=0) as file:
            while block := file.read(_BLOCK):
                md5.update(block)
                crc.update(block)
                size += len(block)
        return Content(
            content_id, size, base64.b64encode(md5.digest()).decode(), base64.b64encode(crc.digest()).decode()
        )


async def _blocks(file: BinaryIO, length: int) -> AsyncIterator[bytes]:
    with file:
        while length > 0:
            block = await asyncio.to_thread(file.read, min(_BLOCK, length))
            if not block:
                return
            length -= len(block)
            yield block


async def _gunzip(blocks: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
    unpacker = zlib.decompressobj(wbits=zlib.MAX_WBITS | 16)
    async for block in blocks:
        if unpacked := unpacker.decompress(block):
            yield unpacked
    yield unpacker.flush()
