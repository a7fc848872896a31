"""Helpers that programs on yapapi use."""

from __future__ import annotations

import asyncio
import enum
import logging
import sys
import warnings
from datetime import datetime, timezone, tzinfo
from typing import Any, Dict, List, MutableMapping, Optional, Tuple

from golem_tasks.yapapi._absent import ENGINE, absent

__all__ = [
    "AsyncWrapper",
    "Deprecated",
    "explode_dict",
    "get_local_timezone",
    "get_logger",
    "strtobool",
    "utc_now",
    "warn_deprecated",
    "warn_deprecated_msg",
    "windows_event_loop_fix",
]


AsyncWrapper = absent(__name__, "AsyncWrapper", ENGINE)


class Deprecated(enum.Enum):
    """The kind of thing that is deprecated."""

    module = "module"
    parameter = "parameter"
    property = "property"


def warn_deprecated_msg(warning_msg: str) -> None:
    """Warn that something is deprecated, at the caller's caller."""
    warnings.warn(warning_msg, DeprecationWarning, stacklevel=3)


def warn_deprecated(old_name: str, new_name: str, since_version: str, entity: Deprecated) -> None:
    """Warn that ``old_name`` is deprecated and ``new_name`` replaces it."""
    warn_deprecated_msg(f"The {entity.value} `{old_name}` is deprecated since {since_version}. Use `{new_name}` instead.")


def explode_dict(imploded_dict: Dict[str, Any], separator: str = ".") -> Dict[str, Any]:
    """Turn ``{"a.b": 1}`` into ``{"a": {"b": 1}}``; a number as a key becomes a place in a list."""
    tree: Dict[str, Any] = {}
    for key, value in imploded_dict.items():
        parts = key.split(separator)
        node = tree
        for part in parts[:-1]:
            node = node.setdefault(part, {})
        node[parts[-1]] = explode_dict(value, separator) if isinstance(value, dict) else value
    return {key: _with_lists(value) for key, value in tree.items()}


def _with_lists(node: Any) -> Any:
    if not isinstance(node, dict):
        return node
    items: List[Tuple[str, Any]] = [(key, _with_lists(value)) for key, value in node.items()]
    if items and all(key.isdigit() for key, _ in items):
        return [value for _, value in sorted(items, key=lambda item: int(item[0]))]
    return dict(items)


def get_local_timezone() -> Optional[tzinfo]:
    """Return the time zone of this machine."""
    return datetime.now(timezone.utc).astimezone().tzinfo


def utc_now() -> datetime:
    """Return the present time in UTC."""
    return datetime.now(timezone.utc)


def strtobool(val: str) -> bool:
    """Read a word for true or false. **Raises** :class:`ValueError` for any other word."""
    word = val.strip().lower()
    if word in ("y", "yes", "t", "true", "on", "1"):
        return True
    if word in ("n", "no", "f", "false", "off", "0"):
        return False
    raise ValueError(f"{val!r} is neither true nor false. Write `1` or `0`.")


class _JobLogger(logging.LoggerAdapter):  # type: ignore[type-arg]  # Not generic before Python 3.11.
    def process(self, msg: Any, kwargs: MutableMapping[str, Any]) -> Tuple[Any, MutableMapping[str, Any]]:
        job_id = kwargs.pop("job_id", None)
        return (msg if job_id is None else f"[Job {job_id}] {msg}"), kwargs


def get_logger(name: str) -> _JobLogger:
    """Return a logger whose calls take ``job_id=..``, which is put in front of the message."""
    return _JobLogger(logging.getLogger(name), {})


def windows_event_loop_fix() -> None:
    """Give this thread an event loop, which ``asyncio.get_event_loop()`` returns.

    From Python 3.14 on, that call raises where no loop was made before. Nothing else needs mending: no child process is
    started, on Windows either.
    """
    if sys.version_info < (3, 14):
        return
    try:
        asyncio.get_event_loop()
    except RuntimeError:
        asyncio.set_event_loop(asyncio.new_event_loop())
