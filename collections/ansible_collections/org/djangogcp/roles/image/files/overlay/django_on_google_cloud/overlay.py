# Copyright (c) 2026, The djangogcp contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What Google Cloud needs of settings, laid over those of any project. Imports nothing of Django: settings are what it is asked for."""

from __future__ import annotations

import datetime
import os
import re
from pathlib import Path
from typing import Any, Mapping

from django_on_google_cloud import database, logs

_PACKAGE = __package__
_SECURITY = "django.middleware.security.SecurityMiddleware"
_WHITENOISE = "whitenoise.middleware.WhiteNoiseMiddleware"
_POSTGRESQL = "django.contrib.postgres"
_FILES = "django.core.files.storage.FileSystemStorage"
_LOCAL_CACHE = "django.core.cache.backends.locmem.LocMemCache"
_LOCAL_LAYER = "channels.layers.InMemoryChannelLayer"
#: What a value of LOCATION of a cache, or a host of a channel layer, names that only a developer's machine has.
_LOOPBACK = re.compile(
    r"(?:\w+://)?(?:[^@/]*@)?(?:localhost|127\.\d+\.\d+\.\d+|\[::1\])(?::\d+)?(?:/.*)?", re.IGNORECASE
)
#: Backends of e-mail that send nothing, or need a server on the machine itself.
_NO_MAIL = {
    f"django.core.mail.backends.{name}.EmailBackend" for name in ("console", "dummy", "filebased", "locmem")
}
#: Secrets that may be in a file which another variable names.
_SECRETS = ("SECRET_KEY", "DATABASE_URL")
_SMTP = "django.core.mail.backends.smtp.EmailBackend"
#: Settings of e-mail that the environment may say, each with its kind.
_MAIL: dict[str, Any] = {
    "EMAIL_HOST": str,
    "EMAIL_PORT": int,
    "EMAIL_HOST_USER": str,
    "EMAIL_HOST_PASSWORD": str,
    "EMAIL_USE_TLS": bool,
    "EMAIL_USE_SSL": bool,
    "DEFAULT_FROM_EMAIL": str,
    "SERVER_EMAIL": str,
}


def _is_on(said: str) -> bool:
    return said.strip().lower() in ("1", "true", "yes", "on")


def _listed(said: str) -> list[str]:
    return [word.strip() for word in said.split(",") if word.strip()]


def environment(environ: Mapping[str, str]) -> dict[str, str]:
    """What a project's settings find in the environment beside what is there: what they call otherwise, and that nobody debugs here.

    ``DJANGO_ENVIRONMENT_NAMES`` says it: ``DB_HOST=DATABASE_HOST DB_NAME=DATABASE_NAME`` (`database.variables`, or any variable).
    ``SECRET_KEY`` and ``DATABASE_URL`` may be in files, which ``SECRET_KEY_FILE`` and ``DATABASE_URL_FILE`` name.

    Raises:
        ValueError: ``DATABASE_URL`` is no address.
        OSError: a file of a secret cannot be read.
    """
    # 0 is what every library that reads booleans takes for false, and an integer, too.
    found = {"DEBUG": "0", "DJANGO_DEBUG": "0"}
    secrets = {
        name: Path(environ[f"{name}_FILE"]).read_text("utf-8").strip()
        for name in _SECRETS
        if name not in environ and environ.get(f"{name}_FILE")
    }
    found.update(secrets)
    known = {**environ, **secrets}
    if known.get("DATABASE_URL"):
        known.update(database.variables(known["DATABASE_URL"]))
    for word in environ.get("DJANGO_ENVIRONMENT_NAMES", "").split():
        name, _equals, source = word.partition("=")
        if source in known:
            found[name] = known[source]
    return {name: value for name, value in found.items() if name not in environ}


def laid_over(
    project: Mapping[str, Any],
    environ: Mapping[str, str],
    base: Path,
    version: tuple[Any, ...],
    *,
    is_asgi: bool = False,
) -> dict[str, Any]:
    """The settings that Django gets.

    Args:
        project: the project's own, by name.
        environ: the environment.
        base: the folder in which the project's packages are.
        version: ``django.VERSION``.
        is_asgi: whether an ASGI server asks for them.

    Raises:
        ValueError: ``DATABASE_URL`` is no address, or another variable has no value of its kind.
    """
    return _Overlay(project, environ, base, version, is_asgi).settings


class _Overlay:
    def __init__(
        self,
        project: Mapping[str, Any],
        environ: Mapping[str, str],
        base: Path,
        version: tuple[Any, ...],
        is_asgi: bool,
    ) -> None:
        self.project = project
        self.environ = environ
        self.base = base
        self.version = version[:2]
        self.is_asgi = is_asgi
        self.apps = list(project.get("INSTALLED_APPS") or [])
        #: What comes before and after SecurityMiddleware.
        self.first = [f"{_PACKAGE}.middleware.health", f"{_PACKAGE}.middleware.traced"]
        if environ.get("MAINTENANCE_RETRY_AFTER"):
            self.first.append(f"{_PACKAGE}.middleware.maintenance")
        self.after_security: list[str] = []
        self.settings = dict(project)
        for lay in (
            self.core,
            self.https,
            self.databases,
            self.media,
            self.static_files,
            self.caches,
            self.channel_layers,
            self.mail,
            self.logging,
            self.middleware,
        ):
            lay()

    def core(self) -> None:
        """Debugging, the key, the hosts and the site's address."""
        environ, settings = self.environ, self.settings
        settings["DEBUG"] = _is_on(environ.get("DEBUG", ""))
        if environ.get("SECRET_KEY"):
            settings["SECRET_KEY"] = environ["SECRET_KEY"]
        fallbacks = _listed(environ.get("SECRET_KEY_FALLBACKS", ""))
        if fallbacks:
            settings["SECRET_KEY_FALLBACKS"] = [*fallbacks, *self.project.get("SECRET_KEY_FALLBACKS", [])]
        hosts = _listed(environ.get("ALLOWED_HOSTS", ""))
        if hosts:
            # The project's own, but everybody.
            own = [host for host in self.project.get("ALLOWED_HOSTS") or [] if host != "*"]
            settings["ALLOWED_HOSTS"] = list(dict.fromkeys([*hosts, *own]))
        origins = _listed(environ.get("CSRF_TRUSTED_ORIGINS", ""))
        if origins:
            # Before Django 4.0 they were hosts (its release notes, "CSRF_TRUSTED_ORIGINS changes").
            said = origins if self.version >= (4, 0) else [one.partition("://")[2] for one in origins]
            own = list(self.project.get("CSRF_TRUSTED_ORIGINS") or [])
            settings["CSRF_TRUSTED_ORIGINS"] = list(dict.fromkeys([*said, *own]))
            if "wagtail" in self.apps and "://example.com" in self.project.get(
                "WAGTAILADMIN_BASE_URL", "://example.com"
            ):
                settings["WAGTAILADMIN_BASE_URL"] = origins[0]

    def https(self) -> None:
        """Google's front end ends HTTPS, and always sets the header itself. What the project says of redirects and HSTS stands; of a
        policy for contents (CSP) only the project knows anything."""
        settings = self.settings
        settings.setdefault("SECURE_PROXY_SSL_HEADER", ("HTTP_X_FORWARDED_PROTO", "https"))
        settings["SESSION_COOKIE_SECURE"] = settings["CSRF_COOKIE_SECURE"] = True
        settings.setdefault("SECURE_SSL_REDIRECT", True)
        # Where nothing ends HTTPS, as on a developer's machine, the environment has to say so.
        for name in ("SECURE_SSL_REDIRECT", "SESSION_COOKIE_SECURE", "CSRF_COOKIE_SECURE"):
            if self.environ.get(name):
                settings[name] = _is_on(self.environ[name])
        # An hour, as Django advises to begin with (its documentation, "HTTP Strict Transport Security").
        settings.setdefault("SECURE_HSTS_SECONDS", 3600)
        settings.setdefault("SECURE_CONTENT_TYPE_NOSNIFF", True)
        settings.setdefault("SECURE_REFERRER_POLICY", "same-origin")

    def databases(self) -> None:
        url = self.environ.get("DATABASE_URL")
        if not url:
            return
        own = dict(self.project.get("DATABASES") or {})
        was_postgresql = database.is_postgresql(own.get("default") or {})
        age = self.environ.get("CONN_MAX_AGE")
        own["default"] = database.laid_over(
            own.get("default") or {},
            url,
            max_age=int(age) if age else None,
            statement_timeout=int(self.environ.get("DATABASE_STATEMENT_TIMEOUT") or 0),
            is_geographic="django.contrib.gis" in self.apps,
            is_asgi=self.is_asgi,
        )
        self.settings["DATABASES"] = own
        # Libraries choose fields by the kind of server, and since 6.0 Django refuses PostgreSQL's without this (its release notes, "django.contrib.postgres").
        is_new = database.is_postgresql(own["default"]) and not was_postgresql
        if is_new and self.version >= (6, 0) and not any(app.startswith(_POSTGRESQL) for app in self.apps):
            self.apps.append(_POSTGRESQL)
            self.settings["INSTALLED_APPS"] = self.apps

    def storage(self, alias: str) -> str:
        """The backend that the project has for *alias*, whichever setting says it."""
        old = {"default": "DEFAULT_FILE_STORAGE", "staticfiles": "STATICFILES_STORAGE"}[alias]
        own = self.project.get("STORAGES") or {}
        return str((own.get(alias) or {}).get("BACKEND") or self.project.get(old) or "")

    def store(self, alias: str, backend: str) -> None:
        """Have *backend* for *alias*, by the setting that this Django has (its release notes, 4.2)."""
        old = {"default": "DEFAULT_FILE_STORAGE", "staticfiles": "STATICFILES_STORAGE"}
        if self.version < (4, 2):
            self.settings[old[alias]] = backend
            return
        # Either setting, but not both.
        storages = dict(self.settings.get("STORAGES") or {})
        for other, name in old.items():
            said = self.settings.pop(name, None)
            if said and other not in storages:
                storages[other] = {"BACKEND": said}
        storages.setdefault("default", {"BACKEND": _FILES})
        storages.setdefault(
            "staticfiles", {"BACKEND": "django.contrib.staticfiles.storage.StaticFilesStorage"}
        )
        storages[alias] = {"BACKEND": backend}
        self.settings["STORAGES"] = storages

    def media(self) -> None:
        """Uploads in the private bucket, unless the project has a place of its own that is not this machine's disk."""
        bucket = self.environ.get("GS_MEDIA_BUCKET_NAME")
        backend = self.storage("default")
        if not bucket or (backend not in ("", _FILES) and "gcloud" not in backend):
            return
        self.store("default", f"{_PACKAGE}.storage.SignedMediaStorage")
        # As settings, and not as options of the backend: others read them, too (django-filer, Wagtail's check W004).
        self.settings.update(
            {
                "GS_BUCKET_NAME": bucket,
                "GS_DEFAULT_ACL": None,  # uniform bucket-level access: objects have no ACL
                "GS_FILE_OVERWRITE": False,
                "GS_QUERYSTRING_AUTH": True,
                # The service account signs through the IAM Credentials API: no key file. Made so, a signature may stop working
                # after 12 hours: https://cloud.google.com/storage/docs/authentication/creating-signatures
                "GS_IAM_SIGN_BLOB": True,
                "GS_EXPIRATION": datetime.timedelta(hours=6),
                "GS_OBJECT_PARAMETERS": {"cache_control": "private, max-age=86400, immutable"},
            }
        )

    def static_files(self) -> None:
        """Static files from the public bucket, else from the image by WhiteNoise."""
        settings = self.settings
        bucket = self.environ.get("GS_STATIC_BUCKET_NAME")
        settings["STATIC_ROOT"] = self.static_root()
        if "django.contrib.staticfiles" not in self.apps:
            self.apps.append("django.contrib.staticfiles")
            settings["INSTALLED_APPS"] = self.apps
        if bucket:
            self.store("staticfiles", f"{_PACKAGE}.static.BucketStaticFilesStorage")
            # Before staticfiles, whose collectstatic it replaces.
            settings["INSTALLED_APPS"] = [_PACKAGE, *self.apps]
            settings["GS_STATIC_BUCKET_NAME"] = bucket
            # Google's own variable for another server than Cloud Storage; the client library reads it, too.
            server = self.environ.get("STORAGE_EMULATOR_HOST") or "https://storage.googleapis.com"
            settings["STATIC_URL"] = f"{server.rstrip('/')}/{bucket}/"
            return
        url = str(settings.get("STATIC_URL") or "")
        if not url or "//" in url:
            settings["STATIC_URL"] = "/static/"
        if "whitenoise" not in self.storage("staticfiles"):
            self.store("staticfiles", f"{_PACKAGE}.static.StaticFilesStorage")
        if not any("whitenoise" in str(one) for one in self.project.get("MIDDLEWARE") or []):
            self.after_security.append(_WHITENOISE)

    def static_root(self) -> str:
        """Where static files are collected: in the project's folder, which is what an image takes along."""
        own = self.project.get("STATIC_ROOT")
        root = os.path.normpath(os.path.join(str(self.base), str(own))) if own else ""
        sources = [
            one[1] if isinstance(one, (list, tuple)) else one
            for one in self.project.get("STATICFILES_DIRS") or []
        ]
        taken = {os.path.normpath(os.path.join(str(self.base), str(one))) for one in sources}
        if root.startswith(str(self.base) + os.sep) and root not in taken:
            return root
        return os.path.join(str(self.base), "collected_static")

    def caches(self) -> None:
        """The project's caches but those on a developer's machine, and one for signed links."""
        caches = {
            name: {"BACKEND": _LOCAL_CACHE, "LOCATION": name} if _is_local(cache) else cache
            for name, cache in (self.project.get("CACHES") or {}).items()
        }
        caches.setdefault("default", {"BACKEND": _LOCAL_CACHE, "LOCATION": "default"})
        caches["signed_urls"] = {
            "BACKEND": _LOCAL_CACHE,
            "LOCATION": "signed_urls",
            "OPTIONS": {"MAX_ENTRIES": 5000},
        }
        self.settings["CACHES"] = caches
        alias = self.project.get("SESSION_CACHE_ALIAS", "default")
        if caches.get(alias, {}).get("BACKEND") == _LOCAL_CACHE and (
            self.project.get("SESSION_ENGINE") == "django.contrib.sessions.backends.cache"
        ):
            # Each process would know its own sessions only.
            self.settings["SESSION_ENGINE"] = "django.contrib.sessions.backends.cached_db"

    def channel_layers(self) -> None:
        """The project's channel layers, but those in Redis on a developer's machine, where the tutorial of Channels has one: what one process
        says, another then does not hear."""
        layers = self.project.get("CHANNEL_LAYERS")
        if layers:
            self.settings["CHANNEL_LAYERS"] = {
                name: {"BACKEND": _LOCAL_LAYER} if _is_local_layer(layer) else layer
                for name, layer in layers.items()
            }

    def mail(self) -> None:
        """The mail server that the environment names; where nobody names one, messages are said not to be sent."""
        settings, environ = self.settings, self.environ
        for name, kind in _MAIL.items():
            if environ.get(name):
                settings[name] = _is_on(environ[name]) if kind is bool else kind(environ[name])
        backend = self.project.get("EMAIL_BACKEND", _SMTP)
        if environ.get("EMAIL_HOST"):
            if backend in _NO_MAIL:
                settings["EMAIL_BACKEND"] = _SMTP
        elif backend in _NO_MAIL or (
            backend == _SMTP and _LOOPBACK.fullmatch(self.project.get("EMAIL_HOST") or "localhost")
        ):
            settings["EMAIL_BACKEND"] = f"{_PACKAGE}.mail.UnsentEmailBackend"

    def logging(self) -> None:
        """JSON on standard output, unless the project sets logging up by other means than Django's, or a person debugs it and reads the lines."""
        if self.settings["DEBUG"]:
            return
        if self.project.get("LOGGING_CONFIG", "logging.config.dictConfig") == "logging.config.dictConfig":
            project = self.environ.get("GOOGLE_CLOUD_PROJECT", "")
            self.settings["LOGGING"] = logs.laid_over(self.project.get("LOGGING"), project)

    def middleware(self) -> None:
        own = list(self.project.get("MIDDLEWARE") or [])
        if _SECURITY not in own:
            own.insert(0, _SECURITY)
        place = own.index(_SECURITY) + 1
        self.settings["MIDDLEWARE"] = [*self.first, *own[:place], *self.after_security, *own[place:]]


def _is_local(cache: Any) -> bool:
    """Whether a cache is on a developer's machine."""
    location = cache.get("LOCATION", "") if isinstance(cache, Mapping) else ""
    places = location if isinstance(location, (list, tuple)) else [location]
    backend = str(cache.get("BACKEND", "")) if isinstance(cache, Mapping) else ""
    remote = ("redis", "memcache", "valkey")
    return any(word in backend.lower() for word in remote) and all(
        _LOOPBACK.fullmatch(str(one)) for one in places
    )


def with_absolute_addresses(settings: Mapping[str, Any]) -> dict[str, Any]:
    """The same, with a slash before ``STATIC_URL`` and ``MEDIA_URL`` where there is none, as Django's own settings have it from 3.1 on.

    Source: https://docs.djangoproject.com/en/stable/ref/settings/#static-url
    """
    return {
        name: f"/{value}" if name in ("STATIC_URL", "MEDIA_URL") and _is_relative(value) else value
        for name, value in settings.items()
    }


def _is_relative(address: Any) -> bool:
    return isinstance(address, str) and address != "" and not address.startswith(("/", "http://", "https://"))


def _is_local_layer(layer: Any) -> bool:
    """Whether a channel layer is in Redis on a developer's machine, as channels_redis reads its hosts (``decode_hosts``)."""
    if not isinstance(layer, Mapping) or "redis" not in str(layer.get("BACKEND", "")).lower():
        return False
    hosts = (layer.get("CONFIG") or {}).get("hosts") or ["localhost"]
    return all(_LOOPBACK.fullmatch(_place(one)) for one in hosts)


def _place(host: Any) -> str:
    """Where a host of a channel layer is: one is an address, a pair of name and port, or the arguments of a connection."""
    if isinstance(host, Mapping):
        return str(host.get("address") or host.get("host") or "")
    return str(host[0] if isinstance(host, (list, tuple)) else host)
