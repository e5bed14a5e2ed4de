# Copyright (c) 2026, The djangogcp contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# PRIVATE to the collection: this file may change in any release.

"""What a site costs a month by list prices: the prices as data, each with the page that has the last word, and their sum for the chosen sizes."""

from __future__ import annotations

import dataclasses
import re

from ansible_collections.org.djangogcp.plugins.module_utils._rules import memory_bytes

#: Until when public notes that quote the pages below were looked at; the pages themselves could not be read, and some of the notes are older.
#: US dollars, us-central1, without taxes and discounts.
AS_OF = "2026-10-10"
REGION = "us-central1"
#: How much more the dearest regions cost: 1.4 times for Cloud SQL in Santiago, by Google's list as
#: https://github.com/M-Naveed-Ashraf/cloud_pricing_with_infracost (GCP/cloudSQL/cloudSQL_cuds_infra_response.py) keeps it.
DEAREST = 1.4
HOURS = 730
_GIB = 1024**3


@dataclasses.dataclass(frozen=True)
class Price:
    """A list price.

    Attributes:
        usd: US dollars for one unit.
        unit: what of.
        page: the page of Google's that notes quote it from, and that has the last word.
    """

    usd: float
    unit: str
    page: str


_SQL = "https://cloud.google.com/sql/pricing"
_RUN = "https://cloud.google.com/run/pricing"
PRICES = {
    "sql vcpu": Price(0.0413, "vCPU hour", _SQL),
    "sql memory": Price(0.007, "GiB hour", _SQL),
    "sql db-f1-micro": Price(0.0105, "hour", _SQL),
    "sql db-g1-small": Price(0.035, "hour", _SQL),
    "sql ssd": Price(0.000232877, "GiB hour", _SQL),
    # An instance that is kept and has no request to answer, with request-based billing.
    "run idle vcpu": Price(0.0000025, "vCPU second", _RUN),
    "run idle memory": Price(0.0000025, "GiB second", _RUN),
    # An instance of a worker pool, which is paid for as long as it is there.
    "run worker vcpu": Price(0.000011244, "vCPU second", _RUN),
    "run worker memory": Price(0.000001235, "GiB second", _RUN),
    "storage standard": Price(0.000027397, "GiB hour", "https://cloud.google.com/storage/pricing"),
    "registry": Price(0.000136986, "GiB hour", "https://cloud.google.com/artifact-registry/pricing"),
    "secret version": Price(0.06, "version a month", "https://cloud.google.com/secret-manager/pricing"),
}
#: The versions of databases that Google charges more for, as their makers no longer look after them, and since when: "Extended support start
#: date" of https://cloud.google.com/sql/docs/mysql/db-versions, as public copies of the page have it. What it costs for a vCPU, none of them says.
EXTENDED_SUPPORT = {"MYSQL_8_0": "2026-07-01"}
EXTENDED_SUPPORT_PAGE = "https://cloud.google.com/sql/docs/mysql/extended-support"
#: What is free of each billing account every month.
FREE_REGISTRY_GIB = 0.5
FREE_SECRET_VERSIONS = 6
#: What a small site has; a person who has more of it knows so.
ASSUMED_DATABASE_GIB = 10
ASSUMED_UPLOADS_GIB = 5
ASSUMED_IMAGES_GIB = 2
ASSUMED_SECRET_VERSIONS = 8


@dataclasses.dataclass(frozen=True)
class Line:
    """One line of a bill.

    Attributes:
        what: what is paid for, with the size that is assumed.
        usd: US dollars a month; None where no price is known.
    """

    what: str
    usd: float | None


def monthly(
    tier: str,
    availability: str,
    min_instances: int,
    cpu: str,
    memory: str,
    workers: int = 0,
    version: str = "",
) -> list[Line]:
    """The lines of a month's bill of a site that nearly nobody visits, in REGION.

    Args:
        tier: the tier of the database instance.
        availability: ZONAL or REGIONAL, which has everything twice.
        min_instances: the instances of the service that are kept.
        cpu: the CPUs of each, as Cloud Run has it.
        memory: the memory of each, as Cloud Run has it.
        workers: the containers that work in the background, of one CPU and this memory each.
        version: the version of the database, as Cloud SQL calls it.
    """
    copies = 2 if availability == "REGIONAL" else 1
    instance = instance_usd(tier)
    since = EXTENDED_SUPPORT.get(version)
    kept = (
        min_instances
        * HOURS
        * 3600
        * (
            _cpus(cpu) * PRICES["run idle vcpu"].usd
            + (memory_bytes(memory) or 0) / _GIB * PRICES["run idle memory"].usd
        )
    )
    working = (
        workers
        * HOURS
        * 3600
        * (
            PRICES["run worker vcpu"].usd
            + (memory_bytes(memory) or 0) / _GIB * PRICES["run worker memory"].usd
        )
    )
    return [
        Line(
            f"Cloud SQL {tier}, {availability.lower()}, always on",
            None if instance is None else instance * copies,
        ),
        *(
            [
                Line(
                    f"Cloud SQL extended support of {version}, charged since {since} ({EXTENDED_SUPPORT_PAGE})",
                    None,
                )
            ]
            if since
            else []
        ),
        Line(
            f"Cloud SQL storage, {ASSUMED_DATABASE_GIB} GiB SSD",
            ASSUMED_DATABASE_GIB * HOURS * PRICES["sql ssd"].usd * copies,
        ),
        Line(
            f"Cloud Run, {min_instances} instances kept, idle ({cpu} vCPU, {memory})"
            if min_instances
            else "Cloud Run at idle, no instance kept",
            kept,
        ),
        *(
            [Line(f"Cloud Run, {workers} background workers, always on (1 vCPU, {memory})", working)]
            if workers
            else []
        ),
        Line(
            f"Cloud Storage, {ASSUMED_UPLOADS_GIB} GiB of uploads and static files",
            ASSUMED_UPLOADS_GIB * HOURS * PRICES["storage standard"].usd,
        ),
        Line(
            f"Artifact Registry, {ASSUMED_IMAGES_GIB} GiB of images, {FREE_REGISTRY_GIB} free",
            (ASSUMED_IMAGES_GIB - FREE_REGISTRY_GIB) * HOURS * PRICES["registry"].usd,
        ),
        Line(
            f"Secret Manager, {ASSUMED_SECRET_VERSIONS} versions, {FREE_SECRET_VERSIONS} free",
            (ASSUMED_SECRET_VERSIONS - FREE_SECRET_VERSIONS) * PRICES["secret version"].usd,
        ),
    ]


def instance_usd(tier: str) -> float | None:
    """What a zonal instance of Cloud SQL's Enterprise edition costs a month, None for a tier of which no price is known."""
    if price := PRICES.get(f"sql {tier}"):
        return HOURS * price.usd
    if custom := re.fullmatch(r"db-custom-(\d+)-(\d+)", tier):
        return HOURS * (
            int(custom[1]) * PRICES["sql vcpu"].usd + int(custom[2]) / 1024 * PRICES["sql memory"].usd
        )
    return None


def _cpus(said: str) -> float:
    return float(said[:-1]) / 1000 if said.endswith("m") else float(said)
