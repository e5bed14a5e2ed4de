"""All settings of the site, in one module, driven by the environment. README.md has the table of variables.

With `DEBUG=true` nothing else has to be set. With DEBUG off a variable that the site cannot do without has no default:
a deploy that forgot it stops at once and says which.
"""

from __future__ import annotations

import os
import re
from datetime import timedelta
from pathlib import Path

import environ
from django.core.exceptions import ImproperlyConfigured

BASE_DIR = Path(__file__).resolve().parent.parent

env = environ.Env()
if (BASE_DIR / ".env").exists():  # a developer's own; the real environment wins over it
    env.read_env(BASE_DIR / ".env")

# ------------------------------------------------------------------------------------------------------------
# Core: https://docs.djangoproject.com/en/5.2/ref/settings/#core-settings
# ------------------------------------------------------------------------------------------------------------
DEBUG = env.bool("DEBUG", default=False)


def required(name: str, *, when_debugging: str) -> str:
    """Return the variable `name`, or what is in the file that `name`_FILE names, or `when_debugging` if DEBUG is on.

    Read without django-environ, which takes a value that starts with `$` for the name of another variable; random
    secret keys do start so.

    Raises:
        ImproperlyConfigured: neither is set and DEBUG is off.
    """
    if name in os.environ:
        return os.environ[name]
    if f"{name}_FILE" in os.environ:
        return Path(os.environ[f"{name}_FILE"]).read_text("utf-8").strip()
    if DEBUG:
        return when_debugging
    raise ImproperlyConfigured(f"Set the {name} environment variable (or DEBUG=true for local development).")


SECRET_KEY = required("SECRET_KEY", when_debugging="insecure-and-only-for-local-development")
# Older keys keep sessions and signed links valid while a new key is rolled out.
SECRET_KEY_FALLBACKS = [key for key in os.environ.get("SECRET_KEY_FALLBACKS", "").split(",") if key]

# Empty refuses every host; with DEBUG, every host but localhost.
ALLOWED_HOSTS = env.list("ALLOWED_HOSTS", default=[])
CSRF_TRUSTED_ORIGINS = env.list("CSRF_TRUSTED_ORIGINS", default=[])

ROOT_URLCONF = "config.urls"
WSGI_APPLICATION = "config.wsgi.application"
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"

INSTALLED_APPS = [
    "config",  # before staticfiles: it has its own collectstatic
    "accounts",
    "polls",
    "gallery",
    "throttles",
    "django.contrib.admin",
    "django.contrib.auth",
    "django.contrib.contenttypes",
    "django.contrib.sessions",
    "django.contrib.messages",
    "django.contrib.staticfiles",
]

MIDDLEWARE = [
    "health.middleware.HealthMiddleware",  # first: a probe knows neither our host name nor TLS
    "config.middleware.TraceMiddleware",
    "django.middleware.security.SecurityMiddleware",
    "config.middleware.ContentSecurityPolicyMiddleware",
    "django.contrib.sessions.middleware.SessionMiddleware",
    "django.middleware.common.CommonMiddleware",
    "django.middleware.csrf.CsrfViewMiddleware",
    "django.contrib.auth.middleware.AuthenticationMiddleware",
    "django.contrib.messages.middleware.MessageMiddleware",
    "django.middleware.clickjacking.XFrameOptionsMiddleware",
    "throttles.middleware.ThrottleMiddleware",
]

TEMPLATES = [
    {
        "BACKEND": "django.template.backends.django.DjangoTemplates",
        "DIRS": [BASE_DIR / "templates"],
        "APP_DIRS": True,
        "OPTIONS": {
            "context_processors": [
                "django.template.context_processors.request",
                "django.contrib.auth.context_processors.auth",
                "django.contrib.messages.context_processors.messages",
            ],
        },
    },
]

LANGUAGE_CODE = "en"
TIME_ZONE = "UTC"
USE_TZ = True

# ------------------------------------------------------------------------------------------------------------
# Database: https://docs.djangoproject.com/en/5.2/ref/databases/#postgresql-notes
# ------------------------------------------------------------------------------------------------------------
# On Cloud Run: postgres://USER:PASSWORD@/DATABASE?host=/cloudsql/PROJECT:REGION:INSTANCE
DATABASES = {
    "default": env.db_url_config(
        required("DATABASE_URL", when_debugging=f"sqlite:///{BASE_DIR / 'db.sqlite3'}")
    )
}
# Each gunicorn thread keeps its connection: opening one costs more than most requests. asgi.py turns this off.
DATABASES["default"]["CONN_MAX_AGE"] = env.int("CONN_MAX_AGE", default=600)
DATABASES["default"]["CONN_HEALTH_CHECKS"] = True
if DATABASES["default"]["ENGINE"] == "django.db.backends.postgresql":
    # libpq waits without end by default; readiness has to answer before the probe gives up.
    DATABASES["default"].setdefault("OPTIONS", {}).setdefault("connect_timeout", 3)

# ------------------------------------------------------------------------------------------------------------
# Accounts: https://docs.djangoproject.com/en/5.2/topics/auth/customizing/
# ------------------------------------------------------------------------------------------------------------
AUTH_USER_MODEL = "accounts.User"
AUTHENTICATION_BACKENDS = ["throttles.backends.ThrottledModelBackend"]
AUTH_PASSWORD_VALIDATORS = [
    {"NAME": "django.contrib.auth.password_validation.UserAttributeSimilarityValidator"},
    {"NAME": "django.contrib.auth.password_validation.MinimumLengthValidator", "OPTIONS": {"min_length": 10}},
    {"NAME": "django.contrib.auth.password_validation.CommonPasswordValidator"},
    {"NAME": "django.contrib.auth.password_validation.NumericPasswordValidator"},
]
LOGIN_URL = "login"
LOGIN_REDIRECT_URL = "home"
LOGOUT_REDIRECT_URL = "home"

# ------------------------------------------------------------------------------------------------------------
# Files: https://docs.djangoproject.com/en/5.2/ref/settings/#storages
# ------------------------------------------------------------------------------------------------------------
# Two buckets. Nobody reads the media bucket but through signed links; everybody reads the static bucket. Without a static
# bucket the site serves its static files itself.
GS_MEDIA_BUCKET_NAME = env("GS_MEDIA_BUCKET_NAME", default="")
GS_STATIC_BUCKET_NAME = env("GS_STATIC_BUCKET_NAME", default="")
# Google's own variable for another server than Cloud Storage; the client library reads it too.
GS_ORIGIN = env("STORAGE_EMULATOR_HOST", default="https://storage.googleapis.com")

MEDIA_ROOT = BASE_DIR / "media"
MEDIA_URL = "media/"
# The collected files and their manifest belong to the image: a release always finds the names that it was built
# with, also after a newer release has been uploaded to the bucket, or after a rollback.
STATIC_ROOT = BASE_DIR / "staticfiles"
STATIC_URL = f"{GS_ORIGIN}/{GS_STATIC_BUCKET_NAME}/" if GS_STATIC_BUCKET_NAME else "static/"
STATICFILES_DIRS = [BASE_DIR / "static"]

# Less than 12 hours: made without a key file, a signature may stop working after that, when Google rotates its key.
# https://cloud.google.com/storage/docs/authentication/creating-signatures
SIGNED_URL_EXPIRATION = timedelta(hours=6)

STORAGES = {
    "default": {"BACKEND": "django.core.files.storage.FileSystemStorage"},
    "staticfiles": {"BACKEND": "django.contrib.staticfiles.storage.StaticFilesStorage"},
}
if GS_STATIC_BUCKET_NAME and not DEBUG:
    STORAGES["staticfiles"]["BACKEND"] = "django.contrib.staticfiles.storage.ManifestStaticFilesStorage"
elif not DEBUG:
    # Compressed when they are collected; browsers keep for ever what has a hash in its name.
    STORAGES["staticfiles"]["BACKEND"] = "whitenoise.storage.CompressedManifestStaticFilesStorage"
    MIDDLEWARE.insert(
        MIDDLEWARE.index("django.middleware.security.SecurityMiddleware") + 1,
        "whitenoise.middleware.WhiteNoiseMiddleware",
    )
if GS_MEDIA_BUCKET_NAME:
    STORAGES["default"] = {
        "BACKEND": "config.storage.SignedMediaStorage",
        "OPTIONS": {
            "bucket_name": GS_MEDIA_BUCKET_NAME,
            "default_acl": None,  # uniform bucket-level access: objects have no ACL
            "file_overwrite": False,
            "querystring_auth": True,
            "expiration": SIGNED_URL_EXPIRATION,
            "iam_sign_blob": True,  # the service account signs through the IAM Credentials API: no key file
            "object_parameters": {"cache_control": "private, max-age=86400, immutable"},
        },
    }

CACHES = {
    "default": {"BACKEND": "django.core.cache.backends.locmem.LocMemCache", "LOCATION": "default"},
    "signed_urls": {
        "BACKEND": "django.core.cache.backends.locmem.LocMemCache",
        "LOCATION": "signed_urls",
        "OPTIONS": {"MAX_ENTRIES": 5000},
    },
}

# ------------------------------------------------------------------------------------------------------------
# Security: https://docs.djangoproject.com/en/5.2/topics/security/
# ------------------------------------------------------------------------------------------------------------
# Cloud Run ends TLS and always sets this header itself, so it cannot be forged from outside.
SECURE_PROXY_SSL_HEADER = ("HTTP_X_FORWARDED_PROTO", "https")
SECURE_SSL_REDIRECT = env.bool("SECURE_SSL_REDIRECT", default=not DEBUG)
SECURE_HSTS_SECONDS = 365 * 24 * 3600 if SECURE_SSL_REDIRECT else 0
SESSION_COOKIE_SECURE = SECURE_SSL_REDIRECT
CSRF_COOKIE_SECURE = SECURE_SSL_REDIRECT
SECURE_REFERRER_POLICY = "same-origin"
X_FRAME_OPTIONS = "DENY"
# W005, W021: HSTS for every subdomain, and for good, is for whoever owns the domain to decide, not for one site on it.
SILENCED_SYSTEM_CHECKS = ["security.W005", "security.W021"]

# How many proxies in front of the site add to the header that tells where a request comes from. What a client sends itself
# stands before what they add. Cloud Run adds one address, a load balancer in front of it one more, nginx one
# (`proxy_add_x_forwarded_for`): https://cloud.google.com/load-balancing/docs/https#x-forwarded-for_header,
# https://github.com/kubernetes/registry.k8s.io/pull/61, https://nginx.org/en/docs/http/ngx_http_proxy_module.html.
TRUSTED_PROXIES = env.int("TRUSTED_PROXIES", default=1 if SECURE_SSL_REDIRECT else 0)
# App Engine has a header of its own, which nobody can send there, and anybody elsewhere:
# https://cloud.google.com/appengine/docs/standard/reference/request-headers
CLIENT_ADDRESS_HEADER = env(
    "CLIENT_ADDRESS_HEADER", default="X-Appengine-User-IP" if "GAE_ENV" in os.environ else "X-Forwarded-For"
)


def rate(name: str, default: str) -> tuple[int, int] | None:
    """Return how many are allowed in how many seconds, as the variable `name` says it: `10/900`; None if it is empty.

    Raises:
        ImproperlyConfigured: it says something else.
    """
    value = env(name, default=default)
    if not value:
        return None
    if not (parts := re.fullmatch(r"([1-9]\d{0,5})/([1-9]\d{0,5})", value)):
        raise ImproperlyConfigured(
            f"{name} is {value!r}. Write COUNT/SECONDS, such as 10/900, or nothing for no limit."
        )
    return int(parts[1]), int(parts[2])


# What one client may try. A log-in that succeeds does not count.
THROTTLES = {
    "login-account": rate("THROTTLE_LOGIN_ACCOUNT", "10/900"),
    "login-address": rate("THROTTLE_LOGIN_ADDRESS", "20/900"),
    "upload-account": rate("THROTTLE_UPLOAD_ACCOUNT", "30/600"),
    "upload-address": rate("THROTTLE_UPLOAD_ADDRESS", "60/600"),
    "vote-address": rate("THROTTLE_VOTE_ADDRESS", "120/60"),
}

# The setting of Django 6.0, whose own middleware then replaces ours.
SECURE_CSP = {
    "default-src": ["'none'"],
    "base-uri": ["'none'"],
    "connect-src": ["'self'"],
    "font-src": ["'self'"],
    "form-action": ["'self'"],
    "frame-ancestors": ["'none'"],
    "img-src": ["'self'", "data:"],
    "script-src": ["'self'"],
    "style-src": ["'self'"],
}
if GS_STATIC_BUCKET_NAME:
    # With the bucket in the path: other people's buckets live on the same host.
    for directive in ("font-src", "img-src", "script-src", "style-src"):
        SECURE_CSP[directive].append(STATIC_URL)
if GS_MEDIA_BUCKET_NAME:
    SECURE_CSP["img-src"].append(f"{GS_ORIGIN}/{GS_MEDIA_BUCKET_NAME}/")

# ------------------------------------------------------------------------------------------------------------
# Logging: https://cloud.google.com/logging/docs/structured-logging
# ------------------------------------------------------------------------------------------------------------
GOOGLE_CLOUD_PROJECT = env("GOOGLE_CLOUD_PROJECT", default="")

LOGGING = {
    "version": 1,
    "disable_existing_loggers": False,
    "formatters": {
        "json": {"()": "config.logging.JsonFormatter", "project": GOOGLE_CLOUD_PROJECT},
        "plain": {"format": "%(levelname)s %(name)s: %(message)s"},
    },
    "handlers": {
        "stdout": {
            "class": "logging.StreamHandler",
            "stream": "ext://sys.stdout",
            "formatter": "plain" if DEBUG else "json",
        },
    },
    "root": {"handlers": ["stdout"], "level": "INFO"},
    # Django's own handlers would print a second time, and mail to nobody.
    "loggers": {
        "django": {"handlers": [], "level": "INFO", "propagate": True},
        # Scanners ask for any host, and nothing is wrong with the site. Cloud Run's request log has their 400.
        "django.security.DisallowedHost": {"level": "CRITICAL"},
    },
}
