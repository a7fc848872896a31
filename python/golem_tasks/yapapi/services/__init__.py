"""Services, which aren't available: using one of these names raises an error that names the way out."""

from __future__ import annotations

from typing import TypeVar

from golem_tasks.yapapi.services.cluster import Cluster
from golem_tasks.yapapi.services.service import Service, ServiceInstance, ServiceSerialization, ServiceSignal
from golem_tasks.yapapi.services.service_runner import ServiceRunner, ServiceRunnerError
from golem_tasks.yapapi.services.service_state import ServiceState

__all__ = [
    "Cluster",
    "Service",
    "ServiceInstance",
    "ServiceRunner",
    "ServiceRunnerError",
    "ServiceSerialization",
    "ServiceSignal",
    "ServiceState",
    "ServiceType",
]

ServiceType = TypeVar("ServiceType")
