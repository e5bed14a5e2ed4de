"""Make the first superuser of any Django project, once. Runs in `manage.py shell -c`.

The login and the required fields come from DJANGO_SUPERUSER_<FIELD>, as createsuperuser reads them. A superuser who is
there keeps the password, which may have been changed since. A project without django.contrib.auth has none.
"""

import os
import sys

from django.apps import apps
from django.contrib.auth import get_user_model
from django.contrib.auth.management.commands.createsuperuser import Command
from django.core.management import call_command

if not apps.is_installed("django.contrib.auth"):
    print("The project has no users: django.contrib.auth is not installed.")
else:
    model = get_user_model()
    fields = dict.fromkeys((model.USERNAME_FIELD, *model.REQUIRED_FIELDS))
    missing = [
        variable for field in fields if (variable := f"DJANGO_SUPERUSER_{field.upper()}") not in os.environ
    ]
    login = os.environ.get(f"DJANGO_SUPERUSER_{model.USERNAME_FIELD.upper()}", "")
    if login and model._default_manager.filter(**{f"{model.USERNAME_FIELD}__iexact": login}).exists():
        print(f"The superuser {login} is there.")
    elif missing:
        sys.exit(
            f"The superuser of {model._meta.label} needs {', '.join(missing)}: set them in djangogcp_environment."
        )
    else:
        # That of Django, whatever the project calls so: it takes these options.
        call_command(Command(), interactive=False, **{model.USERNAME_FIELD: login})
