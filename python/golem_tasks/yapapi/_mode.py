"""The choice of network: programs of this process may run on an emulated one.

``python -m golem_tasks.yapapi --devnet`` says so, or the environment: ``GOLEM_DEVNET`` is the number of its providers, and
``GOLEM_DEVNET_IMAGE`` a folder with what the image would have.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import Any, Dict, List, Optional, Union

__all__ = ["DevnetMode", "devnet_is_on", "turn_devnet_on"]


@dataclass
class DevnetMode:
    """The emulated network that executors start in this process."""

    providers: int = 3
    image: Optional[Union[str, "os.PathLike[str]"]] = None
    seed: Optional[int] = None
    #: Answers at once instead of after the times of a real daemon.
    instant: bool = False
    #: Commands are answered by these instead of being run; see ``Devnet.start`` in the native module.
    scripted: Optional[List[Dict[str, Any]]] = None


_devnet: Optional[DevnetMode] = None


def turn_devnet_on(mode: Optional[DevnetMode]) -> None:
    """Have every ``Golem`` and ``Executor`` that starts from now on start an emulated network; with ``None`` none."""
    global _devnet
    _devnet = mode


def devnet() -> Optional[DevnetMode]:
    """Return the emulated network to start; ``None`` for the daemon that the environment names.

    **Raises** :class:`ValueError` for variables that can't be used.
    """
    return _devnet if _devnet is not None else _of_environment()


def _of_environment() -> Optional[DevnetMode]:
    wanted, image = os.environ.get("GOLEM_DEVNET", "").strip(), os.environ.get("GOLEM_DEVNET_IMAGE") or None
    if wanted in ("", "0"):
        return None
    if not wanted.isdigit():
        raise ValueError(f"`GOLEM_DEVNET` is `{wanted}`. Set it to a number of providers, such as 3.")
    if image is not None and not os.path.isdir(image):
        raise ValueError(f"`GOLEM_DEVNET_IMAGE` is `{image}`, which is not a folder. Name a folder that exists.")
    return DevnetMode(providers=int(wanted), image=image)


def devnet_is_on() -> bool:
    """Return whether an emulated network is used."""
    return devnet() is not None
