"""The query language, on entries by hand."""

from __future__ import annotations

from typing import Any

import pytest
from gcp_emulator.engine.discovery import load
from gcp_emulator.engine.errors import ApiError
from gcp_emulator.services.logging.filter import parse_filter

KNOWN = frozenset(load("logging", "v2").schemas["LogEntry"]["properties"])
ENTRY: dict[str, Any] = {
    "logName": "projects/p/logs/run.googleapis.com%2Fstdout",
    "resource": {
        "type": "cloud_run_revision",
        "labels": {"service_name": "shop", "location": "europe-west1"},
    },
    "timestamp": "2026-03-01T12:00:00.500000Z",
    "severity": "WARNING",
    "labels": {"run.googleapis.com/execution_name": "shop-migrate-abc"},
    "jsonPayload": {
        "message": "Disk is nearly full",
        "used": 91.5,
        "ok": False,
        "nothing": None,
        "paths": ["/a", "/b"],
    },
    "httpRequest": {"status": 503},
}


@pytest.mark.parametrize(
    "text",
    [
        "",
        "-- nothing but a comment",
        'resource.type="cloud_run_revision"',
        "resource.type = cloud_run_revision",
        'resource.type="CLOUD_RUN_REVISION"',
        'resource.type="cloud_run_revision" resource.labels.service_name="shop"',
        'resource.type="cloud_run_revision"\nAND resource.labels.service_name="shop"',
        'resource.labels.service_name=("blog" OR "shop")',
        "severity>=WARNING",
        "severity=warning",
        "severity!=ERROR",
        "severity > 300",
        'timestamp>="2026-03-01T12:00:00Z" timestamp<"2026-03-01T12:00:01Z"',
        'timestamp>="2026-03-01T12:00:00.5Z"',
        "jsonPayload.nothing=NULL_VALUE",
        'timestamp>"2026-02-28"',
        'logName="projects/p/logs/run.googleapis.com%2Fstdout"',
        'log_name:"stdout"',
        'log_id("run.googleapis.com/stdout")',
        'labels."run.googleapis.com/execution_name"="shop-migrate-abc"',
        'labels.run:* OR labels."run.googleapis.com/execution_name":*',
        'jsonPayload.message:"nearly"',
        'jsonPayload:"NEARLY FULL"',
        "jsonPayload.used>91 jsonPayload.used<=91.5",
        "jsonPayload.ok=false",
        'jsonPayload.paths="/b"',
        'jsonPayload.message=~"^Disk .* full$"',
        'jsonPayload.message!~"empty"',
        "httpRequest.status=503",
        "nearly",
        '"nearly full"',
        "NOT textPayload:x",
        "-textPayload:x",
        "-(severity=ERROR OR severity=INFO)",
        "jsonPayload.message:(disk AND full)",
        "jsonPayload.message:(disk -empty)",
    ],
)
def test_these_find_the_entry(text: str) -> None:
    assert parse_filter(text, KNOWN)(ENTRY)


@pytest.mark.parametrize(
    "text",
    [
        'resource.type="cloud_run_job"',
        "severity>=ERROR",
        'textPayload:"x"',
        'textPayload!="x"',
        'timestamp<"2026-03-01T12:00:00Z"',
        'resource.type="cloud_run_revision" resource.labels.service_name="blog"',
        'resource.labels.service_name=("blog" OR "news")',
        "jsonPayload.used>92",
        "jsonPayload.used=many",
        "NOT jsonPayload.message:*",
        'log_id("run.googleapis.com/stderr")',
        "absent",
        "jsonPayload.message:(disk AND empty)",
    ],
)
def test_these_do_not(text: str) -> None:
    assert not parse_filter(text, KNOWN)(ENTRY)


def test_or_binds_more_tightly_than_and() -> None:
    # (severity=ERROR OR severity=WARNING) AND severity=INFO; the other way round the entry would be found.
    assert not parse_filter("severity=INFO AND severity=ERROR OR severity=WARNING", KNOWN)(ENTRY)
    assert parse_filter("(severity=INFO AND severity=ERROR) OR severity=WARNING", KNOWN)(ENTRY)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("severity>=", "Unparseable filter: syntax error at line 1, column 11, token 'end of filter'"),
        ("(severity=INFO", "Unparseable filter: syntax error at line 1, column 15, token 'end of filter'"),
        ("severity=INFO)", "Unparseable filter: syntax error at line 1, column 14, token ')'"),
        (
            "severity=INFO\nAND OR textPayload:x",
            "Unparseable filter: syntax error at line 2, column 5, token 'OR'",
        ),
        (
            "timestamp>=2026-03-01T12:00:00Z",
            "Unparseable filter: syntax error at line 1, column 25, token ':00:00Z'",
        ),
        ("x" * 20_001, "Filter is longer than 20000 characters."),
        ("severity=LOUD", "Unparseable filter: unknown severity 'LOUD'"),
        ("timestamp>yesterday", "Unparseable filter: invalid timestamp 'yesterday'"),
        ("sample(insertId, 0.1)", "Unparseable filter: the emulator does not know the function 'sample'."),
        (
            "textPayloud:x",
            "Field not found: 'textPayloud'. For help see "
            "https://cloud.google.com/logging/docs/view/logging-query-language.",
        ),
    ],
)
def test_what_cannot_be_understood_is_refused(text: str, message: str) -> None:
    with pytest.raises(ApiError) as refused:
        parse_filter(text, KNOWN)
    assert (refused.value.code, refused.value.message) == (400, message)


def test_a_bad_regular_expression_is_refused() -> None:
    with pytest.raises(ApiError, match=r"Unparseable filter: regex '\(': "):
        parse_filter('textPayload=~"("', KNOWN)
