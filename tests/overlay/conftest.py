"""Django in this process, for what of the overlay needs its settings and no version of it in particular."""

from __future__ import annotations

import pytest
from django.conf import settings

_CACHE = {"BACKEND": "django.core.cache.backends.locmem.LocMemCache", "LOCATION": "signed_urls"}


@pytest.fixture(scope="session")
def in_process() -> None:
    """Settings as small as can be."""
    import django

    settings.configure(
        CACHES={"default": _CACHE, "signed_urls": _CACHE},
        GS_STATIC_BUCKET_NAME="my-static",
        INSTALLED_APPS=["django_on_google_cloud", "django.contrib.staticfiles"],
        STATIC_URL="https://storage.googleapis.com/my-static/",
        STATICFILES_FINDERS=["django.contrib.staticfiles.finders.FileSystemFinder"],
        USE_TZ=True,
    )
    django.setup()
