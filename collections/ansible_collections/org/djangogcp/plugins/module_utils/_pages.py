# Copyright (c) 2026, The djangogcp contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# PRIVATE to the collection: this file may change in any release.

"""What is read of a page of HTML: the style sheets that it links, the form that Django protects, its words."""

from __future__ import annotations

import html.parser
import typing as t
import urllib.parse

# The field that holds what Django protects a form with.
# Source: https://docs.djangoproject.com/en/stable/ref/csrf/
_FIELD = "csrfmiddlewaretoken"
_NOT_SHOWN = ("head", "script", "style", "template")
# Nobody presses a button, chooses a file, or ticks anything.
_NOT_SENT = ("submit", "button", "image", "reset", "file", "checkbox", "radio")


class Form(t.NamedTuple):
    """A form of a page.

    Attributes:
        url: where it is sent, absolute.
        fields: by name what it sends when nobody fills it in.
    """

    url: str
    fields: dict[str, str]


class Html(t.NamedTuple):
    """What a page holds.

    Attributes:
        style_sheets: the absolute addresses of those that it links, in their order.
        form: the first form with Django's token in it that is sent by POST, None if there is none.
        words: its text, or its title if it has none; on one line.
    """

    style_sheets: list[str]
    form: Form | None
    words: str


def read(text: str, url: str) -> Html:
    """Read a page, however broken it is.

    Args:
        text: the page, or its beginning.
        url: where it came from.
    """
    reader = _Reader(url)
    reader.feed(text)
    words = " ".join((" ".join(reader.words) or " ".join(reader.title)).split())
    return Html(list(dict.fromkeys(reader.style_sheets)), reader.form, words)


class _Reader(html.parser.HTMLParser):
    def __init__(self, url: str) -> None:
        super().__init__(convert_charrefs=True)
        self.style_sheets: list[str] = []
        self.form: Form | None = None
        self.words: list[str] = []
        self.title: list[str] = []
        self._url = self._base = url
        self._open: Form | None = None
        self._hidden: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        said = {name: value or "" for name, value in attrs}
        if tag in (*_NOT_SHOWN, "title"):
            self._hidden.append(tag)
        if tag == "base" and said.get("href"):
            self._base = self._absolute(said["href"])
        elif tag == "link" and said.get("href") and "stylesheet" in said.get("rel", "").lower().split():
            self.style_sheets.append(self._absolute(said["href"]))
        elif tag == "form" and said.get("method", "").lower() == "post":
            self._open = Form(self._absolute(said.get("action") or self._url), {})
        elif self._open is not None and tag in ("input", "select", "textarea") and said.get("name"):
            kind = said.get("type", "").lower()
            if kind not in _NOT_SENT:
                self._open.fields[said["name"]] = said.get("value", "") if kind == "hidden" else ""

    def handle_endtag(self, tag: str) -> None:
        if tag in self._hidden:
            while self._hidden.pop() != tag:
                pass
        if tag == "form" and self._open is not None:
            if self.form is None and _FIELD in self._open.fields:
                self.form = self._open
            self._open = None

    def handle_data(self, data: str) -> None:
        if self._hidden[-1:] == ["title"]:
            self.title.append(data)
        elif not self._hidden:
            self.words.append(data)

    def _absolute(self, address: str) -> str:
        try:
            return urllib.parse.urljoin(self._base, address.strip())
        except ValueError:
            return ""
