"""Prices in offers."""

from __future__ import annotations

import abc
import enum
from dataclasses import dataclass, field
from typing import Any, Dict, List, Mapping

from golem_tasks.yapapi.props.base import Model, prop

__all__ = ["BillingScheme", "Com", "ComLinear", "Counter", "PriceModel"]

SCHEME = "golem.com.scheme"
PRICE_MODEL = "golem.com.pricing.model"
LINEAR_COEFFS = "golem.com.pricing.model.linear.coeffs"
DEFINED_USAGES = "golem.com.usage.vector"


class BillingScheme(enum.Enum):
    """The way bills come."""

    PAYU = "payu"


class PriceModel(enum.Enum):
    """The way a price is made of usage."""

    LINEAR = "linear"


class Counter(enum.Enum):
    """The usage counters that providers commonly bill."""

    TIME = "golem.usage.duration_sec"
    CPU = "golem.usage.cpu_sec"
    STORAGE = "golem.usage.storage_gib"
    MAXMEM = "golem.usage.gib"
    UNKNOWN = ""


@dataclass
class Com(Model):
    """The commercial part of an offer."""

    scheme: BillingScheme = prop(SCHEME)
    price_model: PriceModel = prop(PRICE_MODEL)

    @abc.abstractmethod
    def calculate_cost(self, usage: List[float]) -> float:
        """Return the GLM that this usage costs."""

    @abc.abstractmethod
    def usage_as_dict(self, usage: List[float]) -> Dict[str, float]:
        """Return the usage by counter."""


@dataclass
class ComLinear(Com):
    """An offer whose price is a fixed part and a rate for each counter, in GLM."""

    linear_coeffs: List[float] = prop(LINEAR_COEFFS)
    usage_vector: List[str] = prop(DEFINED_USAGES)
    _price_for: Dict[str, float] = field(init=False, default_factory=dict, repr=False)

    @classmethod
    def _custom_mapping(cls, props: Mapping[str, Any], data: Dict[str, Any]) -> None:
        if data.get("price_model") is not PriceModel.LINEAR:
            raise ValueError("its pricing model isn't linear")
        coeffs, counters = data.get("linear_coeffs"), data.get("usage_vector")
        if not isinstance(coeffs, list) or not isinstance(counters, list):
            raise ValueError("it names no list of prices or of counters")
        if len(coeffs) != len(counters) + 1:
            raise ValueError(f"it has {len(coeffs)} prices for {len(counters)} counters and the start")
        if not all(isinstance(c, (int, float)) and not isinstance(c, bool) for c in coeffs):
            raise ValueError(f"a price in {coeffs!r} isn't a number")
        data["linear_coeffs"] = [float(c) for c in coeffs]

    def __post_init__(self) -> None:
        self._price_for = dict(zip(self.usage_vector, self.linear_coeffs))

    @property
    def fixed_price(self) -> float:
        """GLM for the start of an activity."""
        return self.linear_coeffs[-1]

    @property
    def price_for(self) -> Dict[str, float]:
        """GLM for each unit, by counter; a :class:`Counter` finds its price as its text does."""
        return _Prices(self._price_for)

    def calculate_cost(self, usage: List[float]) -> float:
        """Return the GLM that this usage costs, the start included."""
        return self.fixed_price + sum(rate * used for rate, used in zip(self.linear_coeffs, usage))

    def usage_as_dict(self, usage: List[float]) -> Dict[str, float]:
        """Return the usage by counter."""
        return dict(zip(self.usage_vector, usage))


class _Prices(Dict[str, float]):
    """Prices by counter, found by the counter's text or its enumeration."""

    def __getitem__(self, key: Any) -> float:
        return super().__getitem__(key.value if isinstance(key, Counter) else key)

    def __contains__(self, key: Any) -> bool:
        return super().__contains__(key.value if isinstance(key, Counter) else key)

    def get(self, key: Any, default: Any = None) -> Any:
        """Return the price for a counter, or ``default``."""
        return self[key] if key in self else default
