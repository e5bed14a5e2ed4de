# Copyright (c) 2026, The djangogcp contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
name: shell_words
author: The djangogcp contributors (@djangogcp)
version_added: 0.9.0
short_description: Split a command as a shell does
description:
  - Splits at spaces and honours quotes. A list stays as it is.
options:
  _input:
    description: The command.
    type: raw
    required: true
"""

EXAMPLES = r"""
- name: Show three words
  ansible.builtin.debug:
    msg: "{{ 'shell -c \"print(1 + 1)\"' | org.djangogcp.shell_words }}"
"""

RETURN = r"""
_value:
  description: The words.
  type: list
  elements: str
  sample: [shell, -c, print(1 + 1)]
"""

import shlex
import typing as t

from ansible.errors import AnsibleFilterError


def shell_words(command: str | t.Sequence[t.Any]) -> list[str]:
    """The words of *command*. See DOCUMENTATION.

    Raises:
        AnsibleFilterError: there is no word, or a quote is not closed.
    """
    try:
        words = shlex.split(command) if isinstance(command, str) else [str(word) for word in command]
    except ValueError as error:
        raise AnsibleFilterError(f"The command {command!r} cannot be split: {error}.") from None
    if not words:
        raise AnsibleFilterError("The command is empty.")
    return words


class FilterModule:
    def filters(self) -> dict[str, t.Callable[..., t.Any]]:
        return {"shell_words": shell_words}
