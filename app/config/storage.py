"""Uploads in a private bucket, shown through signed links."""

from __future__ import annotations

import mimetypes
import threading
from functools import partial
from typing import Any

from django.core.cache import caches
from google.cloud.storage import Client
from storages.backends.gcloud import GoogleCloudStorage

# Python 3.11 and 3.12 know this type only in their tables of uncommon ones, and the bucket would serve a download.
mimetypes.add_type("image/webp", ".webp")


class SignedMediaStorage(GoogleCloudStorage):
    """`GoogleCloudStorage` that remembers the links it has signed.

    Without a key file each signature is a call to the IAM Credentials API (`projects.serviceAccounts.signBlob`). A
    link is given out again during the first half of its life, so whoever gets it can use it for the other half; and the
    browser, seeing the same address again, has the picture already.
    """

    def __init__(self, **settings: Any) -> None:
        super().__init__(**settings)
        self._connecting = threading.Lock()

    @property
    def client(self) -> Client:
        """The client, made once. django-storages lets each of the first threads make credentials of its own, and then reads
        the signer's address from those of another thread, which may not have learnt it yet."""
        with self._connecting:
            return super().client

    def url(self, name: str, parameters: dict[str, Any] | None = None) -> str:
        """Return a signed link to the object `name`; one with `parameters` of its own is always signed anew."""
        sign = super().url
        if parameters:
            return sign(name, parameters)
        return caches["signed_urls"].get_or_set(
            f"{self.bucket_name}/{name}", partial(sign, name), timeout=self.expiration.total_seconds() / 2
        )
