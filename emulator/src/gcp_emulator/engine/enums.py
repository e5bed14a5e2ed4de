"""Enum values by name and by number (``enums.yaml``)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cache

from gcp_emulator.engine.facts import read_yaml


@cache
def _enums() -> dict[tuple[str, ...], Mapping[str, int]]:
    return {tuple(enum): enum for enum in read_yaml("engine/enums.yaml")["enums"]}


def numbers(names: Sequence[str]) -> Mapping[str, int]:
    """The numbers of an enum that has these names, in the order of its document; none when they are not known."""
    return _enums().get(tuple(names), {})
