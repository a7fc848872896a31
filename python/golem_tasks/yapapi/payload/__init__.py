"""Payloads: the machine and the image that the work needs."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any, Dict, List

from golem_tasks.yapapi.props.builder import AutodecoratingModel, DemandBuilder

if TYPE_CHECKING:
    from golem_tasks._native import PayloadSettings

__all__ = ["Payload"]

_RUNTIME = re.compile(r"^\(golem\.runtime\.name=([^()=<>]+)\)$")
_TASK_PACKAGE = "golem.srv.comp.task_package"


class Payload(AutodecoratingModel):
    """The base of payloads.

    A payload of your own is a dataclass with fields made by :func:`prop <golem_tasks.yapapi.props.prop>` and
    :func:`constraint <golem_tasks.yapapi.props.constraint>`. It names its runtime by a constraint on ``golem.runtime.name``.
    """

    async def _settings(self) -> "PayloadSettings":
        """Return the payload as the engine takes it."""
        demand = DemandBuilder()
        await self.decorate_demand(demand)
        return settings_of(demand)


def settings_of(demand: DemandBuilder) -> "PayloadSettings":
    """Return what a demand says as the engine's payload."""
    properties: Dict[str, Any] = dict(demand.properties)
    constraints: List[str] = []
    settings: "PayloadSettings" = {"min_mem_gib": 0.0, "min_storage_gib": 0.0}
    for constraint in demand._constraints:
        runtime = _RUNTIME.match(constraint.strip())
        if runtime is None:
            constraints.append(constraint)
        else:
            settings["runtime"] = runtime.group(1)
    if isinstance(properties.get(_TASK_PACKAGE), str):
        settings["task_package"] = properties.pop(_TASK_PACKAGE)
    settings["properties"] = properties
    settings["constraints"] = constraints
    return settings
