"""What Google Cloud has refused reads as: what failed, on what, why, and what to do."""

from __future__ import annotations

import json
from http import HTTPStatus

import pytest
from ansible_collections.org.djangogcp.plugins.module_utils._errors import ApiError, api_error
from gcp_emulator.recording.form import Exchange

from tests.recorded.told import FOLDER, MISSING, conversations

pytestmark = pytest.mark.skipif(not FOLDER, reason=MISSING)


def refusals() -> list[tuple[str, Exchange]]:
    """The refused requests of all APIs, with the names of their conversations."""
    return [
        (one.name, exchange)
        for one in conversations()
        for exchange in one.exchanges
        if exchange.status >= 400
    ]


def error_of(exchange: Exchange) -> ApiError:
    return api_error(
        doing="read thing x",
        status=exchange.status,
        reason_phrase=HTTPStatus(exchange.status).phrase,
        text=json.dumps(exchange.response),
    )


def test_what_was_refused_says_why_and_what_to_do() -> None:
    for name, exchange in refusals():
        error = error_of(exchange)
        said = exchange.response["error"]["message"]
        assert error.explanation == said, name
        assert error.message.startswith(
            f"Failed to read thing x: {said.rstrip('.')} (HTTP {exchange.status} "
        ), name
        assert error.message.partition(").")[2].strip(), f"{name}: nothing says what to do: {error.message}"


def test_what_is_not_there_is_nothing_else() -> None:
    """Its cures are of what is missing; nobody was first, nothing is busy, no policy and no API is in the way."""
    missing = [(name, exchange) for name, exchange in refusals() if exchange.status == 404]
    for name, exchange in missing:
        error = error_of(exchange)
        assert error.is_absent, name
        others = (
            error.is_stale,
            error.is_busy,
            error.is_in_use,
            error.already_exists,
            error.is_disabled,
            error.constraint,
        )
        assert not any(others), name
        assert "Check its name" in error.message, error.message
    if not missing:
        pytest.skip("in no recorded conversation is anything missing")
