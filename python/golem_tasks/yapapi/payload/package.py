"""Images of machines."""

from __future__ import annotations

import abc
from typing import Optional

from golem_tasks import _native
from golem_tasks.yapapi import _mode
from golem_tasks.yapapi.payload import Payload

__all__ = ["Package", "PackageException", "check_package_url", "resolve_package_url"]


class PackageException(Exception):
    """An image was named wrongly, or can't be found."""


class Package(Payload):
    """A payload that is an image."""

    @abc.abstractmethod
    async def resolve_url(self) -> str:
        """Return the image as a demand names it: ``hash:sha3:<hash>:<url>``."""


async def resolve_package_url(
    repo_url: str,
    image_tag: Optional[str] = None,
    image_hash: Optional[str] = None,
    image_use_https: bool = False,
    dev_mode: bool = False,
) -> str:
    """Ask a registry for an image and return it as a demand names it.

    **Raises** :class:`PackageException` if the registry doesn't know it.
    """
    image = image_tag or image_hash
    if image is None:
        raise PackageException("No image is named. Give either `image_hash` or `image_tag`.")
    return await task_package({"image": image, "https": image_use_https, "registry": repo_url})


async def check_package_url(image_url: str, image_hash: str) -> str:
    """Return an image that is served at ``image_url`` as a demand names it."""
    return f"hash:sha3:{image_hash}:{image_url}"


async def task_package(settings: _native.PayloadSettings) -> str:
    """Return what the engine makes of an image."""
    try:
        resolved = await _native.resolve_payload(settings, devnet=_mode.devnet_is_on())
    except _native.Error as error:
        raise PackageException(str(error)) from error
    return str(resolved["properties"]["golem.srv.comp.task_package"])
