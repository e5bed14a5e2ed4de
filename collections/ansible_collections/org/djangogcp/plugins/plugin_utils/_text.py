# Copyright (c) 2026, The djangogcp contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# PRIVATE to the collection: this file may change in any release.

"""Files of somebody else's project, read as text."""

from __future__ import annotations

import codecs
import os
import typing as t
from pathlib import Path

if t.TYPE_CHECKING:
    from collections.abc import Iterable

#: Longer ones are no source code.
MAX_TEXT_BYTES = 1024 * 1024


def read(path: Path, utf_16: bool = False) -> str:
    """The beginning of a file, "" if there is none.

    Args:
        path: the file.
        utf_16: whether a byte order mark of UTF-16 is honoured, too, as pip does in requirements files.

    Raises:
        OSError: it cannot be read.
        UnicodeDecodeError: it is no text.
    """
    if not os.path.isfile(path):
        return ""
    with open(path, "rb") as file:
        data = file.read(MAX_TEXT_BYTES)
    # A character may stand on the end, and a byte order mark at the beginning.
    errors = "strict" if len(data) < MAX_TEXT_BYTES else "ignore"
    is_utf_16 = utf_16 and data.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE))
    return data.decode("utf-16" if is_utf_16 else "utf-8-sig", errors)


def text(path: Path, utf_16: bool = False) -> str:
    """The same, "" if it cannot be read either."""
    try:
        return read(path, utf_16)
    except (OSError, UnicodeDecodeError):
        return ""


def unreadable(root: Path, names: Iterable[str], utf_16: bool = False) -> list[str]:
    """Each of some files that cannot be read as text, with the reason."""
    found = []
    for name in names:
        try:
            read(root / name, utf_16)
        except UnicodeDecodeError as error:
            found.append(f"{name} is not UTF-8 ({error.reason} at byte {error.start})")
        except OSError as error:
            found.append(f"{name} cannot be read ({error.strerror})")
    return found
