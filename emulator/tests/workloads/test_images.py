from __future__ import annotations

import os
import re
from pathlib import Path

import pytest
from gcp_emulator.workloads.images import (
    ImageConfig,
    ImageStore,
    Interpreter,
    remove_tree,
    tree_digest,
    user_ids,
)

PYTHON = Interpreter("/opt/py/bin/python3.13", "/opt/py", "3.13.1")


@pytest.fixture
def store(tmp_path: Path) -> ImageStore:
    return ImageStore(tmp_path / "images")


def tree(folder: Path, **files: str) -> Path:
    folder.mkdir(parents=True)
    for name, content in files.items():
        (folder / name).write_text(content)
        (folder / name).chmod(0o644)
    return folder


def test_an_image_comes_back_as_it_was_put(tmp_path: Path, store: ImageStore) -> None:
    config = ImageConfig(
        env=("A=1",),
        cmd=("run",),
        user="app",
        exposed_ports=("80/tcp",),
        labels={"k": "v"},
        working_dir="/app",
    )

    image = store.put(tree(tmp_path / "t", a="hello"), config, PYTHON)

    again = ImageStore(tmp_path / "images").get(image.digest)
    assert again == image
    assert (again.config, again.python, again.size) == (config, PYTHON, 5)
    assert (image.root / "a").read_text() == "hello"
    assert not (tmp_path / "t").exists()


def test_the_digest_is_of_paths_modes_contents_and_configuration_not_of_times(
    tmp_path: Path, store: ImageStore
) -> None:
    first = store.put(tree(tmp_path / "t1", a="x"), ImageConfig(), None)
    same = tree(tmp_path / "t2", a="x")
    os.utime(same / "a", (1, 1))
    mode = tree(tmp_path / "t3", a="x")
    (mode / "a").chmod(0o755)

    assert store.put(same, ImageConfig(), None) == first
    digests = {
        store.put(mode, ImageConfig(), None).digest,
        store.put(tree(tmp_path / "t4", a="y"), ImageConfig(), None).digest,
        store.put(tree(tmp_path / "t5", b="x"), ImageConfig(), None).digest,
        store.put(tree(tmp_path / "t6", a="x"), ImageConfig(cmd=("a",)), None).digest,
        store.put(tree(tmp_path / "t7", a="x"), ImageConfig(), PYTHON).digest,
    }
    assert len(digests | {first.digest}) == 6
    assert next(iter(store.list())) == first


def test_a_deleted_image_is_gone_with_its_files(tmp_path: Path, store: ImageStore) -> None:
    image = store.put(tree(tmp_path / "t", a="x"), ImageConfig(), None)

    assert store.delete(image.digest) is True
    assert store.get(image.digest) is None
    assert not image.root.exists()
    assert store.delete(image.digest) is False


def test_what_is_not_a_digest_is_refused_before_a_path_is_made_of_it(store: ImageStore) -> None:
    message = "not an image digest: 'sha256:../../etc'; expected sha256:<64 hexadecimal digits>"

    with pytest.raises(ValueError, match=f"^{re.escape(message)}$"):
        store.get("sha256:../../etc")


def test_a_link_counts_by_its_target_and_is_not_followed(tmp_path: Path) -> None:
    first, second = tree(tmp_path / "a"), tree(tmp_path / "b")
    (first / "link").symlink_to("/etc/passwd")
    (second / "link").symlink_to("/etc/group")

    assert tree_digest(first) != tree_digest(second)
    assert tree_digest(first)[1] == 0


def test_the_configuration_survives_the_oci_spelling() -> None:
    config = ImageConfig(env=("A=1",), entrypoint=(), cmd=("x",), stop_signal="SIGINT")

    assert config.to_oci() == {"Env": ["A=1"], "Cmd": ["x"], "StopSignal": "SIGINT"}
    assert ImageConfig.from_oci(config.to_oci()).cmd == ("x",)


@pytest.mark.parametrize(
    ("user", "ids"),
    [
        ("", (0, 0)),
        ("app", (2000, 2001)),
        ("2000", (2000, 2001)),
        ("7", (7, 0)),
        ("app:web", (2000, 33)),
        ("7:8", (7, 8)),
    ],
)
def test_a_user_is_looked_up_in_the_image(tmp_path: Path, user: str, ids: tuple[int, int]) -> None:
    (tmp_path / "etc").mkdir()
    (tmp_path / "etc/passwd").write_text("app:x:2000:2001::/home/app:/bin/sh\n")
    (tmp_path / "etc/group").write_text("web:x:33:\n")

    assert user_ids(tmp_path, user) == ids


def test_an_unknown_user_is_refused_in_dockers_words(tmp_path: Path) -> None:
    with pytest.raises(LookupError) as caught:
        user_ids(tmp_path, "nobody2")

    assert str(caught.value) == "unable to find user nobody2: no matching entries in passwd file"


def test_a_tree_with_closed_folders_can_be_removed(tmp_path: Path) -> None:
    closed = tmp_path / "t" / "closed"
    closed.mkdir(parents=True)
    (closed / "file").touch()
    closed.chmod(0o500)

    remove_tree(tmp_path / "t")

    assert not (tmp_path / "t").exists()
