"""Google's public sample images, which deploys begin with: stand-ins that behave as those do, built when one is first asked for.

Nothing is pulled from Google's registries. Source of the names and of what they do: https://cloud.google.com/run/docs/quickstarts and
https://github.com/GoogleCloudPlatform/cloud-run-samples (a page at PORT; a job that ends well; a worker that goes on).
"""

from __future__ import annotations

import asyncio
import os
import re
import tempfile
from pathlib import Path

from gcp_emulator.engine.context import Context
from gcp_emulator.engine.facts import read_yaml
from gcp_emulator.services.artifactregistry.ports import Images
from gcp_emulator.workloads.build.run import host_access
from gcp_emulator.workloads.images import Image

_HOLDER = "run.samples"
_PROGRAM = Path(__file__).parent / "sample.py"
_DOCKERFILE = 'FROM python:3-slim\nCOPY sample.py /\nCMD ["python3", "-I", "-S", "/sample.py", "{name}"]\n'


class Samples:
    """The sample images by their references."""

    def __init__(self, context: Context, images: Images) -> None:
        self._context = context
        self._images = images
        self._digests = context.store.collection(_HOLDER)
        self._building = asyncio.Lock()

    def named(self, reference: str) -> str | None:
        """Which sample a reference names, None for any other image."""
        name = re.sub(r"(:[\w.-]+)?(@sha256:[0-9a-f]{64})?$", "", reference)
        found: str | None = read_yaml("services/run/facts.yaml")["samples"].get(name)
        return found

    async def image(self, name: str) -> Image:
        """The image of a sample. Raises `gcp_emulator.workloads.build.builder.BuildFailed`."""
        async with self._building:
            known = self._digests.get(name)
            image = self._images.kept(known["digest"]) if known else None
            return image or await self._build(name)

    async def _build(self, name: str) -> Image:
        folder = self._context.state / "run" / "samples"
        folder.mkdir(parents=True, exist_ok=True)
        own_proxy = f"http://127.0.0.1:{self._context.port}"
        builder = self._context.runtime.builder(folder, host_access(os.environ, own_proxy))
        with tempfile.TemporaryDirectory() as source:
            Path(source, "Dockerfile").write_text(_DOCKERFILE.format(name=name), encoding="utf-8")
            Path(source, "sample.py").write_bytes(_PROGRAM.read_bytes())
            try:
                image = await builder.build(Path(source), log=lambda _: None)
            finally:
                await builder.close()
        self._images.hold(image.digest, _HOLDER)
        self._digests.put(name, {"digest": image.digest})
        return image
