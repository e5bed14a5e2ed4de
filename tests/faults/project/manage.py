"""A project as the collection sees one: it uses what a Django project uses, and nothing has to be installed."""

import os
import sys

import cloud

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "mysite.settings")
command, *arguments = sys.argv[1:]
if command == "shell" and "djangogcp_migrate: " in arguments[-1]:
    # What migrates, as far as it is Google Cloud's: it asks the database, and tells of it.
    cloud.query("SELECT 1")
    print("djangogcp_migrate: {}")
elif command == "collectstatic":
    cloud.upload(os.environ["GS_STATIC_BUCKET_NAME"], "staticfiles.json", b"{}")
elif command == "shell" and "from django" not in arguments[-1]:
    exec(arguments[-1])
print(f"ran {' '.join(sys.argv[1:3])}")
