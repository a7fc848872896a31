"""Amounts of GLM: exact, whatever the program's decimal context is."""

from decimal import Context, Decimal

_EXACT = Context(prec=60)
_LEAST = Decimal("1e-18")
"""The smallest part of a GLM."""


def amount(value: object, name: str) -> str:
    """GLM as the engine reads it. A ``float`` is read by its decimal form: 0.1 is 0.1 GLM. Raises :class:`TypeError` for what is no amount."""
    if isinstance(value, bool) or not isinstance(value, (str, int, float, Decimal)):
        raise TypeError(f"{name} is {value!r}. Give GLM as a decimal.Decimal, a text such as '0.5', or a number.")
    return f"{value:f}" if isinstance(value, Decimal) else str(value)


def cost_of(per_hour: Decimal, seconds: float) -> Decimal:
    """GLM for so many seconds."""
    cost = _EXACT.divide(_EXACT.multiply(per_hour, Decimal(seconds)), Decimal(3600))
    return cost.quantize(_LEAST, context=_EXACT)


def added(one: Decimal, other: Decimal) -> Decimal:
    """The sum of two amounts."""
    return _EXACT.add(one, other)
