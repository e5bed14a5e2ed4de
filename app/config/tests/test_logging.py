from __future__ import annotations

import json
import logging
import sys

from django.http import HttpResponse
from django.test import RequestFactory, SimpleTestCase

from config.logging import JsonFormatter, Trace, current_trace
from config.middleware import TraceMiddleware

TRACE_ID, SPAN_ID = "4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7"
TRACEPARENT = f"00-{TRACE_ID}-{SPAN_ID}-01"


def record(message: str = "Hello %s", level: int = logging.INFO, **attributes: object) -> logging.LogRecord:
    made = logging.LogRecord("polls.views", level, "/app/polls/views.py", 7, message, ("you",), None, "vote")
    made.__dict__.update(attributes)
    return made


def entry(**arguments: object) -> dict[str, object]:
    line = JsonFormatter("my-project").format(record(**arguments))
    assert "\n" not in line
    return json.loads(line)


class JsonFormatterTests(SimpleTestCase):
    def test_line_has_what_cloud_logging_reads(self) -> None:
        logged = entry()
        self.assertRegex(logged.pop("time"), r"^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}\+00:00$")
        self.assertEqual(logged, {"severity": "INFO", "message": "Hello you", "logger": "polls.views"})

    def test_levels_are_severities(self) -> None:
        for level in ("DEBUG", "INFO", "WARNING", "ERROR", "CRITICAL"):
            self.assertEqual(entry(level=getattr(logging, level), levelname=level)["severity"], level)
        self.assertEqual(entry(levelname="Level 25")["severity"], "DEFAULT")

    def test_warning_tells_where_it_comes_from(self) -> None:
        logged = entry(level=logging.WARNING, levelname="WARNING")
        place = {"file": "/app/polls/views.py", "line": "7", "function": "vote"}
        self.assertEqual(logged["logging.googleapis.com/sourceLocation"], place)

    def test_exception_is_one_line_with_its_stack(self) -> None:
        try:
            raise ValueError("two\nlines")
        except ValueError:
            logged = entry(exc_info=sys.exc_info())
        self.assertIn("ValueError: two\nlines", logged["stack_trace"])

    def test_error_of_a_request_carries_trace_and_request_without_its_query(self) -> None:
        request = RequestFactory().post(
            "/polls/1/vote/?token=secret", headers={"user-agent": "Firefox", "traceparent": TRACEPARENT}
        )
        logged = entry(request=request, status_code=500)
        self.assertEqual(
            logged["httpRequest"],
            {
                "requestMethod": "POST",
                "requestUrl": "/polls/1/vote/",
                "userAgent": "Firefox",
                "protocol": "HTTP/1.1",
                "status": 500,
            },
        )
        self.assertEqual(logged["logging.googleapis.com/trace"], f"projects/my-project/traces/{TRACE_ID}")
        self.assertEqual(logged["logging.googleapis.com/spanId"], SPAN_ID)
        self.assertIs(logged["logging.googleapis.com/trace_sampled"], True)

    def test_without_a_project_there_is_no_trace(self) -> None:
        request = RequestFactory().get("/", headers={"traceparent": TRACEPARENT})
        logged = json.loads(JsonFormatter().format(record(request=request)))
        self.assertNotIn("logging.googleapis.com/trace", logged)


class TraceTests(SimpleTestCase):
    def test_traceparent(self) -> None:
        self.assertEqual(Trace.from_meta({"HTTP_TRACEPARENT": TRACEPARENT}), Trace(TRACE_ID, SPAN_ID, True))

    def test_cloud_trace_context(self) -> None:
        for header, expected in {
            f"{TRACE_ID}/{int(SPAN_ID, 16)};o=1": Trace(TRACE_ID, SPAN_ID, True),
            f"{TRACE_ID}/1;o=0": Trace(TRACE_ID, "0000000000000001", False),
            f"{TRACE_ID}/0": Trace(TRACE_ID, None, False),
            TRACE_ID: Trace(TRACE_ID, None, False),
            "nonsense": None,
            "": None,
        }.items():
            with self.subTest(header=header):
                self.assertEqual(Trace.from_meta({"HTTP_X_CLOUD_TRACE_CONTEXT": header}), expected)

    def test_lines_written_during_a_request_carry_its_trace_and_later_ones_do_not(self) -> None:
        lines = []

        def view(request: object) -> HttpResponse:
            lines.append(entry())
            return HttpResponse()

        TraceMiddleware(view)(RequestFactory().get("/", headers={"traceparent": TRACEPARENT}))
        self.assertEqual(lines[0]["logging.googleapis.com/trace"], f"projects/my-project/traces/{TRACE_ID}")
        self.assertIsNone(current_trace.get())
