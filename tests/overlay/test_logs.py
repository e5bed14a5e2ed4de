"""Lines as Cloud Logging reads them."""

from __future__ import annotations

import json
import logging
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from django_on_google_cloud.logs import JsonFormatter, trace

from tests.overlay.djangos import OVERLAY

TRACE_ID, SPAN_ID = "4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7"


def record(level: int = logging.INFO, **attributes: Any) -> logging.LogRecord:
    made = logging.LogRecord(
        "polls.views", level, "/app/polls/views.py", 7, "Hello %s", ("you",), None, "vote"
    )
    made.__dict__.update(attributes)
    return made


def entry(**arguments: Any) -> dict[str, Any]:
    line = JsonFormatter("my-project").format(record(**arguments))
    assert "\n" not in line
    found: dict[str, Any] = json.loads(line)
    return found


def test_a_line_has_what_cloud_logging_reads() -> None:
    logged = entry(created=1.5)
    assert logged == {
        "severity": "INFO",
        "message": "Hello you",
        "logger": "polls.views",
        "time": "1970-01-01T00:00:01.500000+00:00",
    }


def test_levels_are_severities() -> None:
    for level in ("DEBUG", "INFO", "WARNING", "ERROR", "CRITICAL"):
        assert entry(level=getattr(logging, level), levelname=level)["severity"] == level
    assert entry(levelname="Level 25")["severity"] == "DEFAULT"


def test_a_warning_tells_where_it_comes_from() -> None:
    logged = entry(level=logging.WARNING, levelname="WARNING")
    place = {"file": "/app/polls/views.py", "line": "7", "function": "vote"}
    assert logged["logging.googleapis.com/sourceLocation"] == place


def test_an_exception_is_one_line_with_its_stack() -> None:
    try:
        raise ValueError("two\nlines")
    except ValueError:
        logged = entry(exc_info=sys.exc_info())
    assert "ValueError: two\nlines" in logged["stack_trace"]


@pytest.mark.parametrize(
    ("header", "expected"),
    [
        (f"{TRACE_ID}/{int(SPAN_ID, 16)};o=1", {"trace": TRACE_ID, "spanId": SPAN_ID, "trace_sampled": True}),
        (f"{TRACE_ID}/1;o=0", {"trace": TRACE_ID, "spanId": "0000000000000001", "trace_sampled": False}),
        (f"{TRACE_ID}/0", {"trace": TRACE_ID, "trace_sampled": False}),
        (TRACE_ID, {"trace": TRACE_ID, "trace_sampled": False}),
        ("nonsense", {}),
        ("", {}),
    ],
)
def test_the_older_header_of_a_trace(header: str, expected: dict[str, Any]) -> None:
    assert trace({"HTTP_X_CLOUD_TRACE_CONTEXT": header}) == expected


def test_gunicorns_own_lines_are_json_on_standard_output(tmp_path: Path) -> None:
    done = subprocess.run(
        [
            *(sys.executable, "-m", "gunicorn", "--logger-class", "django_on_google_cloud.server.Logger"),
            *("--bind", "127.0.0.1:0", "site_that_is_not_there"),
        ],
        cwd=tmp_path,
        env={"PATH": os.environ["PATH"], "PYTHONPATH": str(OVERLAY), "GOOGLE_CLOUD_PROJECT": "p"},
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    assert done.returncode != 0
    lines = [json.loads(line) for line in done.stdout.splitlines()]
    assert any(line["severity"] == "INFO" and "Starting gunicorn" in line["message"] for line in lines)
    failed = next(line for line in lines if line["severity"] == "ERROR")
    assert failed["logger"] == "gunicorn.error"
    assert "No module named 'site_that_is_not_there'" in json.dumps(lines)
