"""Who votes: a browser, known by a random number in a signed cookie. No account and no session is needed."""

from __future__ import annotations

from uuid import UUID, uuid4

from django.conf import settings
from django.http import HttpRequest, HttpResponse

_COOKIE = "voter"
_ONE_YEAR = 365 * 24 * 3600  # seconds


def voter_of(request: HttpRequest) -> UUID:
    """Return the number of the browser that sent `request`: the cookie's, or a new one."""
    value = request.get_signed_cookie(_COOKIE, default=None)
    return UUID(value) if value else uuid4()


def remember_voter(response: HttpResponse, voter: UUID) -> None:
    """Have the browser keep its number."""
    response.set_signed_cookie(
        _COOKIE,
        voter.hex,
        max_age=_ONE_YEAR,
        secure=settings.SESSION_COOKIE_SECURE,
        httponly=True,
        samesite="Lax",
    )
