# Copyright (c) 2026, The djangogcp contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Records are numbered, and written once."""

from __future__ import annotations

from ansible_collections.org.djangogcp.plugins.module_utils._records import Records, name_of, number_of

LIST = "https://storage.googleapis.com/storage/v1/b/b/o"
UPLOAD = "https://storage.googleapis.com/upload/storage/v1/b/b/o"
TAKEN = (
    412,
    {"error": {"code": 412, "message": "At least one of the pre-conditions you specified did not hold."}},
)


def named(*names):
    return {"items": [{"name": name} for name in names]}


def test_names_are_in_the_order_of_numbers():
    assert name_of("releases", 7) == "releases/000007.json"
    assert number_of("releases", "releases/000007.json") == 7
    for other in ("lock.json", "releases/7.json", "releases/000007.json.bak", "other/000007.json"):
        assert number_of("releases", other) is None


def test_what_is_no_record_is_not_counted(client, google):
    google.answer("GET", LIST, named("releases/000002.json", "releases/000010.json", "releases/notes.txt"))
    assert Records(client, "b", "releases").numbers() == [10, 2]


def test_a_bucket_that_is_not_there_has_no_records(client, google, refuse):
    google.answer("GET", LIST, refuse(404, "NOT_FOUND", "no"))
    assert Records(client, "b", "releases").numbers() == []


def test_a_number_that_somebody_has_taken_meanwhile_is_left_to_them(client, google):
    google.answer("GET", LIST, named("releases/000002.json"))
    google.answer("POST", UPLOAD, TAKEN, {"generation": "1"})
    google.answer("GET", f"{LIST}/releases%2F000003.json", {"who": "bob"})
    assert Records(client, "b", "releases").write({"who": "alice"}) == 4
    written = [one.params for one in google.sent if one.method == "POST"]
    assert [one["name"] for one in written] == ["releases/000003.json", "releases/000004.json"]
    assert {one["ifGenerationMatch"] for one in written} == {"0"}


def test_a_record_whose_answer_was_lost_is_written_once(client, google):
    google.answer("GET", LIST, named())
    google.answer("POST", UPLOAD, TAKEN)
    google.answer("GET", f"{LIST}/releases%2F000001.json", {"who": "alice"})
    assert Records(client, "b", "releases").write({"who": "alice"}) == 1
