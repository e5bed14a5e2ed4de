"""Make the first superuser of any Django project, once. Runs in `manage.py shell -c`.

The login and the required fields come from DJANGO_SUPERUSER_<FIELD>, as createsuperuser reads them. A superuser who is
there keeps the password, which may have been changed since. A project without django.contrib.auth has none.
"""

import os

from django.apps import apps
from django.contrib.auth import get_user_model
from django.core.management import call_command

if not apps.is_installed("django.contrib.auth"):
    print("The project has no users: django.contrib.auth is not installed.")
else:
    model = get_user_model()
    login = os.environ[f"DJANGO_SUPERUSER_{model.USERNAME_FIELD.upper()}"]
    if model._default_manager.filter(**{f"{model.USERNAME_FIELD}__iexact": login}).exists():
        print(f"The superuser {login} is there.")
    else:
        call_command("createsuperuser", interactive=False, **{model.USERNAME_FIELD: login})
