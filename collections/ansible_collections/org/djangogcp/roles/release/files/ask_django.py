"""Ask pages of a Django project in its own process and print why they fail. Runs in `manage.py shell -c`, before a line that calls `ask`."""

import traceback

from django.test import Client


def ask(paths: list[str], host: str) -> None:
    """Print of each path what it answers to a browser at the host, or the exception that it raises."""
    for path in paths:
        try:
            answer = Client(SERVER_NAME=host).get(path, secure=True, follow=True)
        except Exception:
            print(f"{path} fails:", *traceback.format_exc().splitlines()[-12:], sep="\n")
        else:
            print(f"{path} answers {answer.status_code} here.")
