"""The answer to who tries too often, and the cookie of who has logged in."""

from __future__ import annotations

from collections.abc import Callable

from django.contrib.auth.base_user import AbstractBaseUser
from django.contrib.auth.signals import user_logged_in
from django.dispatch import receiver
from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.utils.cache import add_never_cache_headers

from throttles import devices
from throttles.rates import ThrottledError


class ThrottleMiddleware:
    """Answers 429 with a page that says how long to wait, wherever a rate was found used up."""

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponse]) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        response = self.get_response(request)
        if user := getattr(request, "_logged_in", None):
            devices.remember(request, response, user)
        return response

    def process_exception(self, request: HttpRequest, exception: Exception) -> HttpResponse | None:
        if not isinstance(exception, ThrottledError):
            return None
        minutes = -(-exception.retry_after // 60)
        response = render(request, "429.html", {"minutes": minutes}, status=429)
        response.headers["Retry-After"] = str(exception.retry_after)
        add_never_cache_headers(response)
        return response


@receiver(user_logged_in)
def note(request: HttpRequest | None, user: AbstractBaseUser, **_: object) -> None:
    """Have the middleware know, which has the answer."""
    if request is not None:
        request._logged_in = user
