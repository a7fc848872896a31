"""Properties of offers and demands."""

from __future__ import annotations

import enum
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from typing import Optional

from golem_tasks.yapapi.props import base, builder, com, inf
from golem_tasks.yapapi.props.base import InvalidPropertiesError, Model, constraint, prop

__all__ = [
    "Activity",
    "ActivityKeys",
    "InvalidPropertiesError",
    "Model",
    "NodeInfo",
    "NodeInfoKeys",
    "base",
    "builder",
    "com",
    "constraint",
    "inf",
    "prop",
]


@dataclass
class NodeInfo(Model):
    """A node's name for itself and its part of the market."""

    name: Optional[str] = prop("golem.node.id.name", default=None)
    subnet_tag: Optional[str] = prop("golem.node.debug.subnet", default=None)


@dataclass
class Activity(Model):
    """Limits of an activity. Costs are in GLM."""

    cost_cap: Optional[Decimal] = prop("golem.activity.cost_cap", default=None)
    cost_warning: Optional[Decimal] = prop("golem.activity.cost_warning", default=None)
    timeout_secs: Optional[float] = prop("golem.activity.timeout_secs", default=None)
    expiration: Optional[datetime] = prop("golem.srv.comp.expiration", default=None)
    multi_activity: Optional[bool] = prop("golem.srv.caps.multi-activity", default=None)


class NodeInfoKeys(str, enum.Enum):
    """The keys of the properties of :class:`NodeInfo`."""

    name = "golem.node.id.name"
    subnet_tag = "golem.node.debug.subnet"


class ActivityKeys(str, enum.Enum):
    """The keys of the properties of :class:`Activity`."""

    cost_cap = "golem.activity.cost_cap"
    cost_warning = "golem.activity.cost_warning"
    timeout_secs = "golem.activity.timeout_secs"
    expiration = "golem.srv.comp.expiration"
    multi_activity = "golem.srv.caps.multi-activity"
