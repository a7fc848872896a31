"""Models of properties and constraints, as the market has them."""

from __future__ import annotations

import dataclasses
import enum
from datetime import datetime, timezone
from decimal import Decimal
from typing import Any, Dict, List, Mapping, Set, Type, TypeVar, Union

__all__ = [
    "CONSTRAINT_VAL_ANY",
    "ConstraintException",
    "InvalidPropertiesError",
    "Model",
    "ModelFieldType",
    "PROP_KEY",
    "PROP_MODEL_FIELD_TYPE",
    "PROP_OPERATOR",
    "as_list",
    "constraint",
    "constraint_model_serialize",
    "constraint_to_str",
    "join_str_constraints",
    "prop",
]

ME = TypeVar("ME", bound="Model")

PROP_KEY = _KEY = "golem_key"
PROP_OPERATOR = _OPERATOR = "golem_operator"
PROP_MODEL_FIELD_TYPE = _TYPE = "golem_type"
CONSTRAINT_VAL_ANY = "*"


class ConstraintException(Exception):
    """A constraint can't be written down."""


class InvalidPropertiesError(Exception):
    """Properties of an offer don't make the model that was asked for."""


class ModelFieldType(enum.Enum):
    """The kind of a field of a model."""

    constraint = "constraint"
    property = "property"


def prop(key: str, default: Any = dataclasses.MISSING) -> Any:
    """Declare a field of a model that is the property ``key``."""
    return dataclasses.field(default=default, metadata={_KEY: key, _TYPE: ModelFieldType.property})


def constraint(
    key: str,
    operator: str = "=",
    default: Any = dataclasses.MISSING,
    default_factory: Any = dataclasses.MISSING,
) -> Any:
    """Declare a field of a model that constrains the other side's property ``key``.

    **Raises** :class:`ConstraintException` if ``operator`` is none of ``=``, ``>=``, ``<=``.
    """
    if operator not in ("=", ">=", "<="):
        raise ConstraintException(f"`{operator}` is not an operator of constraints. Use `=`, `>=` or `<=`.")
    metadata = {_KEY: key, _OPERATOR: operator, _TYPE: ModelFieldType.constraint}
    if default_factory is not dataclasses.MISSING:
        return dataclasses.field(default_factory=default_factory, metadata=metadata)
    return dataclasses.field(default=default, metadata=metadata)


def _fields(model: Any, kind: ModelFieldType) -> List["dataclasses.Field[Any]"]:
    return [f for f in dataclasses.fields(model) if f.metadata.get(_TYPE) is kind]


class Model:
    """Properties and constraints under names of Python. Subclasses are dataclasses."""

    def __init__(self, **kwargs: Any) -> None:
        for name, value in kwargs.items():
            setattr(self, name, value)

    @classmethod
    def property_fields(cls) -> List["dataclasses.Field[Any]"]:
        """Return the fields that are properties."""
        return _fields(cls, ModelFieldType.property)

    @classmethod
    def constraint_fields(cls) -> List["dataclasses.Field[Any]"]:
        """Return the fields that are constraints."""
        return _fields(cls, ModelFieldType.constraint)

    @classmethod
    def _custom_mapping(cls, props: Mapping[str, Any], data: Dict[str, Any]) -> None:
        """Change the values in ``data``, by field, before a model is made of them."""

    @classmethod
    def from_properties(cls: Type[ME], props: Mapping[str, Any]) -> ME:
        """Make the model from properties of an offer.

        **Raises** :class:`InvalidPropertiesError` if one that is needed is missing or is of the wrong kind.
        """
        hints = _hints(cls)
        data: Dict[str, Any] = {}
        for field in cls.property_fields():
            key = field.metadata[_KEY]
            if key in props:
                try:
                    data[field.name] = _read(hints.get(field.name, Any), props[key])
                except (TypeError, ValueError, ArithmeticError) as error:
                    raise InvalidPropertiesError(f"The property `{key}` is {props[key]!r}, which `{cls.__name__}` can't use: {error}.") from error
        try:
            cls._custom_mapping(props, data)
            return cls(**data)
        except (TypeError, KeyError, ValueError, AssertionError) as error:
            raise InvalidPropertiesError(f"The properties don't make a `{cls.__name__}`: {error}. They have {sorted(props)}.") from error

    @classmethod
    def property_keys(cls) -> Any:
        """Return an enumeration of the property keys, by field."""
        return enum.Enum(f"{cls.__name__}Keys", [(f.name, f.metadata[_KEY]) for f in cls.property_fields()])


def _hints(cls: type) -> Dict[str, Any]:
    import typing

    try:
        return typing.get_type_hints(cls)
    except (NameError, TypeError):  # Names that only a type checker knows.
        return {}


def _read(hint: Any, value: Any) -> Any:
    """Turn a value of the market into one of the field's type."""
    options: Set[Any] = set(getattr(hint, "__args__", ())) if getattr(hint, "__origin__", None) is Union else {hint}
    for option in options:
        if option is Decimal:
            return Decimal(str(value))
        if option is datetime and not isinstance(value, datetime):
            return datetime.fromtimestamp(int(float(value) * 0.001), timezone.utc)
        if isinstance(option, type) and issubclass(option, enum.Enum):
            return option(value)
    return value


def as_list(data: Union[str, List[str]]) -> List[str]:
    """Return a list of one for a text, and a list as it is."""
    return [data] if isinstance(data, str) else list(data)


def join_str_constraints(constraints: List[str], operator: str = "&") -> str:
    """Join constraints with ``&``, ``|`` or ``!``.

    **Raises** :class:`ConstraintException` if ``!`` gets other than one.
    """
    if operator == "!":
        if len(constraints) != 1:
            raise ConstraintException(f"`!` takes one constraint, and got {len(constraints)}.")
        return f"(!{constraints[0]})"
    if not constraints:
        return f"({operator})"
    if len(constraints) == 1:
        return constraints[0]
    lines = "\n\t".join(constraints)
    return f"({operator}{lines})"


def constraint_to_str(value: Any, f: "dataclasses.Field[Any]") -> Union[str, List[str]]:
    """Write a field of a model as a constraint; a list as one that demands each of its values."""
    if isinstance(value, (list, tuple)):
        parts = [str(constraint_to_str(part, f)) for part in value]
        return join_str_constraints(parts) if parts else ""
    return f"({f.metadata[_KEY]}{f.metadata[_OPERATOR]}{_text(value)})"


def _text(value: Any) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, enum.Enum):
        return str(value.value)
    if isinstance(value, datetime):
        return str(int(value.timestamp() * 1000))
    return str(value)


def constraint_model_serialize(m: Model) -> List[str]:
    """Write all constraints of a model. Those that are ``None`` or an empty list are left out."""
    written = [(getattr(m, f.name), f) for f in m.constraint_fields()]
    texts = [str(constraint_to_str(value, f)) for value, f in written if value is not None]
    return [text for text in texts if text]
