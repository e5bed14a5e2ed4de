# Copyright (c) 2026, The djangogcp contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Tables that the tests of several modules read."""

from __future__ import annotations

from ansible_collections.org.djangogcp.plugins.module_utils._fields import Field, Kind, number

ENV = Field(
    "env",
    kind=Kind.SET,
    key="name",
    replace=True,
    fields=(Field("name"), Field("value"), Field("ref", wire="source.ref")),
)

CONTAINERS = Field(
    "containers", kind=Kind.LIST, fields=(Field("image"), Field("cpu", wire="resources.cpu"), ENV)
)

CHECKS = ("http", "tcp", "both")

PROBE = Field(
    "probe",
    wire="health.probe",
    fields=(
        number("period"),
        Field("http", one_of=CHECKS, fields=(Field("path"), number("port"))),
        Field("tcp", one_of=CHECKS, fields=(number("port"),)),
        Field("both", one_of=CHECKS),
    ),
)
