"""Whatever is sent to it, the emulator answers, answers for one project only, and never fails.

The examples of a run without settings are always the same. ``FUZZ_EXAMPLES=20000`` takes so many for each test, other ones
each time; ``make fuzz`` does.
"""

from __future__ import annotations

import os
import re
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path
from random import Random

import pytest
from gcp_emulator.engine import discovery
from gcp_emulator.engine.discovery import Api, Method
from gcp_emulator.engine.facts import load_facts
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from emulator.tests.fuzz.calls import Maker
from emulator.tests.fuzz.cloud import MARKER, PATIENCE, Cloud, check
from emulator.tests.fuzz.elsewhere import Elsewhere
from emulator.tests.fuzz.wire import converse, stream

#: Hypothesis picks where chance begins, and does not look at each throw: that makes twenty times as many calls.
CHANCE = st.randoms(use_true_random=True)
_ASKED = int(os.environ.get("FUZZ_EXAMPLES", "0"))


def fuzzed(examples: int) -> settings:
    """Settings for so many examples, unless another number is asked for."""
    return settings(
        max_examples=_ASKED or examples,
        derandomize=not _ASKED,
        database=None,
        deadline=None,
        suppress_health_check=list(HealthCheck),
        report_multiple_bugs=False,
    )


@pytest.fixture(scope="module")
def cloud() -> Iterator[Cloud]:
    state = Path(tempfile.mkdtemp(prefix="fuzz-"))
    found = Cloud(state)
    yield found
    try:
        found.check_after_all()
    finally:
        found.stop()
        shutil.rmtree(state, ignore_errors=True)


def _mounted() -> list[tuple[Api, list[Method]]]:
    from gcp_emulator.services import SERVICES

    found = []
    for kind in SERVICES:
        for version in kind.versions:
            api = discovery.load(kind.api, version)
            methods = [
                method for name, method in sorted(api.methods.items()) if name in load_facts(kind.api).methods
            ]
            if methods:
                found.append((api, methods))
    return found


MOUNTED = _mounted()


@pytest.mark.parametrize(
    "number", range(len(MOUNTED)), ids=[f"{api.name}.{api.version}" for api, _ in MOUNTED]
)
def test_any_call_of_an_api(cloud: Cloud, number: int) -> None:
    api, methods = MOUNTED[number]

    @fuzzed(20 + 10 * len(methods))
    @given(CHANCE)
    def run(random: Random) -> None:
        request = Maker(random).call(api, methods)
        status, body = cloud.send(request)
        check(request, status, body)

    run()


@fuzzed(1000)
@given(random=CHANCE)
def test_any_call_of_what_no_document_describes(cloud: Cloud, random: Random) -> None:
    request = Elsewhere(random).call()
    check(request, *cloud.send(request))


@fuzzed(300)
@given(random=CHANCE)
def test_any_call_of_the_emulator_s_own_addresses(cloud: Cloud, random: Random) -> None:
    request = Elsewhere(random).control()
    check(request, *cloud.send(request))


@fuzzed(700)
@given(random=CHANCE)
def test_any_bytes(cloud: Cloud, random: Random) -> None:
    answer = converse(cloud.port, stream(random), PATIENCE)
    statuses = re.findall(rb"^HTTP/1\.1 (\d\d\d)", answer, re.MULTILINE)
    assert all(int(status) < 500 for status in statuses), answer[:2000]
    assert MARKER.encode() not in answer
