"""The file system of an instance as in Cloud Run: all of it can be written, by whoever may, and what is written is memory.

Source: https://cloud.google.com/run/docs/container-contract#filesystem. The image and the system are the lower layers of overlayfs, a
tmpfs of the sandbox's own the upper one. The folder that they are mounted on is the image's; each sandbox sees its own mounts there.
"""

from __future__ import annotations

import functools
import os
import subprocess
import tempfile
from pathlib import Path

_MOUNT = """\
mount -t tmpfs -o mode=0755 tmpfs "$1" && mkdir "$1/upper" "$1/work" "$1/root" &&
mount -t overlay overlay -o "lowerdir=$2:$3,upperdir=$1/upper,workdir=$1/work$4" "$1/root" && shift 4 && exec "$@"
"""


def prepare(image: Path, system: Path) -> tuple[list[str], Path]:
    """The words to put before a command that is to see both trees as one that can be written, and where it sees it. Makes
    the folder of the mounts beside the image's tree."""
    folder = image.with_name(f"{image.name}-memory")
    folder.mkdir(exist_ok=True)
    space = ["--mount", "--propagation", "private"]
    options = ""
    if os.geteuid() != 0:
        space = ["--user", "--map-root-user", "--mount"]
        options = ",userxattr"
    script = ["sh", "-c", _MOUNT, "sh", str(folder), str(image), str(system), options]
    return ["unshare", *space, "--", *script], folder / "root"


def can_be_named(*trees: Path) -> bool:
    """Whether the paths can be options of a mount: a comma ends one, a colon begins the next layer."""
    return not any(set(str(tree)) & set(",:\\") for tree in trees)


@functools.cache
def is_available() -> bool:
    """Whether this machine lets this user do it. Tries once."""
    with tempfile.TemporaryDirectory() as name:
        image, system = Path(name, "image"), Path(name, "system")
        for tree in (image, system):
            (tree / "both").mkdir(parents=True)
            (tree / "both" / tree.name).touch()
        words, root = prepare(image, system)
        script = 'cd "$1" && test -e both/image && test -e both/system && rm both/system && touch both/new'
        try:
            run = subprocess.run(
                [*words, "sh", "-c", script, "sh", str(root)], capture_output=True, check=False
            )
        except OSError:
            return False
        return run.returncode == 0 and not (system / "both/new").exists()
