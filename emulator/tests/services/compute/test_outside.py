"""The external addresses of machines, asked at the emulator's port."""

from __future__ import annotations

import pytest
from gcp_emulator.services.compute.outside import address_named

from emulator.tests.running import PROJECT, RunningEmulator
from emulator.tests.services.compute.conftest import Caller


@pytest.mark.parametrize(
    ("host", "address"),
    [
        ("198.18.0.2", "198.18.0.2"),
        ("2.0.18.198.bc.googleusercontent.com", "198.18.0.2"),
        ("2.0.18.256.bc.googleusercontent.com", None),
        ("0.18.198.bc.googleusercontent.com", None),
        ("storage.googleusercontent.com", None),
        ("example.com", None),
        ("::1", None),
    ],
)
def test_names_of_addresses(host: str, address: str | None) -> None:
    assert address_named(host) == address


def test_who_asks_for_a_record_is_told_that_nothing_runs(emulator: RunningEmulator, caller: Caller) -> None:
    """After the firewall has been asked."""
    address = caller.machine("web")["networkInterfaces"][0]["accessConfigs"][0]["natIP"]
    session = emulator.session(None)
    refused = session.get(f"http://{address}/")
    assert refused.status_code == 504
    assert "no firewall rule of its network lets tcp:80 from 127.0.0.1 in" in refused.text
    rule = {"name": "web", "allowed": [{"IPProtocol": "tcp", "ports": ["80"]}]}
    caller.do(f"projects/{PROJECT}/global/firewalls", rule | {"sourceRanges": ["127.0.0.1/32"]})
    refused = session.get(f"http://{address}/")
    assert refused.status_code == 504
    assert "the emulator was not started with --machines containers" in refused.text
    # Nobody has this one.
    assert session.get("http://198.19.255.1/").status_code == 403
