# Copyright (c) 2026, The djangogcp contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""collectstatic for a bucket."""

from __future__ import annotations

import base64
import hashlib
import mimetypes
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


class Command(collectstatic.Command):
    """Collects static files into the bucket that GS_STATIC_BUCKET_NAME names.

    The files are collected and hashed in a temporary folder, then the bucket gets those that it lacks, several at a time.
    Django's way over a remote storage asks about each file one by one, and deletes a style sheet before it writes the
    same one again, while people are looking at it. Nothing is ever deleted from the bucket: releases that still serve,
    and those that one may roll back to, need their files.
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
        """Upload each file below `folder` that the bucket lacks or has with another content."""
        present = {
            blob.name: blob.md5_hash for blob in bucket.list_blobs(fields="items(name,md5Hash),nextPageToken")
        }
        files = {
            path.relative_to(folder).as_posix(): path for path in sorted(folder.rglob("*")) if path.is_file()
        }
        missing = {name: path for name, path in files.items() if present.get(name) != _md5(path)}

        def upload(name: str, path: Path) -> None:
            blob = bucket.blob(name)
            blob.cache_control = _FOREVER if _HASHED.search(name) else _SHORTLY
            content_type = mimetypes.guess_type(name)[0] or "application/octet-stream"
            blob.upload_from_filename(str(path), content_type=content_type)

        with ThreadPoolExecutor(max_workers=8) as pool:
            # Raises here what an upload raised.
            list(pool.map(upload, missing.keys(), missing.values()))
        self.stdout.write(
            f"{len(missing)} of {len(files)} files uploaded to gs://{bucket.name}, the others were there."
        )


def _md5(path: Path) -> str:
    """The MD5 digest of a file as Cloud Storage writes it in `md5Hash`: base64."""
    digest = hashlib.md5(path.read_bytes())  # noqa: S324 - it keeps no secret, and Python 3.8 has no usedforsecurity
    return base64.b64encode(digest.digest()).decode()
