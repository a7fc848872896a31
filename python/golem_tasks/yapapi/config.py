"""The way to the daemon, as programs on yapapi set it."""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from typing import Optional

__all__ = ["ApiConfig", "DEFAULT_YAGNA_API_URL", "MissingConfiguration"]

DEFAULT_YAGNA_API_URL = "http://127.0.0.1:7465"


class MissingConfiguration(Exception):
    """A setting that is needed is missing."""

    def __init__(self, key: str, description: str) -> None:
        super().__init__(f"The environment variable `{key}` isn't set. It is the {description}.")
        self.key = key
        self.description = description


def _app_key() -> str:
    return os.environ.get("YAGNA_APPKEY", "")


def _api_url() -> str:
    return os.environ.get("YAGNA_API_URL") or DEFAULT_YAGNA_API_URL


def _market_url() -> Optional[str]:
    return os.environ.get("YAGNA_MARKET_URL") or None


def _payment_url() -> Optional[str]:
    return os.environ.get("YAGNA_PAYMENT_URL") or None


def _net_url() -> Optional[str]:
    return os.environ.get("YAGNA_NET_URL") or None


def _activity_url() -> Optional[str]:
    return os.environ.get("YAGNA_ACTIVITY_URL") or None


@dataclass
class ApiConfig:
    """The daemon's address and the key to it. What isn't given is read from the environment now.

    The app key may be missing here: with a devnet none is needed. Without one, the start of an executor raises
    :class:`MissingConfiguration`.
    """

    app_key: str = field(default_factory=_app_key, repr=False)
    api_url: str = field(default_factory=_api_url)
    market_url: Optional[str] = field(default_factory=_market_url)
    payment_url: Optional[str] = field(default_factory=_payment_url)
    net_url: Optional[str] = field(default_factory=_net_url)
    activity_url: Optional[str] = field(default_factory=_activity_url)
