"""Ask pages of a Django project in its own process and print why they fail. Runs in `manage.py shell -c`, behind a line that sets `asked`."""

import traceback

from django.test import Client

for path in asked["paths"]:  # noqa: F821
    try:
        answer = Client(SERVER_NAME=asked["host"]).get(path, secure=True, follow=True)  # noqa: F821
    except Exception:
        print(f"{path} fails:", *traceback.format_exc().splitlines()[-12:], sep="\n")
    else:
        print(f"{path} answers {answer.status_code} here.")
