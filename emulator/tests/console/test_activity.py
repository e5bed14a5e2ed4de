"""What happened, as the state page shows it: operations as bars, log entries without secrets; and words for people."""

from __future__ import annotations

import datetime

import pytest
from gcp_emulator.console import activity, pages
from gcp_emulator.engine.describe import Badge
from gcp_emulator.engine.errors import Json
from gcp_emulator.engine.operations import Span


def entry(**fields: object) -> Json:
    resource = {"type": "cloud_run_revision", "labels": {"service_name": "shop"}}
    return {"timestamp": "2026-01-01T00:00:00Z", "severity": "ERROR", "resource": resource, **fields}


@pytest.mark.parametrize("value", [b"hunter2-hunter2", b'qu"ote\nd-value'])
def test_a_secret_that_a_program_prints_is_hidden(value: bytes) -> None:
    entries = [
        entry(textPayload=f"password is {value.decode()}!"),
        entry(jsonPayload={"message": "m", "password": value.decode()}),
    ]
    rows = activity.log_entries([value], enumerate(entries))
    assert rows[1]["text"] == "password is [secret]!"
    assert rows[0]["rest"] == '{"password": "[secret]"}'


def test_a_row_of_the_log_says_where_it_comes_from() -> None:
    (row,) = activity.log_entries([], [(7, entry(textPayload="boom"))])
    assert (row["number"], row["source"], row["kind"], row["severity"], row["tone"]) == (
        7,
        "shop",
        "cloud run revision",
        "error",
        "bad",
    )


def span(target: str, begun: str, ended: str | None, state: str = "done", message: str = "") -> Span:
    day = "2026-01-01T00:{}.000000Z"
    return Span("m", target, day.format(begun), day.format(ended) if ended else None, state, message)


def test_operations_are_bars_on_one_scale_and_a_pause_begins_another() -> None:
    spans = [
        span("old", "00:00", "00:02"),
        span("first", "10:00", "10:10"),
        span("second", "10:05", "10:20", "failed", "no"),
    ]
    latest, earlier = activity.operations(spans, limit=10)
    assert latest["seconds"] == 20
    assert [(one["target"], one["x"], one["width"]) for one in latest["spans"]] == [
        ("first", 0, 500),
        ("second", 250, 750),
    ]
    assert latest["spans"][1]["state"] == Badge("failed", "bad")
    assert latest["spans"][1]["message"] == "no"
    assert [one["target"] for one in earlier["spans"]] == ["old"]


def test_an_operation_that_goes_on_reaches_to_the_end() -> None:
    (stretch,) = activity.operations([span("slow", "00:00", None, "running")], limit=10)
    (shown,) = stretch["spans"]
    assert shown["state"] == Badge("running", "busy")
    assert (shown["x"], shown["width"]) == (0, activity.WIDTH)


@pytest.mark.parametrize(
    ("seconds", "text"), [(None, ""), (0.04, "40 ms"), (1.25, "1.2 s"), (75.4, "1 min 15 s")]
)
def test_durations_read_like_speech(seconds: float | None, text: str) -> None:
    assert pages.duration(seconds) == text


@pytest.mark.parametrize(
    ("count", "text"), [(0, "0 B"), (1023, "1023 B"), (51554, "50.3 KiB"), (3 * 2**40, "3072.0 GiB")]
)
def test_sizes_have_units(count: int, text: str) -> None:
    assert pages.size(count) == text


def test_a_moment_of_another_day_says_its_day() -> None:
    now = datetime.datetime(2026, 1, 2, tzinfo=datetime.UTC)
    assert pages.moment("2026-01-02T03:04:05.6Z", now) == "03:04:05"
    assert pages.moment("2026-01-01T03:04:05.6Z", now) == "1 Jan 2026 03:04:05"


def test_a_link_escapes_what_a_name_may_hold() -> None:
    assert pages.link('/storage/a"b/../c', project="p&q") == "/storage/a%22b/../c?project=p%26q"
    assert pages.link("/run", project="") == "/run"


def test_a_dotted_name_breaks_behind_its_dots_and_is_escaped() -> None:
    assert pages.breakable("run.<b>.get") == "run.<wbr>&lt;b&gt;.<wbr>get"
