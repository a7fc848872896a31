"""Services, which aren't available."""

from __future__ import annotations

from golem_tasks.yapapi._absent import SERVICES, absent

__all__ = ["Service", "ServiceInstance", "ServiceSerialization", "ServiceSignal"]

Service = absent(__name__, "Service", SERVICES)
ServiceInstance = absent(__name__, "ServiceInstance", SERVICES)
ServiceSerialization = absent(__name__, "ServiceSerialization", SERVICES)
ServiceSignal = absent(__name__, "ServiceSignal", SERVICES)
