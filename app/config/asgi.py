"""The entry point of ASGI servers: https://docs.djangoproject.com/en/5.2/howto/deployment/asgi/"""

from __future__ import annotations

import os

from django.core.asgi import get_asgi_application

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "config.settings")
# Under ASGI threads come and go, and each would leave a persistent connection behind.
os.environ.setdefault("CONN_MAX_AGE", "0")

application = get_asgi_application()
