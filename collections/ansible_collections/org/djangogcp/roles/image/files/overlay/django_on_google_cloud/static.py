# Copyright (c) 2026, The djangogcp contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Static files in the image."""

from __future__ import annotations

from typing import Any

from whitenoise.storage import CompressedManifestStaticFilesStorage


class StaticFilesStorage(CompressedManifestStaticFilesStorage):
    """Names with hashes, and compressed files, for a project that was not written for them.

    A page or a style sheet that names a file which is not there goes on naming it, as with Django's own storage, where others refuse to
    collect, or answer 500.
    """

    manifest_strict = False

    def hashed_name(self, name: str, *args: Any, **kwargs: Any) -> str:
        """The name with the hash of the file, or as it is if there is no such file."""
        try:
            return super().hashed_name(name, *args, **kwargs)
        except ValueError:
            return name
