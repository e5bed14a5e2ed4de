"""The emulator that bad input must not reach."""

from tests.integration.conftest import cloud

__all__ = ["cloud"]
