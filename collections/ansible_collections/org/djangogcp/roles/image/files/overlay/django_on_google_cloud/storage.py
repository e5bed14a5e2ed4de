# Copyright (c) 2026, The djangogcp contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Uploads in a bucket."""

from __future__ import annotations

import mimetypes
import threading
from functools import partial
from typing import Any

from django.core.cache import caches
from storages.backends.gcloud import GoogleCloudStorage

# Python 3.12 and older know this type only in their tables of uncommon ones, and the bucket would serve a download.
mimetypes.add_type("image/webp", ".webp")

#: How many links are signed at the same time at most; what belongs to one lock is signed one after the other.
_SIGNED_AT_ONCE = 64


class SignedMediaStorage(GoogleCloudStorage):
    """Uploads in a private bucket, shown through signed links, each of which is signed once for a time.

    Without a key file each signature is a call to the IAM Credentials API (``projects.serviceAccounts.signBlob``). A
    link is given out again during the first half of its life, so whoever gets it can use it for the other half; and the
    browser, seeing the same address again, has the picture already. Who asks for a link that is being signed waits for it:
    all the first visitors of a new instance see the same pictures.
    """

    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        self._connecting = threading.Lock()
        self._signing = [threading.Lock() for _number in range(_SIGNED_AT_ONCE)]

    @property
    def client(self) -> Any:
        """The client, made once. django-storages lets each of the first threads make credentials of its own, and then reads
        the signer's address from those of another thread, which may not have learnt it yet."""
        with self._connecting:
            return super().client

    def url(self, name: str, parameters: Any = None) -> str:
        """A signed link to the object *name*; one with *parameters* of its own is always signed anew."""
        sign = super().url
        if parameters:
            return sign(name, parameters)
        links, key = caches["signed_urls"], f"{self.bucket_name}/{name}"
        if link := links.get(key):
            return link
        with self._signing[hash(key) % _SIGNED_AT_ONCE]:
            return links.get_or_set(key, partial(sign, name), self.expiration.total_seconds() / 2)
