"""The store's documents: own copies, the shared one, and what a restart finds."""

from __future__ import annotations

from pathlib import Path

from gcp_emulator.engine.store import Store


def test_what_is_read_is_the_reader_s_own() -> None:
    things = Store(None).collection("things")
    things.put("a", {"list": [1]})
    read = things.get("a")
    assert read is not None
    read["list"].append(2)
    assert things.get("a") == {"list": [1]}


def test_the_shared_document_follows_every_change() -> None:
    things = Store(None).collection("things")
    assert things.peek("a") is None
    things.put("a", {"number": 1})
    assert things.peek("a") is things.peek("a")
    things.put("a", {"number": 2})
    assert things.peek("a") == {"number": 2}
    things.delete("a")
    assert things.peek("a") is None


def test_names_are_sorted_and_found_by_their_beginning() -> None:
    things = Store(None).collection("things")
    for name in ("b/2", "a/1", "b/1", "c", "b"):
        things.put(name, {})
    things.put("a/1", {"again": True})
    assert things.names() == ["a/1", "b", "b/1", "b/2", "c"]
    assert things.names("b/") == ["b/1", "b/2"]
    things.delete("b/1")
    assert (things.names("b"), things.names("d")) == (["b", "b/2"], [])


def test_every_change_is_counted() -> None:
    things = Store(None).collection("things")
    things.put("a", {})
    things.put("a", {})
    assert things.delete("a")
    assert not things.delete("a")
    assert things.changes == 3


def test_documents_survive_a_restart(tmp_path: Path) -> None:
    store = Store(tmp_path / "store.sqlite")
    store.collection("things").put("a", {"number": 1})
    store.close()
    again = Store(tmp_path / "store.sqlite").collection("things")
    assert (again.peek("a"), again.names()) == ({"number": 1}, ["a"])
