"""The settings of the site, as any Django project has them. README.md has the table of variables.

Nothing of a platform is here: where the site is served, django_on_google_cloud is laid over them. With `DEBUG=true` nothing has to be set. With
DEBUG off a variable that the site cannot do without has no default: a deploy that forgot it stops at once and says which.
"""

from __future__ import annotations

import os
import re
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

# Not by django-environ, which takes a value that starts with `$` for the name of another variable; random keys do start so.
SECRET_KEY = os.environ.get("SECRET_KEY", "insecure-and-only-for-local-development" if DEBUG else "")
if not SECRET_KEY:
    raise ImproperlyConfigured(
        "Set the SECRET_KEY environment variable (or DEBUG=true for local development)."
    )

# Empty refuses every host; with DEBUG, every host but localhost.
ALLOWED_HOSTS = env.list("ALLOWED_HOSTS", default=[])
CSRF_TRUSTED_ORIGINS = env.list("CSRF_TRUSTED_ORIGINS", default=[])

ROOT_URLCONF = "config.urls"
WSGI_APPLICATION = "config.wsgi.application"
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"

INSTALLED_APPS = [
    "config",
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
DATABASES = {"default": env.db(default=f"sqlite:///{BASE_DIR / 'db.sqlite3'}" if DEBUG else env.NOTSET)}

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
MEDIA_ROOT = BASE_DIR / "media"
MEDIA_URL = "media/"
STATIC_ROOT = BASE_DIR / "staticfiles"
STATIC_URL = "static/"
STATICFILES_DIRS = [BASE_DIR / "static"]

# ------------------------------------------------------------------------------------------------------------
# Security: https://docs.djangoproject.com/en/5.2/topics/security/
# ------------------------------------------------------------------------------------------------------------
SECURE_HSTS_SECONDS = 365 * 24 * 3600
SECURE_REFERRER_POLICY = "same-origin"
X_FRAME_OPTIONS = "DENY"
# W005, W021: HSTS for every subdomain, and for good, is for whoever owns the domain to decide, not for one site on it.
SILENCED_SYSTEM_CHECKS = ["security.W005", "security.W021"]

# How many proxies in front of the site add to the header that tells where a request comes from. What a client sends itself
# stands before what they add. Cloud Run adds one address, a load balancer in front of it one more, nginx one
# (`proxy_add_x_forwarded_for`): https://cloud.google.com/load-balancing/docs/https#x-forwarded-for_header,
# https://github.com/kubernetes/registry.k8s.io/pull/61, https://nginx.org/en/docs/http/ngx_http_proxy_module.html.
TRUSTED_PROXIES = env.int("TRUSTED_PROXIES", default=0 if DEBUG else 1)
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
# Files in buckets, each with the bucket in its path: other people's live on the same host.
_BUCKETS = env("STORAGE_EMULATOR_HOST", default="https://storage.googleapis.com")
if static_bucket := env("GS_STATIC_BUCKET_NAME", default=""):
    for directive in ("font-src", "img-src", "script-src", "style-src"):
        SECURE_CSP[directive].append(f"{_BUCKETS}/{static_bucket}/")
if media_bucket := env("GS_MEDIA_BUCKET_NAME", default=""):
    SECURE_CSP["img-src"].append(f"{_BUCKETS}/{media_bucket}/")
