"""What services offer one another: objects that keep the promises of a ``Protocol`` in the provider's ``ports.py``."""

from __future__ import annotations

from typing import Any, TypeVar

P = TypeVar("P")


class MissingPortError(Exception):
    """A service needs what no service before it in the list of services offers."""


class Ports:
    """Each port has one provider. Services look up what they need as they are made, so whatever is missing stops the start."""

    def __init__(self) -> None:
        self._providers: dict[type[Any], Any] = {}

    def offer(self, port: type[P], provider: P) -> None:
        """Makes ``provider`` the one of ``port``. ValueError when there is one already."""
        if port in self._providers:
            raise ValueError(f"{port.__name__} is offered twice")
        self._providers[port] = provider

    def find(self, port: type[P]) -> P:
        """The provider of ``port``; MissingPortError."""
        if port not in self._providers:
            raise MissingPortError(
                f"no service offers {port.__name__} ({port.__module__}) to those behind it in services/__init__.py"
            )
        provider: P = self._providers[port]
        return provider
