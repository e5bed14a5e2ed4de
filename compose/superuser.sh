# Makes the first superuser, once.
export DJANGO_SUPERUSER_EMAIL=admin@example.com
DJANGO_SUPERUSER_PASSWORD=$(cat /run/secrets/superuser/password)
export DJANGO_SUPERUSER_PASSWORD
exec python manage.py shell -c '
import os
from django.contrib.auth import get_user_model
from django.core.management import call_command

if get_user_model().objects.filter(email=os.environ["DJANGO_SUPERUSER_EMAIL"]).exists():
    print("The superuser is there.")
else:
    call_command("createsuperuser", interactive=False)
'
