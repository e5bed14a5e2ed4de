"""Ask pages of a Django project in its own process and print why they fail. Runs in `manage.py shell -c`, before a line that calls `ask`.

What Django, the project and Cloud Run print besides is told from it by what its lines begin with.
"""

import traceback

from django.test import Client

MARK = "ask_django: "


def tell(*lines: str) -> None:
    """Print lines, each with the mark."""
    print(*(f"{MARK}{line}" for line in lines), sep="\n")


def ask(paths: list[str], host: str) -> None:
    """Print of each path what it answers to a browser at the host, or the exception that it raises."""
    for path in paths:
        try:
            answer = Client(SERVER_NAME=host).get(path, secure=True, follow=True)
        except Exception:
            tell(f"{path} fails:", *traceback.format_exc().splitlines()[-12:])
        else:
            tell(f"{path} answers {answer.status_code} here.")
