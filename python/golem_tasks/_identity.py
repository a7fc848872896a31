"""The identity that tells one callable of ``get_tasks`` from another, so that another process can resume a run.

A callable itself can't be kept. What is kept is its ``key``, if it has one, or else its name with what it was made of: the values in its
closure, its defaults and its attributes, as far as these can't change.
"""

import datetime
import decimal
import enum
import functools
import hashlib
import inspect
import json
import pathlib
import uuid
from collections.abc import Callable
from types import BuiltinFunctionType, FunctionType, MethodType, ModuleType
from typing import Any, Optional, Union

Stored = Union[str, int, float, bool, None, dict[str, Any], list[Any]]
"""The stored form of a callable, as JSON."""

_SCALARS = (
    type(None),
    bool,
    int,
    float,
    complex,
    str,
    bytes,
    decimal.Decimal,
    datetime.date,
    datetime.time,
    datetime.timedelta,
    pathlib.PurePath,
    uuid.UUID,
    range,
)
_MOST = 200
"""The longest description; what is longer is cut and gets a digest of the whole."""
_LONGEST_TEXT = 10_000
_LONGEST_TUPLE = 100
"""Longer texts, bytes and tuples are only described by their length."""


def identity(callable_: Callable[..., Any], position: int) -> Stored:
    """The stored form of the callable that stands at this position of ``get_tasks``.

    With a ``key`` it is that. Without one it is a description; where something belongs to the callable that can't be described, its position
    belongs to the description.

    Raises :class:`TypeError` for a key that isn't JSON.
    """
    key = getattr(callable_, "key", None)
    if inspect.isroutine(key):
        key = key()
    if key is not None:
        return _key(key, callable_)
    text, whole = describe(callable_)
    return {"callable": text} if whole else {"callable": text, "position": position}


def describe(callable_: Callable[..., Any]) -> tuple[str, bool]:
    """A callable in words, and whether the words say all that it is made of."""
    parts = _Parts()
    text = parts.callable(callable_, 0)
    if len(text) > _MOST:
        digest = hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()[:16]
        text = f"{text[: _MOST - 20]}.. #{digest}"
    return text, parts.whole


def _key(key: Any, callable_: Callable[..., Any]) -> Stored:
    if isinstance(key, (str, int, float, dict, list, tuple)):
        try:
            kept: Stored = json.loads(json.dumps(key, allow_nan=False))
        except (TypeError, ValueError):
            pass
        else:
            return kept
    raise TypeError(f"The key of {describe(callable_)[0]} is {key!r}. A key must be a text, a number, or a list or dict of them.")


class _Parts:
    """Describes values, and notes whether one of them couldn't be described."""

    def __init__(self) -> None:
        self.whole = True

    def callable(self, value: Any, depth: int) -> str:
        if isinstance(value, functools.partial):
            named = [*(self.value(item, depth + 1) for item in value.args), *self._named(value.keywords, depth)]
            return f"{self.callable(value.func, depth + 1)}({', '.join(named)})"
        if isinstance(value, MethodType):
            return f"{self.value(value.__self__, depth + 1)}.{value.__func__.__name__}"
        if isinstance(value, FunctionType):
            made_of = self._made_of(value, depth) if depth < 4 else []
            return f"{_name(value)}({', '.join(made_of)})" if made_of else _name(value)
        if isinstance(value, (BuiltinFunctionType, type)):
            return _name(value)
        return self.value(value, depth + 1)

    def value(self, value: Any, depth: int) -> str:
        if isinstance(value, enum.Enum):
            return str(value)
        if isinstance(value, (str, bytes, tuple)) and len(value) > (_LONGEST_TUPLE if isinstance(value, tuple) else _LONGEST_TEXT):
            # Many callables may share it, and each would be described by all of it.
            self.whole = False
            return f"{type(value).__name__} of {len(value)}"
        if isinstance(value, _SCALARS):
            return repr(value)
        if depth > 4:
            return self._unknown(value)
        if isinstance(value, tuple):
            return f"({', '.join(self.value(item, depth + 1) for item in value)})"
        if isinstance(value, (FunctionType, MethodType, BuiltinFunctionType, functools.partial, type)):
            return self.callable(value, depth + 1)
        if isinstance(value, ModuleType):
            return value.__name__
        return self._object(value, depth)

    def _object(self, value: Any, depth: int) -> str:
        # What can be seen of it tells it from others, but it may be made of more, and change.
        self.whole = False
        attributes = getattr(value, "__dict__", None) or {}
        plain = {name: item for name, item in attributes.items() if isinstance(item, _SCALARS) and not name.startswith("_")}
        return f"{type(value).__name__}({', '.join(self._named(plain, depth))})"

    def _made_of(self, function: FunctionType, depth: int) -> list[str]:
        parts = []
        for name, cell in zip(function.__code__.co_freevars, function.__closure__ or ()):
            content = _content(cell)
            if content is not function:
                parts.append(f"{name}={self.value(content, depth + 1) if content is not cell else '?'}")
        defaults = function.__defaults__ or ()
        names = function.__code__.co_varnames[: function.__code__.co_argcount][-len(defaults) :] if defaults else ()
        parts.extend(self._named(dict(zip(names, defaults)), depth))
        parts.extend(self._named(function.__kwdefaults__ or {}, depth))
        return parts

    def _named(self, values: dict[str, Any], depth: int) -> list[str]:
        return [f"{name}={self.value(value, depth + 1)}" for name, value in values.items()]

    def _unknown(self, value: Any) -> str:
        self.whole = False
        return type(value).__name__


def _content(cell: Any) -> Any:
    try:
        return cell.cell_contents
    except ValueError:  # It isn't bound yet.
        return cell


def _name(value: Any) -> str:
    name: Optional[str] = getattr(value, "__qualname__", None)
    return (name or type(value).__name__).rpartition("<locals>.")[2]
