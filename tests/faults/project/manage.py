"""A project as the collection sees one, that answers at once: every command succeeds and nothing has to be installed."""

import os
import sys

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "mysite.settings")
print(f"ran {' '.join(sys.argv[1:])} with a database at {os.environ['DATABASE_URL'].rpartition('@')[2]}")
