"""The home page, and the page for when nothing else works."""

from __future__ import annotations

from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.template import loader
from django.templatetags.static import static

from gallery.models import Picture
from gallery.views import sign_thumbnails
from polls.models import Question


def home(request: HttpRequest) -> HttpResponse:
    """Show what there is to do: the newest polls and pictures."""
    pictures = list(Picture.objects.all()[:6])
    sign_thumbnails(pictures)
    return render(request, "home.html", {"questions": Question.objects.published()[:3], "pictures": pictures})


def favicon(request: HttpRequest) -> HttpResponse:
    """Send the icon to those that look for it at the old address: the admin's pages name none."""
    return redirect(static("site/icon.svg"))


def server_error(request: HttpRequest) -> HttpResponse:
    """Answer 500 with a page that needs nothing: no session, no database, no static file. Its styles are inline."""
    response = HttpResponse(loader.get_template("500.html").render(), status=500)
    response.headers["Content-Security-Policy"] = "default-src 'none'; style-src 'unsafe-inline'"
    return response
