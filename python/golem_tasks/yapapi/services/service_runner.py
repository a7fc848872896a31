"""The runner of services, which isn't available."""

from __future__ import annotations

from golem_tasks.yapapi._absent import SERVICES, absent

__all__ = ["ControlSignal", "ServiceRunner", "ServiceRunnerError", "ServiceRunnerState"]

ControlSignal = absent(__name__, "ControlSignal", SERVICES)
ServiceRunner = absent(__name__, "ServiceRunner", SERVICES)
ServiceRunnerState = absent(__name__, "ServiceRunnerState", SERVICES)


class ServiceRunnerError(Exception):
    """Never raised: there are no services yet."""
