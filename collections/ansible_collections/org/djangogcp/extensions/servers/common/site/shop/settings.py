"""The settings of a site whose secrets are in its environment and whose folders are its server's."""

import os

ROOT = "/srv/shop"
SECRET_KEY = os.environ["SECRET_KEY"]
ALLOWED_HOSTS = ["shop.example", "young.example"]
ROOT_URLCONF = "shop.urls"
WSGI_APPLICATION = "shop.wsgi.application"
DATABASES = {"default": {"ENGINE": "django.db.backends.sqlite3", "NAME": f"{ROOT}/run/db.sqlite3"}}
INSTALLED_APPS = ["django.contrib.auth", "django.contrib.contenttypes", "django.contrib.staticfiles"]
STATIC_URL = "/static/"
STATIC_ROOT = f"{ROOT}/media/static"
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"
