from __future__ import annotations

import io
import tarfile
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from gcp_emulator.workloads.build import archive as builder_archive
from gcp_emulator.workloads.build.archive import add_files, unpack_tar
from gcp_emulator.workloads.build.copy import (
    CopyError,
    CopySource,
    IgnoreRules,
    Placement,
    build_context,
    copy_files,
    make_folder,
    resolve_inside,
)


@pytest.fixture
def context(tmp_path: Path) -> Path:
    root = tmp_path / "context"
    for name in ("a.txt", "b.txt", "src/main.py", "src/deep/x.pyc", "secret/.env"):
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(name)
    return root


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    (tmp_path / "tree").mkdir()
    return tmp_path / "tree"


def source(root: Path, rules: str = "") -> CopySource:
    return CopySource(root, "build context", IgnoreRules(rules))


def files(tree: Path) -> list[str]:
    return sorted(str(path.relative_to(tree)) for path in tree.rglob("*") if not path.is_dir())


@pytest.mark.parametrize(
    ("sources", "destination", "result"),
    [
        (["a.txt"], "/x", ["x"]),
        (["a.txt"], "/x/", ["x/a.txt"]),
        (["*.txt"], "/x/", ["x/a.txt", "x/b.txt"]),
        (["src"], "/x", ["x/deep/x.pyc", "x/main.py"]),
        (["src/"], "/x/", ["x/deep/x.pyc", "x/main.py"]),
        (["s*/main.??"], "/app/", ["app/main.py"]),
        (["/a.txt"], "/x", ["x"]),
    ],
)
def test_copy_puts_files_where_docker_does(
    context: Path, tree: Path, sources: list[str], destination: str, result: list[str]
) -> None:
    copy_files(tree, source(context), sources, destination, Placement())

    assert files(tree) == result


def test_a_file_goes_into_a_folder_that_exists(context: Path, tree: Path) -> None:
    make_folder(tree, "/x")

    copy_files(tree, source(context), ["a.txt"], "/x", Placement())

    assert files(tree) == ["x/a.txt"]


@pytest.mark.parametrize(
    ("sources", "destination", "message"),
    [
        (
            ["no.txt"],
            "/x",
            "COPY failed: file not found in build context or excluded by .dockerignore: stat no.txt: file does not exist",
        ),
        (["../etc"], "/x", "forbidden path outside the build context: ../etc ()"),
        (
            ["*.txt"],
            "/x",
            "When using COPY with more than one source file, the destination must be a directory and end with a /",
        ),
        (
            ["a.txt"],
            "/usr/bin/tool",
            "cannot write to /usr/bin: without a container engine /usr/bin is the host's and read-only; put the file"
            + " elsewhere, for example below /usr/local, /opt or the application's folder",
        ),
    ],
)
def test_what_cannot_be_copied_says_why(
    context: Path, tree: Path, sources: list[str], destination: str, message: str
) -> None:
    with pytest.raises(CopyError) as caught:
        copy_files(tree, source(context), sources, destination, Placement())

    assert str(caught.value) == message


@pytest.fixture
def outside() -> Iterator[Path]:
    """A folder that no image may write to, and none in /dev, where temporary files may be: nothing is copied there in a tree, either."""
    with tempfile.TemporaryDirectory(dir="/var/tmp") as folder:
        yield Path(folder)


def test_a_link_in_the_tree_never_leads_out_of_it(context: Path, tree: Path, outside: Path) -> None:
    (tree / "escape").symlink_to(outside)
    (tree / "up").symlink_to("../../../outside")

    copy_files(tree, source(context), ["a.txt"], "/escape/", Placement())
    copy_files(tree, source(context), ["b.txt"], "/up/", Placement())

    assert list(outside.iterdir()) == []
    assert (tree / str(outside).lstrip("/") / "a.txt").read_text() == "a.txt"
    assert (tree / "outside/b.txt").read_text() == "b.txt"


def test_a_link_in_the_context_never_leads_out_of_it(context: Path, tree: Path) -> None:
    (context / "passwd").symlink_to("/etc/passwd")

    with pytest.raises(CopyError) as caught:
        source(context).matches("passwd/x")
    assert str(caught.value).endswith("stat passwd/x: file does not exist")
    assert resolve_inside(context, "passwd") == "etc/passwd"


def test_a_loop_of_links_ends(tree: Path) -> None:
    (tree / "loop").symlink_to("loop")

    with pytest.raises(CopyError) as caught:
        resolve_inside(tree, "/loop/x")
    assert str(caught.value) == "too many levels of symbolic links in /loop/x"


def test_a_copy_replaces_a_file_and_never_writes_through_a_hard_link(
    context: Path, tree: Path, tmp_path: Path
) -> None:
    shared = tmp_path / "shared"
    shared.write_text("cached")
    (tree / "x").hardlink_to(shared)

    copy_files(tree, source(context), ["a.txt"], "/x", Placement())

    assert (tree / "x").read_text() == "a.txt"
    assert shared.read_text() == "cached"


def test_chmod_applies_to_what_was_copied(context: Path, tree: Path) -> None:
    copy_files(tree, source(context), ["a.txt"], "/x", Placement(mode=0o750))

    assert (tree / "x").stat().st_mode & 0o7777 == 0o750


@pytest.mark.parametrize("share", [True, False])
def test_a_shared_copy_of_a_folder_is_links_and_a_private_one_is_not(
    context: Path, tree: Path, share: bool
) -> None:
    stage = CopySource(context, "stage build", IgnoreRules())

    copy_files(tree, stage, ["src"], "/srv/src", Placement(owner=_owner(context), share=share))

    assert files(tree) == ["srv/src/deep/x.pyc", "srv/src/main.py"]
    assert (tree / "srv/src/main.py").samefile(context / "src/main.py") is share


def _owner(path: Path) -> tuple[int, int]:
    return path.stat().st_uid, path.stat().st_gid


@pytest.mark.parametrize(
    ("rules", "left"),
    [
        ("**/*.pyc\nsecret", ["a.txt", "b.txt", "src/main.py"]),
        ("*\n!src\n# note\n", ["src/deep/x.pyc", "src/main.py"]),
        ("*.txt\n!b.txt\n", ["b.txt", "secret/.env", "src/deep/x.pyc", "src/main.py"]),
        ("/src/deep/\n**/.env", ["a.txt", "b.txt", "src/main.py"]),
        ("?.txt\nsrc/[a-m]*\nsecret/", []),
    ],
)
def test_dockerignore_leaves_files_out(context: Path, tree: Path, rules: str, left: list[str]) -> None:
    copy_files(tree, source(context, rules), ["."], "/", Placement())

    assert files(tree) == left


def test_the_dockerignore_of_a_dockerfile_comes_first(context: Path) -> None:
    (context / ".dockerignore").write_text("a.txt")
    (context / "other.Dockerfile.dockerignore").write_text("b.txt")

    assert build_context(context, "Dockerfile").rules.ignores("a.txt")
    assert build_context(context, "other.Dockerfile").rules.ignores("b.txt")
    assert not build_context(context, "other.Dockerfile").rules.ignores("a.txt")


def test_the_digest_of_a_source_changes_with_content_and_not_with_ignored_files(context: Path) -> None:
    before = source(context, "secret").digest(["."])
    (context / "secret/.env").write_text("changed")
    assert source(context, "secret").digest(["."]) == before

    (context / "a.txt").write_text("changed")
    assert source(context, "secret").digest(["."]) != before


def test_add_unpacks_an_archive(context: Path, tree: Path) -> None:
    with tarfile.open(context / "files.tar.gz", "w:gz") as archive:
        archive.add(context / "src", "src")

    add_files(tree, source(context), ["files.tar.gz", "a.txt"], "/x/", Placement())

    assert files(tree) == ["x/a.txt", "x/src/deep/x.pyc", "x/src/main.py"]


def archive_of(path: Path, **members: tuple[bytes, bytes, str]) -> Path:
    """A tar archive of (type, content, link target) by name; ``__`` stands for a slash."""
    with tarfile.open(path, "w:gz") as archive:
        for name, (kind, content, link) in members.items():
            member = tarfile.TarInfo(name.replace("__", "/").replace("UP", ".."))
            member.type, member.size, member.linkname = kind, len(content), link
            archive.addfile(member, io.BytesIO(content))
    return path


def test_an_archive_is_unpacked_with_its_links_and_without_devices(tmp_path: Path, tree: Path) -> None:
    archive = archive_of(
        tmp_path / "a.tgz",
        a__file=(tarfile.REGTYPE, b"x", ""),
        hard=(tarfile.LNKTYPE, b"", "a/file"),
        soft=(tarfile.SYMTYPE, b"", "/etc/passwd"),
        device=(tarfile.CHRTYPE, b"", ""),
    )

    unpack_tar(archive, tree)

    assert files(tree) == ["a/file", "hard", "soft"]
    assert (tree / "hard").read_bytes() == b"x"


def test_an_archive_cannot_write_through_its_own_link(tmp_path: Path, tree: Path, outside: Path) -> None:
    archive = archive_of(
        tmp_path / "a.tgz",
        link=(tarfile.SYMTYPE, b"", str(outside)),
        link__file=(tarfile.REGTYPE, b"x", ""),
    )

    unpack_tar(archive, tree)

    assert list(outside.iterdir()) == []


@pytest.mark.parametrize(
    ("name", "kind", "link", "message"),
    [
        ("UP__x", tarfile.REGTYPE, "", "the archive has the path '../x', which leads out of it"),
        ("__x", tarfile.REGTYPE, "", "the archive has the path '/x', which leads out of it"),
        ("x", tarfile.LNKTYPE, "no", "the archive links 'x' to 'no', which it does not hold"),
    ],
)
def test_an_archive_that_leads_out_of_itself_is_refused(
    tmp_path: Path, tree: Path, name: str, kind: bytes, link: str, message: str
) -> None:
    with pytest.raises(CopyError) as caught:
        unpack_tar(archive_of(tmp_path / "a.tgz", **{name: (kind, b"", link)}), tree)

    assert str(caught.value) == message


def test_an_archive_has_a_size_limit(tmp_path: Path, tree: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(builder_archive, "MAX_BYTES", 3)

    with pytest.raises(CopyError) as caught:
        unpack_tar(archive_of(tmp_path / "a.tgz", a=(tarfile.REGTYPE, b"1234", "")), tree)

    assert str(caught.value) == "the archive unpacks to more than 3 bytes or 200000 files"


def test_what_is_no_archive_is_refused(tmp_path: Path, tree: Path) -> None:
    (tmp_path / "a.tgz").write_text("hello")

    with pytest.raises(CopyError, match=r"^not a readable tar archive: "):
        unpack_tar(tmp_path / "a.tgz", tree)
