"""Give the superuser of any Django project the password of DJANGO_SUPERUSER_PASSWORD. Runs in `manage.py shell -c`.

The login comes from DJANGO_SUPERUSER_<FIELD>, as it did when the superuser was made. Sessions of the superuser end.
"""

import os
import sys

from django.apps import apps
from django.contrib.auth import get_user_model

if not apps.is_installed("django.contrib.auth"):
    sys.exit("The project has no users: django.contrib.auth is not installed.")
model = get_user_model()
login = os.environ.get(f"DJANGO_SUPERUSER_{model.USERNAME_FIELD.upper()}", "")
user = model._default_manager.filter(**{f"{model.USERNAME_FIELD}__iexact": login}).first() if login else None
if user is None:
    sys.exit(
        f"There is no superuser {login}: its name was changed, or nobody made it. No password was changed."
    )
user.set_password(os.environ["DJANGO_SUPERUSER_PASSWORD"])
user.save(update_fields=["password"])
print(f"The superuser {login} has the new password.")
