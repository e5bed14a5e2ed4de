# Copyright (c) 2026, The djangogcp contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""collectstatic for a bucket."""

from __future__ import annotations

import base64
import gzip
import hashlib
import io
import json
import mimetypes
import os
import re
import tempfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from django.conf import settings
from django.contrib.staticfiles.management.commands import collectstatic
from google.cloud import storage

from django_on_google_cloud.static import BucketStaticFilesStorage

_HASHED = re.compile(r"\.[0-9a-f]{12}\.[^.]+$|\.[0-9a-f]{12}$")  # as ManifestStaticFilesStorage names files
_FOREVER = "public, max-age=31536000, immutable"
_SHORTLY = "public, max-age=300"
#: What becomes smaller, beside text/* and what is XML or JSON. Of types that Cloud Storage takes for compressed already it drops the encoding
#: (https://github.com/GoogleCloudPlatform/gsutil/issues/480), and does not say which these are: no pictures and no fonts.
_COMPRESSED = {"application/javascript", "application/json", "application/wasm", "application/xml"}
_DIGEST = re.compile(r"@sha256:([0-9a-f]{64})$")
# Python does not know the maps of sources (https://tc39.es/ecma426/).
mimetypes.add_type("application/json", ".map")


class Command(collectstatic.Command):
    """Collects static files into the bucket that GS_STATIC_BUCKET_NAME names.

    The files are collected and hashed in a temporary folder, then the bucket gets those that it lacks, several at a time.
    Django's way over a remote storage asks about each file one by one, and deletes a style sheet before it writes the
    same one again, while people are looking at it. Nothing is ever deleted from the bucket: releases that still serve,
    and those that one may roll back to, need their files. Which ones these are is told by a list of all files of a
    release, named after the digest of the image that RELEASE_IMAGE says.

    What is text is stored compressed. Cloud Storage gives it so to who takes gzip, and decompresses it for others
    (https://cloud.google.com/storage/docs/transcoding).
    """

    help = "Collect static files in the bucket named by GS_STATIC_BUCKET_NAME."

    def handle(self, **options: Any) -> str | None:
        """Collect, and upload.

        Raises:
            google.api_core.exceptions.GoogleAPIError: the bucket cannot be listed, or a file cannot be uploaded.
        """
        with tempfile.TemporaryDirectory() as folder:
            self.storage = BucketStaticFilesStorage(location=folder)
            # The folder is new: nothing to clear, nothing to be asked about.
            summary: str | None = super().handle(**{**options, "interactive": False, "clear": False})
            if not options["dry_run"]:
                self.upload(Path(folder), storage.Client().bucket(settings.GS_STATIC_BUCKET_NAME))
        return summary

    def upload(self, folder: Path, bucket: storage.Bucket) -> None:
        """Upload each file below `folder` that the bucket lacks or has with another content, and the list of all of them at the end."""
        fields = "items(name,md5Hash,contentEncoding),nextPageToken"
        present = {
            blob.name: (blob.md5_hash, blob.content_encoding) for blob in bucket.list_blobs(fields=fields)
        }

        def upload(name: str, content: bytes) -> bool:
            content_type = mimetypes.guess_type(name)[0] or "application/octet-stream"
            stored, encoding = compressed(content, content_type)
            if present.get(name) == (_md5(stored), encoding):
                return False
            blob = bucket.blob(name)
            blob.cache_control = _FOREVER if _HASHED.search(name) else _SHORTLY
            blob.content_encoding = encoding
            blob.upload_from_string(stored, content_type=content_type)
            return True

        files = {
            path.relative_to(folder).as_posix(): path for path in sorted(folder.rglob("*")) if path.is_file()
        }
        with ThreadPoolExecutor(max_workers=8) as pool:
            # Raises here what an upload raised.
            uploaded = list(pool.map(lambda name: upload(name, files[name].read_bytes()), files))
        image = _DIGEST.search(os.environ.get("RELEASE_IMAGE", ""))
        if image:
            # It lists what is there.
            upload(f".collected/{image[1]}.json", json.dumps({"files": sorted(files)}).encode())
        self.stdout.write(
            f"{sum(uploaded)} of {len(files)} files uploaded to gs://{bucket.name}, the others were there."
        )


def compressed(content: bytes, content_type: str) -> tuple[bytes, str | None]:
    """What is stored of a file, and its Content-Encoding: compressed where that is smaller, the same bytes each time."""
    if not (
        content_type in _COMPRESSED
        or content_type.startswith("text/")
        or content_type.endswith(("+xml", "+json"))
    ):
        return content, None
    packed = io.BytesIO()
    # gzip.compress writes another header in each version of Python.
    with gzip.GzipFile(filename="", mode="wb", compresslevel=9, fileobj=packed, mtime=0) as file:
        file.write(content)
    return (packed.getvalue(), "gzip") if len(packed.getvalue()) < len(content) else (content, None)


def _md5(content: bytes) -> str:
    """The MD5 digest of what is stored as Cloud Storage writes it in `md5Hash`: base64."""
    digest = hashlib.md5(content)  # noqa: S324 - it keeps no secret, and Python 3.8 has no usedforsecurity
    return base64.b64encode(digest.digest()).decode()
