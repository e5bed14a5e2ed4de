"""The builder with real sandboxes. One cache for the module: making a Python base takes seconds."""

from __future__ import annotations

import asyncio
import os
import shutil
import sys
import time
from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest
from gcp_emulator.workloads.build import stage as builder_stage
from gcp_emulator.workloads.build.base import BaseUnavailableError, Interpreters, resolve_base
from gcp_emulator.workloads.build.builder import Builder, BuildFailed
from gcp_emulator.workloads.build.cache import LayerCache
from gcp_emulator.workloads.build.overlay import is_available
from gcp_emulator.workloads.build.run import HostAccess, host_access
from gcp_emulator.workloads.images import Image, ImageStore

pytestmark = pytest.mark.skipif(shutil.which("bwrap") is None, reason="bubblewrap (bwrap) is not installed")

MINOR = f"{sys.version_info[0]}.{sys.version_info[1]}"
BASE = f"FROM python:{MINOR}-slim\n"
IN_CONTAINERS = (
    "Containers build it: gcp-emulator start --runtime docker (a rehearsal: make rehearse-clean, then REHEARSAL_RUNTIME=docker"
    " make rehearse)"
)
NO_PACKAGES = (
    "cannot install system packages here, because processes share this machine's /usr, which is read-only. "
    + IN_CONTAINERS
)


class Workshop:
    """Builders with a common state, and what the last build printed."""

    def __init__(self, folder: Path) -> None:
        self.images = ImageStore(folder / "images")
        self.folder = folder / "cache"
        self.interpreters = Interpreters([Path(sys.base_prefix, "bin")])
        self.lines: list[str] = []
        #: None: what this machine can.
        self.overlay: bool | None = None

    def build(self, context: Path, text: str, **options: object) -> Image:
        (context / "Dockerfile").write_text(text)
        return asyncio.run(self.start(context, **options))

    async def start(self, context: Path, **options: object) -> Image:
        self.lines = []
        builder = Builder(
            self.folder, self.images, HostAccess({}, ()), interpreters=self.interpreters, overlay=self.overlay
        )
        try:
            return await builder.build(context, log=self.lines.append, **options)
        finally:
            await builder.close()

    def failure(self, context: Path, text: str, **options: object) -> BuildFailed:
        with pytest.raises(BuildFailed) as caught:
            self.build(context, text, **options)
        return caught.value


@pytest.fixture(scope="module")
def workshop(tmp_path_factory: pytest.TempPathFactory) -> Workshop:
    return Workshop(tmp_path_factory.mktemp("workshop"))


@pytest.fixture
def every_run_cached(monkeypatch: pytest.MonkeyPatch) -> None:
    """Else a quick RUN is done again, because storing its layer would take longer."""
    monkeypatch.setattr(builder_stage, "_WORTH_CACHING", 0.0)


@pytest.fixture
def context(tmp_path: Path) -> Path:
    folder = tmp_path / "context"
    folder.mkdir()
    (folder / "main.py").write_text("print('hello')\n")
    return folder


def test_a_build_runs_commands_and_keeps_only_the_images_own_files(workshop: Workshop, context: Path) -> None:
    image = workshop.build(
        context,
        BASE
        + "WORKDIR /usr/src/app\nCOPY main.py .\nRUN python main.py > out.txt && python -c 'import sys; print(sys.prefix)'\n"
        + 'ENV A=1\nEXPOSE 8080\nLABEL k=v\nUSER nobody\nHEALTHCHECK CMD true\nCMD ["python", "main.py"]\n',
    )

    assert (image.root / "usr/src/app/out.txt").read_text() == "hello\n"
    assert sorted(path.name for path in (image.root / "usr").iterdir()) == ["local", "src"]
    assert [path.name for path in (image.root / "dev").iterdir()] == []
    assert not (image.root / "etc/ssl").exists()
    assert image.python is not None
    assert image.python.minor == MINOR
    assert image.config.to_oci() == {
        "Env": [
            "PATH=/usr/local/bin:/usr/local/sbin:/usr/sbin:/usr/bin:/sbin:/bin",
            "LANG=C.UTF-8",
            f"PYTHON_VERSION={image.python.version}",
            "A=1",
        ],
        "Cmd": ["python", "main.py"],
        "User": "nobody",
        "WorkingDir": "/usr/src/app",
        "ExposedPorts": {"8080/tcp": {}},
        "Labels": {"k": "v"},
    }
    assert "/usr/local" in workshop.lines
    assert (
        " ---> HEALTHCHECK is ignored: Cloud Run has probes of its own and does not use it" in workshop.lines
    )
    assert workshop.lines[-1] == f"Successfully built {image.digest[7:19]}"


@pytest.mark.usefixtures("every_run_cached")
def test_a_changed_file_reuses_the_layers_before_it(workshop: Workshop, context: Path) -> None:
    text = (
        BASE
        + "COPY requirements.txt /tmp/\nRUN cat /proc/sys/kernel/random/uuid > /layer\n"
        + "COPY main.py /app/\nRUN cat /app/main.py > /copy\n"
    )
    (context / "requirements.txt").write_text("django\n")
    first = workshop.build(context, text)
    (context / "main.py").write_text("changed\n")
    second = workshop.build(context, text)

    assert workshop.lines[
        workshop.lines.index("Step 3/5 : RUN cat /proc/sys/kernel/random/uuid > /layer") + 1
    ] == (" ---> Using cache")
    assert (second.root / "layer").read_text() == (first.root / "layer").read_text()
    assert (second.root / "copy").read_text() == "changed\n"
    assert (first.root / "copy").read_text() == "print('hello')\n"
    assert workshop.build(context, text) == second

    (context / "requirements.txt").write_text("wagtail\n")
    third = workshop.build(context, text)
    assert (third.root / "layer").read_text() != (first.root / "layer").read_text()


@pytest.fixture(params=["overlay", "copies"])
def either(request: pytest.FixtureRequest, workshop: Workshop) -> Iterator[Workshop]:
    """The workshop with overlayfs, and without."""
    if request.param == "overlay" and not asyncio.run(is_available(workshop.folder / "work")):
        pytest.skip("this machine does not allow overlayfs here")
    workshop.overlay = request.param == "overlay"
    yield workshop
    workshop.overlay = None


@pytest.mark.usefixtures("every_run_cached")
def test_a_run_never_changes_a_cached_layer(either: Workshop, context: Path) -> None:
    # The folder makes the layers those of this mode alone.
    head = BASE + f"RUN mkdir /{either.overlay} && echo base > /file\n"
    either.build(context, head + "RUN echo one >> /file && chmod 600 /file\n")

    image = either.build(context, head + "RUN echo two >> /file\n")

    assert (image.root / "file").read_text() == "base\ntwo\n"
    assert (image.root / "file").stat().st_mode & 0o777 == 0o644


@pytest.mark.usefixtures("every_run_cached")
def test_what_a_command_removes_replaces_and_renames_is_so_in_the_image(
    either: Workshop, context: Path
) -> None:
    head = (
        BASE
        + f"RUN mkdir -p /{either.overlay} /d/sub /old /r && touch /d/a /d/sub/b /old/x /r/y /f && ln -s /f /link\n"
    )
    change = (
        "RUN rm /d/a /link && rm -r /old && mkdir /old && touch /old/new && mv /r /moved && chmod 700 /d"
        " && rm /f && mkdir /f && touch /f/inside && rm -rf /d/sub && ln -s /f /d/sub\n"
    )
    before = either.build(context, head)
    after = either.build(context, head + change)

    def listing(root: Path) -> list[str]:
        names = ("d", "old", "r", "moved", "f", "link")
        found = [
            path
            for name in names
            for path in [root / name, *(root / name).rglob("*")]
            if os.path.lexists(path)
        ]
        return sorted(str(path.relative_to(root)) for path in found)

    assert listing(before.root) == ["d", "d/a", "d/sub", "d/sub/b", "f", "link", "old", "old/x", "r", "r/y"]
    assert listing(after.root) == ["d", "d/sub", "f", "f/inside", "moved", "moved/y", "old", "old/new"]
    assert (after.root / "d").stat().st_mode & 0o777 == 0o700
    assert (before.root / "d").stat().st_mode & 0o777 == 0o755
    assert os.readlink(after.root / "d/sub") == "/f"


def test_stages_hand_files_on_and_unused_stages_are_not_built(workshop: Workshop, context: Path) -> None:
    image = workshop.build(
        context,
        BASE.replace("\n", " AS build\n")
        + "RUN mkdir /out && echo built > /out/file\nFROM scratch AS unused\nCOPY nothing /\n"
        + "FROM scratch\nCOPY --from=build /out /out\nCOPY --from=0 /out/file /copy\n",
    )

    assert (image.root / "out/file").read_text() == "built\n"
    assert (image.root / "copy").read_text() == "built\n"
    assert image.python is None


def test_files_that_several_instructions_take_are_in_each_place(workshop: Workshop, context: Path) -> None:
    image = workshop.build(
        context,
        BASE.replace("\n", " AS build\n")
        + "RUN mkdir -p /out/sub /alone && touch /out/sub/file /alone/file && ln -s /out /link\n"
        + "FROM scratch AS middle\nCOPY --from=build /out /out\nFROM scratch\nCOPY --from=build /alone /alone\n"
        + "COPY --from=build /out /one\nCOPY --from=build /link/sub /two\nCOPY --from=build /o*/sub /three\n"
        + "COPY --from=middle /out /four\n",
    )

    found = sorted(str(path.relative_to(image.root)) for path in image.root.rglob("file"))
    assert found == ["alone/file", "four/sub/file", "one/sub/file", "three/file", "two/file"]


def test_a_stage_can_be_the_target_and_the_base_of_another(workshop: Workshop, context: Path) -> None:
    text = "FROM scratch AS one\nENV A=1\nCOPY main.py /\nFROM one AS two\nENV B=2\nFROM nowhere\n"

    image = workshop.build(context, text, target="two")

    assert image.config.env[1:] == ("A=1", "B=2")
    assert (image.root / "main.py").exists()
    assert workshop.failure(context, text, target="three").message == (
        "failed to reach build target three in Dockerfile"
    )


@pytest.mark.parametrize(("build_args", "values"), [({}, ("3", "d")), ({"V": "4", "W": "w"}, ("4", "w"))])
def test_build_arguments_reach_the_instructions(
    workshop: Workshop, context: Path, build_args: Mapping[str, str], values: tuple[str, str]
) -> None:
    image = workshop.build(
        context, "ARG V=3\nFROM scratch\nARG V\nARG W=d\nENV A=$V B=${W}\n", build_args=build_args
    )

    assert image.config.env[1:] == (f"A={values[0]}", f"B={values[1]}")


def test_an_unused_build_argument_is_noted(workshop: Workshop, context: Path) -> None:
    workshop.build(context, "FROM scratch\nCOPY main.py /\n", build_args={"X": "1"})

    assert "[Warning] One or more build-args [X] were not consumed" in workshop.lines


def test_the_base_has_pip_and_nothing_that_is_installed_on_the_host(
    workshop: Workshop, context: Path
) -> None:
    image = workshop.build(context, BASE + "RUN pip list --format=freeze | cut -d= -f1 > /packages\n")

    names = set((image.root / "packages").read_text().split())
    assert "pip" in names
    assert names <= {"pip", "setuptools"}


def test_users_can_be_made_and_taken(workshop: Workshop, context: Path) -> None:
    workshop.build(
        context,
        BASE
        + "RUN groupadd --gid 2000 app && useradd --uid 2000 --gid app --create-home app && chown -R app /opt\n"
        + "USER app\nRUN id -u && id -g && whoami && echo $HOME && touch ~/file\n",
    )

    assert workshop.lines[-5:-1] == ["2000", "2000", "app", "/home/app"]


def test_without_buildkit_mounts_are_refused(workshop: Workshop, context: Path) -> None:
    failure = workshop.failure(context, BASE + "RUN --mount=type=cache,target=/x true\n", buildkit=False)
    assert failure.message == (
        "the --mount option requires BuildKit. Refer to https://docs.docker.com/go/buildkit/ to learn how to build images "
        "with BuildKit enabled"
    )


def test_mounts_are_seen_during_one_run_only(workshop: Workshop, context: Path) -> None:
    image = workshop.build(
        context,
        BASE
        + "RUN --mount=type=bind,source=main.py,target=/mnt/m.py --mount=type=cache,target=/var/cache/x"
        + " cp /mnt/m.py /copy && touch /var/cache/x/kept\n"
        + "RUN --mount=type=cache,target=/var/cache/x ls /var/cache/x > /listing\n",
    )

    assert (image.root / "copy").read_text() == "print('hello')\n"
    assert (image.root / "listing").read_text() == "kept\n"
    assert list((image.root / "mnt").iterdir()) == []
    assert not (image.root / "var/cache/x").exists()


def test_a_failed_command_gives_its_step_exit_code_and_output(workshop: Workshop, context: Path) -> None:
    failed = workshop.failure(context, BASE + "RUN echo oops >&2; exit 7\n")

    assert (failed.step, failed.exit_code) == ("RUN echo oops >&2; exit 7", 7)
    assert failed.message == "The command '/bin/sh -c echo oops >&2; exit 7' returned a non-zero code: 7"
    assert workshop.lines[-1] == "oops"


def test_a_machine_that_forbids_sandboxes_is_the_cause_and_not_the_source(
    workshop: Workshop, context: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    program = tmp_path / "bin" / "bwrap"
    program.parent.mkdir()
    program.write_text("#!/bin/sh\necho 'bwrap: setting up uid map: Permission denied' >&2\nexit 1\n")
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{program.parent}:/usr/bin:/bin")
    failed = workshop.failure(context, "FROM python:3.13-slim\nRUN echo forbidden")
    assert (
        "Applications cannot be run: this machine refuses to make a sandbox (bwrap: setting up uid map"
        in str(failed)
    )


@pytest.mark.parametrize(
    ("command", "manager"),
    [
        ("apt-get update && apt-get install -y --no-install-recommends binutils", "apt-get"),
        ("set -eux; DEBIAN_FRONTEND=noninteractive apt install -y libmagic1", "apt"),
        ('["apk", "--no-cache", "add", "libpq"]', "apk"),
        ("if true; then /usr/bin/dpkg -i /tmp/x.deb; fi", "dpkg"),
        ("--mount=type=cache,target=/var/cache/dnf dnf -y install gcc", "dnf"),
    ],
)
def test_what_installs_system_packages_is_refused_before_anything_is_done(
    workshop: Workshop, context: Path, command: str, manager: str
) -> None:
    failed = workshop.failure(context, BASE + f"RUN echo begun\nRUN {command}\n")

    assert (failed.step, failed.exit_code) == (f"RUN {command}", None)
    assert failed.message == f"{manager} {NO_PACKAGES}"
    assert "begun" not in workshop.lines


def test_a_stage_that_is_not_wanted_may_install_what_it_likes(workshop: Workshop, context: Path) -> None:
    image = workshop.build(
        context,
        f"{BASE.strip()} AS tools\nRUN apt-get install -y gcc\n{BASE}RUN echo apt-get install > /said\n",
    )

    assert (image.root / "said").read_text() == "apt-get install\n"


def test_a_package_manager_that_is_run_in_need_only_is_refused_with_the_way_out(
    workshop: Workshop, context: Path
) -> None:
    failed = workshop.failure(context, BASE + "RUN touch /usr/bin/x || apt-get install -y nothing\n")

    assert failed.message.endswith(f". apt-get {NO_PACKAGES}")


NOT_IN_THE_IMAGE = (
    ". The image does not have what the command needs, neither here nor in Cloud Build. Use a Python package that brings it"
    " (for example psycopg[binary]), build in a stage from the image without -slim, or install it in the Dockerfile."
    f" {IN_CONTAINERS}"
)


def test_a_slim_image_has_no_compiler_and_the_failure_says_the_way_out(
    workshop: Workshop, context: Path
) -> None:
    (context / "fast.sh").write_text(
        "set -e\nfor tool in gcc cc make git; do command -v $tool && exit 1; done\ngcc fast.c\n"
    )

    failed = workshop.failure(context, BASE + "COPY fast.sh .\nRUN sh fast.sh\n")

    assert failed.exit_code == 127
    assert workshop.lines[-1] == "fast.sh: 3: gcc: not found"
    assert failed.message.endswith(NOT_IN_THE_IMAGE)


@pytest.mark.parametrize(
    ("printed", "told"),
    [
        ("error: command 'x86_64-linux-gnu-gcc' failed: No such file or directory", True),
        ("Error: pg_config executable not found.", True),
        ("Exception: Can not find valid pkg-config name.", True),
        ("/bin/sh: 1: pkg-config: not found", True),
        ("ERROR: Cannot find command 'git' - do you have 'git' installed and in your PATH?", True),
        (
            "CommandError: Can't find msgfmt. Make sure you have GNU gettext tools 0.15 or newer installed.",
            True,
        ),
        ("- couldn't import psycopg 'python' implementation: libpq library not found", True),
        ("ImportError: libGL.so.1: cannot open shared object file: No such file or directory", True),
        ("urllib.error.HTTPError: HTTP Error 404: not found", False),
        ("ModuleNotFoundError: No module named 'shop'", False),
    ],
)
def test_what_says_that_the_system_lacks_something_is_explained(
    workshop: Workshop, context: Path, printed: str, told: bool
) -> None:
    (context / "said").write_text(printed + "\n" + "more of pip\n" * 30)

    failed = workshop.failure(context, BASE + "COPY said .\nRUN cat said; exit 1\n")

    assert failed.message.endswith(NOT_IN_THE_IMAGE) == told


LIBRARY = """\
import ctypes.util, sys
for name in sys.argv[1:]:
    print(name, ctypes.util.find_library(name))
"""


def test_a_slim_image_has_the_libraries_of_python_and_no_others(workshop: Workshop, context: Path) -> None:
    (context / "library.py").write_text(LIBRARY)
    workshop.build(
        context,
        BASE
        + "COPY library.py .\nRUN python library.py c z crypto pq magic GL\nRUN ls /usr/include || true\n"
        + "RUN python -c 'import ssl, sqlite3, ctypes, readline, bz2, lzma, uuid, zoneinfo; zoneinfo.ZoneInfo(\"Europe/Vienna\")'\n"
        + "RUN awk 'BEGIN { print 6 * 7 }' && which sh setpriv useradd openssl\n",
    )

    found = dict(
        line.split(" ", 1) for line in workshop.lines if line.count(" ") == 1 and not line.startswith("/")
    )
    assert found["c"] == "libc.so.6"
    assert found["z"] == "libz.so.1"
    assert found["crypto"].startswith("libcrypto.so.")
    assert [found[name] for name in ("pq", "magic", "GL")] == ["None"] * 3
    assert "42" in workshop.lines


@pytest.mark.skipif(
    shutil.which("gcc") is None or shutil.which("dpkg-query") is None,
    reason="needs gcc and the packages of Debian",
)
def test_the_full_image_compiles(workshop: Workshop, context: Path) -> None:
    (context / "six.c").write_text('#include <stdio.h>\nint main(void) { puts("compiled"); return 0; }\n')

    workshop.build(context, f"FROM python:{MINOR}\nCOPY six.c .\nRUN cc six.c -o six && ./six\n")

    assert "compiled" in workshop.lines


@pytest.mark.parametrize(
    ("text", "step", "message"),
    [
        (
            "FROM node:22\n",
            "FROM node:22",
            "cannot pull node:22: without a container engine only python:* base images, which are this machine's"
            + f" interpreters, and scratch can be built from. {IN_CONTAINERS}",
        ),
        (
            "FROM scratch\nRUN x\n",
            "RUN x",
            'exec: "/bin/sh": stat /bin/sh: no such file or directory: scratch is empty',
        ),
        (
            "FROM scratch\nCOPY --from=nginx /a /b\n",
            "COPY --from=nginx /a /b",
            "invalid from flag value nginx: it is not an earlier stage of this Dockerfile, and without a container engine"
            + f" other images cannot be pulled. {IN_CONTAINERS}",
        ),
        ("FROM scratch\nENV A=${B:?needed}\n", "ENV A=${B:?needed}", "B: needed"),
        ("FROM scratch\nOOPS\n", "", "dockerfile parse error on line 2: unknown instruction: OOPS"),
        (
            "FROM scratch\nADD https://x.test/a /a\n",
            "ADD https://x.test/a /a",
            "ADD https://x.test/a: only local files can be added; fetch it before the build",
        ),
    ],
)
def test_what_cannot_be_built_says_why(
    workshop: Workshop, context: Path, text: str, step: str, message: str
) -> None:
    failed = workshop.failure(context, text)

    assert (failed.step, failed.message) == (step, message)


def test_a_missing_dockerfile_is_named(workshop: Workshop, context: Path) -> None:
    with pytest.raises(BuildFailed) as caught:
        asyncio.run(workshop.start(context, dockerfile="docker/Dockerfile"))

    assert str(caught.value) == (
        "unable to prepare context: unable to evaluate symlinks in Dockerfile path: docker/Dockerfile: no such file"
    )


async def cancelled_at(line: str, workshop: Workshop, context: Path) -> None:
    """A build that is cancelled when it has printed a line, and ends soon after."""
    build = asyncio.create_task(workshop.start(context))
    while line not in workshop.lines:
        await asyncio.wait([build], timeout=0.05)
        assert not build.done()
    build.cancel()
    with pytest.raises(asyncio.CancelledError):
        await asyncio.wait_for(build, 20)


def test_cancelling_kills_what_runs_and_leaves_nothing(workshop: Workshop, context: Path) -> None:
    (context / "Dockerfile").write_text(BASE + "RUN echo started; sleep 4321.5\n")

    asyncio.run(cancelled_at("started", workshop, context))

    deadline = time.monotonic() + 5
    while _running("4321.5") and time.monotonic() < deadline:
        time.sleep(0.02)
    assert not _running("4321.5")
    assert list((workshop.folder / "work").iterdir()) == []


def _running(argument: str) -> bool:
    for process in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            if argument in process.read_bytes().decode().split("\0"):
                return True
        except OSError:
            continue
    return False


def test_cancelling_kills_a_sandbox_that_is_still_being_made(
    workshop: Workshop, context: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """bubblewrap's child asks to die with it; killed before that it would leave the child, which holds the output."""
    workshop.build(context, BASE)
    program = tmp_path / "bwrap"
    program.write_text("#!/bin/sh\nsleep 4141 &\necho begun\nwait\n")
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    (context / "Dockerfile").write_text(BASE + "RUN true\n")

    asyncio.run(cancelled_at("begun", workshop, context))


def test_the_nearest_interpreter_is_taken_and_said(tmp_path: Path) -> None:
    interpreters = Interpreters([Path(sys.base_prefix, "bin")])

    base = resolve_base("python:3.99-slim", interpreters)

    assert base.python is not None
    assert base.note == (
        f"Python 3.99 is not on this machine (there is {', '.join(each.minor for each in interpreters.installed())}):"
        f" python:3.99-slim is built with {base.python.minor}"
    )


@pytest.mark.parametrize(
    "tag", ["", ":3", ":latest", ":slim", f":{MINOR}", f":{MINOR}.1-slim-bookworm", "@sha256:ab"]
)
def test_every_spelling_of_the_python_image_is_known(tag: str) -> None:
    interpreters = Interpreters([Path(sys.base_prefix, "bin")])

    for prefix in ("", "docker.io/library/", "mirror.gcr.io/library/"):
        assert resolve_base(f"{prefix}python{tag}", interpreters).python is not None


@pytest.mark.parametrize(
    ("reference", "message"),
    [
        ("python:2.7", "cannot pull python:2.7: only Python 3 can be built from"),
        (
            "python:3",
            "cannot use python:3: no Python with the module ensurepip was found in PATH, /usr/bin or pyenv; install one"
            + " (Debian, Ubuntu: apt-get install python3-venv)",
        ),
    ],
)
def test_bases_that_are_not_there_say_what_to_do(tmp_path: Path, reference: str, message: str) -> None:
    with pytest.raises(BaseUnavailableError) as caught:
        resolve_base(reference, Interpreters([tmp_path]))

    assert str(caught.value) == message


def test_the_hosts_pip_settings_reach_the_build_and_the_emulators_proxy_does_not(tmp_path: Path) -> None:
    # Not in /dev, where temporary files may be and builds have their own.
    wheels, certificates = Path(__file__).parent, Path(__file__)
    environ = {
        "PIP_FIND_LINKS": f"{wheels} https://x.test/simple",
        "SSL_CERT_FILE": str(certificates),
        "HTTPS_PROXY": "http://127.0.0.1:8443",
        "http_proxy": "http://127.0.0.1:8443",
        "SECRET": "s",
        "HOME": str(tmp_path),
    }

    access = host_access(environ, own_proxy="http://127.0.0.1:8443/")
    assert set(access.env) - {"PIP_CONFIG_FILE"} == {"PIP_FIND_LINKS", "SSL_CERT_FILE"}
    assert {str(wheels), str(certificates)} <= set(access.paths)

    other = host_access(environ, own_proxy="http://127.0.0.1:9")
    assert other.env["HTTPS_PROXY"] == "http://127.0.0.1:8443"


def test_the_cache_forgets_the_layers_used_longest_ago(tmp_path: Path) -> None:
    cache = LayerCache(tmp_path / "cache", max_layers=2, max_bytes=1000)
    tree = tmp_path / "tree"
    tree.mkdir()
    (tree / "f").write_bytes(b"x" * 100)
    keys = [letter * 64 for letter in "abc"]
    for age, key in enumerate(keys):
        asyncio.run(cache.put(key, tree, share=False))
        os.utime(tmp_path / "cache/layers" / key, (age, age))
    assert cache.get(keys[0]) is not None

    cache.prune()

    assert [cache.get(key) is not None for key in keys] == [True, False, True]


def test_the_cache_stays_below_its_size(tmp_path: Path) -> None:
    cache = LayerCache(tmp_path / "cache", max_layers=9, max_bytes=150)
    tree = tmp_path / "tree"
    tree.mkdir()
    (tree / "f").write_bytes(b"x" * 100)
    for age, key in enumerate(("a" * 64, "b" * 64)):
        asyncio.run(cache.put(key, tree, share=False))
        os.utime(tmp_path / "cache/layers" / key, (age, age))

    cache.prune()

    assert cache.get("a" * 64) is None
    assert cache.get("b" * 64) is not None


#: Dependencies in a stage of their own, and what depends on the code in another.
TWO_STAGES = (
    f"FROM python:{MINOR}-slim AS dependencies\nCOPY requirements.txt .\nRUN cp requirements.txt /installed\n"
    f"FROM python:{MINOR}-slim AS code\nCOPY main.py .\nRUN cp main.py /compiled\n"
    f"FROM python:{MINOR}-slim\nCOPY --from=dependencies /installed /installed\nCOPY --from=code /compiled /compiled\nRUN cp /compiled /last\n"
)


@pytest.mark.usefixtures("every_run_cached")
def test_a_machine_of_its_own_has_what_an_image_holds_and_nothing_else(
    workshop: Workshop, context: Path
) -> None:
    (context / "requirements.txt").write_text("inline-cache==1\n")

    def ran(
        *cache_from: Image, inline_cache: bool = True, machine: set[str] | None = None
    ) -> tuple[Image, set[str]]:
        options = {"machine": set() if machine is None else machine, "cache_from": cache_from}
        image = workshop.build(context, TWO_STAGES, inline_cache=inline_cache, **options)
        done: set[str] = set()
        for line, after in zip(workshop.lines, workshop.lines[1:], strict=False):
            if " : RUN " in line and after != " ---> Using cache":
                done.add(line.rpartition("/")[2])
        return image, done

    everything = {"installed", "compiled", "last"}
    plain, done = ran(inline_cache=False)
    assert done == everything
    # An image that was built without holds no cache, and a machine has none of another's.
    assert ran(plain)[1] == ran()[1] == everything
    one_machine: set[str] = set()
    assert ran(machine=one_machine)[1] == everything
    assert ran(machine=one_machine)[1] == set()
    first, _ = ran()
    assert ran(first)[1] == set()
    # What was copied from a stage is in the image as long as the whole stage is the same...
    (context / "main.py").write_text("print('changed')\n")
    second, done = ran(first)
    assert done == {"compiled", "last"}
    # ... and so is what was copied before.
    (context / "requirements.txt").write_text("inline-cache==2\n")
    assert ran(first, second)[1] == everything


def test_buildkit_s_own_argument_needs_no_arg(workshop: Workshop, context: Path) -> None:
    workshop.build(context, BASE, build_args={"BUILDKIT_INLINE_CACHE": "1"})
    assert not any("not consumed" in line for line in workshop.lines)
