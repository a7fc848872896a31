"""The way to the daemon."""

from __future__ import annotations

from typing import NoReturn

from golem_tasks.yapapi._absent import REST, refuse
from golem_tasks.yapapi.config import ApiConfig

__all__ = ["Configuration", "DEFAULT_YAGNA_API_URL"]

DEFAULT_YAGNA_API_URL = "http://127.0.0.1:7465"


class Configuration:
    """The daemon's address and key. Its clients of the API aren't available."""

    def __init__(self, api_config: ApiConfig) -> None:
        self._config = api_config

    @property
    def app_key(self) -> str:
        """The key to the daemon."""
        return self._config.app_key

    @property
    def root_url(self) -> str:
        """The address of the daemon."""
        return self._config.api_url

    @property
    def market_url(self) -> str:
        """The address of the market API."""
        return self._config.market_url or f"{self.root_url}/market-api/v1"

    @property
    def payment_url(self) -> str:
        """The address of the payment API."""
        return self._config.payment_url or f"{self.root_url}/payment-api/v1"

    @property
    def activity_url(self) -> str:
        """The address of the activity API."""
        return self._config.activity_url or f"{self.root_url}/activity-api/v1"

    @property
    def net_url(self) -> str:
        """The address of the net API."""
        return self._config.net_url or f"{self.root_url}/net-api/v1"

    def market(self) -> NoReturn:
        """Not available."""
        refuse("yapapi.rest.Configuration.market", REST)

    def payment(self) -> NoReturn:
        """Not available."""
        refuse("yapapi.rest.Configuration.payment", REST)

    def activity(self) -> NoReturn:
        """Not available."""
        refuse("yapapi.rest.Configuration.activity", REST)

    def net(self) -> NoReturn:
        """Not available."""
        refuse("yapapi.rest.Configuration.net", REST)
