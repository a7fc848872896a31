"""Settings of old programs that name things which no longer exist, and what they mean now."""

from __future__ import annotations

import os
import sys
import warnings
from types import FrameType
from typing import Dict, Optional, Set, Tuple

from golem_tasks.yapapi._words import DEFAULT_DRIVER, DEFAULT_NETWORK, DEFAULT_SUBNET

__all__ = ["driver", "network", "subnet"]

_DRIVERS: Dict[str, str] = {"zksync": "erc20", "ngnt": "erc20"}
_NETWORKS: Dict[str, str] = {"rinkeby": "hoodi", "goerli": "hoodi", "mumbai": "hoodi", "holesky": "hoodi"}
_SUBNETS: Dict[str, str] = {
    **{f"community.{number}": "public" for number in range(1, 5)},
    "devnet-alpha.1": "public",
    "devnet-alpha.2": "public",
    "devnet-beta": "public",
    "devnet-beta.1": "public",
    "devnet-beta.2": "public",
}
_told: Set[Tuple[str, str]] = set()


def driver(given: Optional[str]) -> str:
    """Return the payment driver for what the program gave, or for the environment, in lower case."""
    name = given or os.environ.get("YAGNA_PAYMENT_DRIVER") or DEFAULT_DRIVER
    return _translated("payment driver", name.lower(), _DRIVERS)


def network(given: Optional[str]) -> str:
    """Return the payment network for what the program gave, or for the environment, in lower case."""
    name = given or os.environ.get("YAGNA_PAYMENT_NETWORK") or DEFAULT_NETWORK
    return _translated("payment network", name.lower(), _NETWORKS)


def subnet(given: Optional[str]) -> str:
    """Return the subnet for what the program gave, or for the environment. An empty text means all of the market."""
    if given is None:
        given = os.environ.get("YAGNA_SUBNET")
    return _translated("subnet", DEFAULT_SUBNET if given is None else given, _SUBNETS)


def _translated(what: str, name: str, table: Dict[str, str]) -> str:
    now = table.get(name, name)
    if now != name and (what, name) not in _told:
        _told.add((what, name))
        message = f"The {what} `{name}` no longer exists. The program uses `{now}` instead."
        warnings.warn(message, UserWarning, stacklevel=_program_level())
    return now


def _program_level() -> int:
    """Return the ``stacklevel`` by which a warning names the line of the program that called into this package."""
    level = 1
    frame: Optional[FrameType] = sys._getframe(2)  # The caller of the function that warns.
    while frame is not None and str(frame.f_globals.get("__name__", "")).startswith("golem_tasks.yapapi"):
        level += 1
        frame = frame.f_back
    return level + 1
