"""Logging in, so many times: whatever form it is that asks, the admin's too, and before a password is hashed."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from asgiref.sync import sync_to_async
from django.contrib.auth import get_user_model
from django.contrib.auth.backends import ModelBackend
from django.contrib.auth.base_user import AbstractBaseUser
from django.http import HttpRequest

from throttles import devices
from throttles.clients import network_of
from throttles.rates import ThrottledError, give_back, take

# A password takes a CPU for a tenth of a second or more, on purpose, and an instance has one. One is hashed at a time, and few
# wait, so that pages have the other half of the CPU, and the other threads of a worker.
_MOST_WAITING = 4
_BUSY_SECONDS = 5
_turns = threading.BoundedSemaphore(_MOST_WAITING)
_hashing = threading.Lock()


@contextmanager
def _turn() -> Iterator[None]:
    if not _turns.acquire(blocking=False):
        raise ThrottledError("login", _BUSY_SECONDS)
    try:
        with _hashing:
            yield
    finally:
        _turns.release()


class ThrottledModelBackend(ModelBackend):
    """Django's own, which tries no more passwords for an account, or from an address, than the rates allow.

    Whether the account exists makes no difference. What succeeds is not counted: people of one network do not use up each
    other's tries by logging in.
    """

    def authenticate(
        self,
        request: HttpRequest | None,
        username: str | None = None,
        password: str | None = None,
        **kwargs: Any,
    ) -> AbstractBaseUser | None:
        """Return the user, or None.

        Raises:
            throttles.rates.ThrottledError: too many have failed, or are tried at this moment.
        """
        field = get_user_model()._meta.get_field(get_user_model().USERNAME_FIELD)
        account = field.to_python(kwargs.get(field.name) if username is None else username)
        if account is None or password is None:
            return None
        tries = _tries(request, account)
        for name, client in tries:
            take(name, client)
        counts = False
        try:
            with _turn():
                user = super().authenticate(request, account, password)
            counts = user is None
        finally:
            if not counts:
                for name, client in tries:
                    give_back(name, client)
        return user

    async def aauthenticate(self, *args: Any, **kwargs: Any) -> AbstractBaseUser | None:
        """As `authenticate`, which Django's would go round."""
        return await sync_to_async(self.authenticate)(*args, **kwargs)


def _tries(request: HttpRequest | None, account: str) -> list[tuple[str, str]]:
    """The rates that a log-in counts for, and as whom."""
    if request is None:  # not over the network
        return [("login-account", account)]
    if device := devices.known(request, account):
        # However many others try this account, or from here: who has been in before still gets in.
        return [("login-account", f"{account} {device}")]
    return [("login-address", network_of(request)), ("login-account", account)]
