"""Enum values by name and by number (``enums.yaml``)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cache

from gcp_emulator.engine.facts import read_yaml


@cache
def _enums() -> dict[tuple[str, ...], Mapping[str, int]]:
    listed = read_yaml("engine/enums.yaml")["enums"]
    return {
        tuple(enum): {name: number for name, number in enum.items() if number is not None} for enum in listed
    }


def numbers(names: Sequence[str]) -> Mapping[str, int]:
    """The numbers of an enum that has these names, in the order of its document; none when they are not known."""
    return _enums().get(tuple(names), {})
