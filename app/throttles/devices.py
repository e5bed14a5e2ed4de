"""Browsers in which somebody has logged in before, known by a signed cookie.

Whoever keeps guessing at an account uses up its tries; the owner's browser has tries of its own, and is not locked out
(https://owasp.org/www-community/Slow_Down_Online_Guessing_Attacks_with_Device_Cookies).
"""

from __future__ import annotations

from secrets import token_urlsafe

from django.conf import settings
from django.contrib.auth.base_user import AbstractBaseUser
from django.http import HttpRequest, HttpResponse
from django.utils.crypto import constant_time_compare, salted_hmac

_COOKIE = "device"
_ONE_YEAR = 365 * 24 * 3600  # seconds


def known(request: HttpRequest, account: str) -> str | None:
    """Return the name of the browser, if somebody has logged in to `account` in it; else None."""
    value = request.get_signed_cookie(_COOKIE, default="", max_age=_ONE_YEAR)
    of_account, _, device = value.partition(".")
    return device if constant_time_compare(of_account, _digest(account)) else None


def remember(request: HttpRequest, response: HttpResponse, user: AbstractBaseUser) -> None:
    """Have the browser keep that `user` has logged in in it."""
    account = user.get_username()
    device = known(request, account) or token_urlsafe(16)
    response.set_signed_cookie(
        _COOKIE,
        f"{_digest(account)}.{device}",
        max_age=_ONE_YEAR,
        secure=settings.SESSION_COOKIE_SECURE,
        httponly=True,
        samesite="Lax",
    )


def _digest(account: str) -> str:
    """What stands for `account` in a cookie, which the next person at that browser may read."""
    return salted_hmac("throttles.devices", account, algorithm="sha256").hexdigest()
