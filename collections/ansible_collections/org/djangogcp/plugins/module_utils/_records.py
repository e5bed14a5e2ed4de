# Copyright (c) 2026, The djangogcp contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# PRIVATE to the collection: this file may change in any release.

"""Numbered records in a bucket: each is an object of JSON that is written once and never changed. Only the oldest ones are ever deleted.

Source: ifGenerationMatch=0 creates an object only where there is none (https://cloud.google.com/storage/docs/request-preconditions); objects are
listed in the order of their names (https://cloud.google.com/storage/docs/json_api/v1/objects/list).
"""

from __future__ import annotations

import json
import re
import typing as t

from ansible_collections.org.djangogcp.plugins.module_utils._client import Call, Client, Json
from ansible_collections.org.djangogcp.plugins.module_utils._errors import ApiError
from ansible_collections.org.djangogcp.plugins.module_utils._services.storage import (
    API,
    create_object,
    delete_object,
    object_address,
)

#: So many digits that names are in the order of numbers for longer than anybody deploys.
_DIGITS = 6


def name_of(folder: str, number: int) -> str:
    """The name of a record's object, for instance "releases/000007.json"."""
    return f"{folder}/{number:0{_DIGITS}}.json"


def number_of(folder: str, name: str) -> int | None:
    """The number of the record with that name; None if it is no record."""
    found = re.fullmatch(rf"{re.escape(folder)}/(\d{{{_DIGITS}}})\.json", name)
    return int(found[1]) if found else None


class Records:
    """The records of one folder.

    Args:
        client: calls Cloud Storage.
        bucket: the name of the bucket.
        folder: what the names of the objects begin with.
    """

    def __init__(self, client: Client, bucket: str, folder: str) -> None:
        self._client = client
        self._bucket = bucket
        self._folder = folder

    def numbers(self) -> list[int]:
        """The numbers of all records, the newest first. A bucket that is not there has none."""
        call = Call(f"list the records of gs://{self._bucket}/{self._folder}", "storage.objects.list")
        params = {"prefix": f"{self._folder}/", "fields": "items(name),nextPageToken"}
        url = f"{API}/b/{self._bucket}/o"
        try:
            names = [one["name"] for one in self._client.list(url, call, items="items", params=params)]
        except ApiError as error:
            if error.status == 404:
                return []
            raise
        found = (number_of(self._folder, name) for name in names)
        return sorted((number for number in found if number is not None), reverse=True)

    def read(self, number: int) -> Json | None:
        """A record with its number; None if there is none."""
        name = name_of(self._folder, number)
        call = Call(f"read gs://{self._bucket}/{name}", "storage.objects.get")
        content = self._client.find(object_address(self._bucket, name), call, params={"alt": "media"})
        return None if content is None else {**content, "number": number}

    def delete(self, number: int) -> None:
        """Delete a record; one that is gone is deleted."""
        name = name_of(self._folder, number)
        call = Call(f"delete gs://{self._bucket}/{name}", "storage.objects.delete")
        delete_object(self._client, call, self._bucket, name)

    def write(self, content: t.Mapping[str, t.Any]) -> int:
        """Write a record with the next number, and return that."""
        number = max(self.numbers(), default=0) + 1
        data = json.dumps(content, indent=1, sort_keys=True).encode()
        while True:
            name = name_of(self._folder, number)
            call = Call(f"write gs://{self._bucket}/{name}", "storage.objects.create")
            if create_object(self._client, call, self._bucket, name, data):
                return number
            # Written by somebody else meanwhile, or by the first attempt, whose answer was lost.
            if self.read(number) == {**json.loads(data), "number": number}:
                return number
            number += 1
