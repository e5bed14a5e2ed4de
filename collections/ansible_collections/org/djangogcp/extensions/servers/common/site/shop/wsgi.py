"""What gunicorn serves. A release that is BROKEN does not start, and says so."""

import os

from django.core.wsgi import get_wsgi_application

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "shop.settings")
if os.environ.get("BROKEN"):
    raise RuntimeError("this release is broken on purpose")
application = get_wsgi_application()
