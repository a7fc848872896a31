"""Whether programs of this process run on an emulated network, as ``python -m golem_tasks.yapapi --devnet`` says."""

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
    """Return the emulated network to start; ``None`` for the daemon that the environment names."""
    return _devnet


def devnet_is_on() -> bool:
    """Return whether an emulated network is used."""
    return _devnet is not None
