"""Demands, put together from models, properties and constraints."""

from __future__ import annotations

import abc
import enum
from datetime import datetime
from decimal import Decimal
from typing import Any, Dict, List

from golem_tasks.yapapi._absent import REST, refuse
from golem_tasks.yapapi.props.base import Model, constraint_model_serialize, join_str_constraints

__all__ = ["AutodecoratingModel", "DemandBuilder", "DemandDecorator"]


class DemandBuilder:
    """Collects the properties and constraints of a demand."""

    def __init__(self) -> None:
        self._properties: Dict[str, Any] = {}
        self._constraints: List[str] = []

    def __repr__(self) -> str:
        return repr({"properties": self._properties, "constraints": self._constraints})

    @property
    def properties(self) -> Dict[str, Any]:
        """The properties so far."""
        return self._properties

    @property
    def constraints(self) -> str:
        """All constraints so far, as one that demands each of them."""
        return join_str_constraints(self._constraints)

    def ensure(self, constraint: str) -> None:
        """Demand that ``constraint`` holds as well."""
        self._constraints.append(constraint)

    def add(self, m: Model) -> None:
        """Add the properties and constraints of a model. Properties that are ``None`` are left out."""
        keys = {f.name: f.metadata["golem_key"] for f in m.property_fields()}
        self.add_properties({key: getattr(m, name) for name, key in keys.items()})
        self._constraints.extend(constraint_model_serialize(m))

    def add_properties(self, props: Dict[str, Any]) -> None:
        """Add properties: dates as milliseconds, enumerations as their values, exact numbers as numbers."""
        for key, value in props.items():
            if value is not None:
                self._properties[key] = _plain(key, value)

    async def decorate(self, *decorators: "DemandDecorator") -> None:
        """Let each decorator change this demand."""
        for decorator in decorators:
            await decorator.decorate_demand(self)

    async def subscribe(self, market: Any) -> Any:
        """Not available: the engine publishes demands itself."""
        refuse("yapapi.props.builder.DemandBuilder.subscribe", REST)


def _plain(key: str, value: Any) -> Any:
    if isinstance(value, enum.Enum):
        value = value.value
    if isinstance(value, datetime):
        return int(value.timestamp() * 1000)
    if isinstance(value, Decimal):
        return float(value)
    if isinstance(value, (str, int, float, list, dict)):
        return value
    if isinstance(value, (tuple, set, frozenset)):
        return list(value)
    raise TypeError(f"The property `{key}` is of the type `{type(value).__name__}`. Use text, a number, a list, a dict, a date or an enumeration.")


class DemandDecorator(abc.ABC):
    """Whatever can change a demand."""

    @abc.abstractmethod
    async def decorate_demand(self, demand: DemandBuilder) -> None:
        """Add to the demand what this object wants."""


class AutodecoratingModel(Model, DemandDecorator):
    """A model that adds its own properties and constraints to a demand."""

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(**kwargs)

    async def decorate_demand(self, demand: DemandBuilder) -> None:
        """Add this model to the demand."""
        demand.add(self)
