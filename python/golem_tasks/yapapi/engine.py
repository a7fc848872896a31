"""Jobs as events name them, and the error of a missing payment account."""

from __future__ import annotations

from datetime import datetime
from typing import Any, Optional

from golem_tasks.yapapi._words import DEFAULT_DRIVER, DEFAULT_NETWORK, DEFAULT_SUBNET

__all__ = ["DEFAULT_DRIVER", "DEFAULT_NETWORK", "DEFAULT_SUBNET", "Job", "NoPaymentAccountError"]


class NoPaymentAccountError(Exception):
    """The daemon has no account that can pay by the required driver on the required network."""

    def __init__(self, required_driver: str, required_network: str) -> None:
        super().__init__(required_driver, required_network)
        self.required_driver = required_driver
        self.required_network = required_network

    def __str__(self) -> str:
        return (
            f"No payment account is initialised for the driver `{self.required_driver}` and the network "
            f"`{self.required_network}`. Run `yagna payment init --sender --driver {self.required_driver} "
            f"--network {self.required_network}`."
        )


class Job:
    """A pile of tasks that was handed in together."""

    def __init__(self, id: str, payload: Any, expiration_time: Optional[datetime]) -> None:
        self.id = id
        self.payload = payload
        self.expiration_time = expiration_time
        #: The number of offers that fitted so far.
        self.offers_collected = 0
        #: The number of providers that agreed to the terms so far.
        self.proposals_confirmed = 0
        #: The error that ended the job; ``None`` while it runs and after a good end.
        self.error: Optional[BaseException] = None

    def __repr__(self) -> str:
        return f"Job(id={self.id!r})"
