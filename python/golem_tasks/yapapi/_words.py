"""Defaults and names that several modules share."""

from __future__ import annotations

from datetime import timedelta

DEFAULT_DRIVER = "erc20"
DEFAULT_NETWORK = "hoodi"
DEFAULT_SUBNET = "public"
DEFAULT_WORKERS = 5
#: The time that a call of ``execute_tasks`` may take unless it says otherwise.
DEFAULT_TASKS_TIMEOUT = timedelta(minutes=15)
#: The time that all calls of ``submit`` may take, from the start of an ``Executor`` of 0.5, unless it says otherwise.
DEFAULT_EXECUTOR_TIMEOUT = timedelta(minutes=5)
#: The version of yapapi whose interface this package has.
YAPAPI_VERSION = "0.13.1"
