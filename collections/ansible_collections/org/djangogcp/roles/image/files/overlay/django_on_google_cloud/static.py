# Copyright (c) 2026, The djangogcp contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Static files, whose names and manifest belong to the image: a release always finds the names that it was built with."""

from __future__ import annotations

from typing import Any

from django.contrib.staticfiles.storage import ManifestStaticFilesStorage
from whitenoise.storage import CompressedManifestStaticFilesStorage


class _Lenient:
    """Names with hashes, for a project that was not written for them.

    A page or a style sheet that names a file which is not there goes on naming it, as with Django's own storage, where others refuse to
    collect, or answer 500.
    """

    manifest_strict = False

    def hashed_name(self, name: str, *args: Any, **kwargs: Any) -> str:
        """The name with the hash of the file, or as it is if there is no such file."""
        try:
            hashed: str = super().hashed_name(name, *args, **kwargs)  # type: ignore[misc]
        except ValueError:
            return name
        return hashed


class StaticFilesStorage(_Lenient, CompressedManifestStaticFilesStorage):
    """Files that the site serves itself, compressed."""


class BucketStaticFilesStorage(_Lenient, ManifestStaticFilesStorage):
    """Files that a bucket serves, into which ``collectstatic`` brings them (`management.commands.collectstatic`)."""
