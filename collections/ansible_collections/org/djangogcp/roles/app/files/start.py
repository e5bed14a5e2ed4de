"""Ask the page that says when an instance can serve, as the platform's probe will, and end if it fails. Runs in the program of migrate.py.

Nothing is printed of such a page where DEBUG is off, and a platform that waits for it waits for minutes. A page that is not there (404) may be one
that something beside Django answers.
"""

from __future__ import annotations

import logging
import sys
import traceback

from django.test import Client

#: The exit code of a page that fails. The database was migrated then.
NOT_READY = 77
#: What the lines for the deploy begin with.
PAGE_MARK = "djangogcp_start: "
LONGEST_TRACEBACK = 12
#: A probe passes with less (https://cloud.google.com/run/docs/configuring/healthchecks, "HTTP startup").
FIRST_FAILURE, NOT_FOUND = 400, 404


class Heard(logging.Handler):
    """Keeps what Django says of a request to its own log, which may go nowhere."""

    def __init__(self) -> None:
        super().__init__(logging.WARNING)
        self.lines: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.lines += record.getMessage().splitlines()[:1]


def problem_of(path: str, host: str) -> list[str]:
    """What the page answers if it fails, in lines; none if it does not."""
    heard, logger = Heard(), logging.getLogger("django")
    logger.addHandler(heard)
    try:
        answer = Client(SERVER_NAME=host, HTTP_X_FORWARDED_PROTO="https").get(path)
    except Exception:
        return [f"{path} fails:", *traceback.format_exc().splitlines()[-LONGEST_TRACEBACK:]]
    finally:
        logger.removeHandler(heard)
    if answer.status_code < FIRST_FAILURE or answer.status_code == NOT_FOUND:
        return []
    return [f"{path} answers {answer.status_code} to the host {host}", *heard.lines[-LONGEST_TRACEBACK:]]


def start(path: str, host: str) -> None:
    """End with `NOT_READY` if the page fails."""
    lines = problem_of(path, host)
    if lines:
        print(*(f"{PAGE_MARK}{line}" for line in lines), sep="\n", flush=True)
        sys.exit(NOT_READY)
