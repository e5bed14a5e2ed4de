"""Settings of `manage.py test`: nothing has to be set, and nothing leaves the process.

TEST_DATABASE_URL names a server of another kind, whose user may make databases: the tests make one of their own there.
"""

from __future__ import annotations

import os
import tempfile
from pathlib import Path

os.environ.update({"DEBUG": "true", "DATABASE_URL": os.environ.get("TEST_DATABASE_URL", "sqlite://:memory:")})
# Empty and not only absent: a developer's .env may set them.
for name in ("GS_MEDIA_BUCKET_NAME", "GS_STATIC_BUCKET_NAME", "ALLOWED_HOSTS"):
    os.environ[name] = ""

from config import settings
from config.settings import *  # noqa: F403
from config.settings import DATABASES

DEBUG = False
if settings.DATABASES["default"]["ENGINE"] == "django.db.backends.sqlite3":
    # In a file: threads that share a database in memory do not wait for each other, as they do for a file.
    _folder = tempfile.TemporaryDirectory(prefix="test-")
    DATABASES["default"]["TEST"] = {"NAME": str(Path(_folder.name) / "test.sqlite3")}
SECRET_KEY = "only-for-tests"  # noqa: S105
STORAGES = {
    "default": {"BACKEND": "django.core.files.storage.InMemoryStorage"},
    "staticfiles": {"BACKEND": "django.contrib.staticfiles.storage.StaticFilesStorage"},
}
PASSWORD_HASHERS = ["django.contrib.auth.hashers.MD5PasswordHasher"]  # the safe ones are slow on purpose
# Tests look at logs with assertLogs().
LOGGING = {
    "version": 1,
    "loggers": {"django": {"handlers": [], "level": "INFO", "propagate": True}},
    "handlers": {"none": {"class": "logging.NullHandler"}},
    "root": {"handlers": ["none"], "level": "INFO"},
}
