"""Ports: one provider each, and a start that says what is missing."""

from __future__ import annotations

from typing import Protocol

import pytest
from gcp_emulator.engine.ports import MissingPortError, Ports


class Clocks(Protocol):
    def time(self) -> str: ...


class Tower:
    def time(self) -> str:
        return "noon"


def test_who_needs_a_port_gets_its_provider() -> None:
    ports = Ports()
    ports.offer(Clocks, Tower())
    assert ports.find(Clocks).time() == "noon"


def test_a_port_that_nobody_offers_is_named() -> None:
    with pytest.raises(MissingPortError, match=r"no service offers Clocks \(.*test_ports\)"):
        Ports().find(Clocks)


def test_a_port_has_one_provider() -> None:
    ports = Ports()
    ports.offer(Clocks, Tower())
    with pytest.raises(ValueError, match="Clocks is offered twice"):
        ports.offer(Clocks, Tower())
