"""Logs: a summary for people, each event for programs, and a logger for both."""

from __future__ import annotations

import logging
import os
from datetime import datetime, timezone
from typing import Any, Callable, Optional, Union

from golem_tasks.yapapi import events
from golem_tasks.yapapi._absent import absent
from golem_tasks.yapapi._summary import SummaryLogger, pluralize, str_capped

__all__ = [
    "ProviderInfo",
    "SummaryLogger",
    "enable_default_logger",
    "log_event",
    "log_event_repr",
    "log_summary",
    "pluralize",
    "str_capped",
]

event_logger = logging.getLogger("yapapi.events")

ProviderInfo = absent(__name__, "ProviderInfo", "Use `event.provider_id` and `event.provider_name` of an event of an agreement.")

#: The most characters of an event in the log.
_EVENT_LENGTH = 2000


class _Formatter(logging.Formatter):
    """Writes times as 2026-06-11T14:55:43.156+0200."""

    def formatTime(self, record: logging.LogRecord, datefmt: Optional[str] = None) -> str:  # noqa: N802
        at = datetime.fromtimestamp(record.created, tz=timezone.utc).astimezone()
        return f"{at:%Y-%m-%dT%H:%M:%S}.{at.microsecond // 1000:03d}{at:%z}"


class _NoTraceback(_Formatter):
    """Leaves tracebacks out, which are in the file; ``YAPAPI_TRACEBACK=1`` shows them."""

    def formatException(self, ei: Any) -> str:  # noqa: N802
        if os.environ.get("YAPAPI_TRACEBACK", "").lower() in ("1", "y", "yes", "true", "on"):
            return super().formatException(ei)
        return f"{ei[0].__name__}: {ei[1]}"

    def format(self, record: logging.LogRecord) -> str:
        # What a handler makes of the traceback is kept in the record, for all handlers.
        whole, record.exc_text = record.exc_text, None
        try:
            return super().format(record)
        finally:
            record.exc_text = whole


def enable_default_logger(
    format_: str = "[%(asctime)s %(levelname)s %(name)s] %(message)s",
    log_file: Optional[Union[str, "os.PathLike[str]"]] = None,
    debug_activity_api: bool = False,
    debug_market_api: bool = False,
    debug_payment_api: bool = False,
    debug_net_api: bool = False,
) -> None:
    """Log to standard error from INFO on, and to ``log_file`` from DEBUG on; the file is begun anew.

    A second call replaces what the first one set up. The flags of the APIs do nothing.
    """
    logger = logging.getLogger("yapapi")
    logger.setLevel(logging.DEBUG)
    for handler in list(logger.handlers):
        if getattr(handler, "_yapapi_default", False):
            logger.removeHandler(handler)
            handler.close()
    screen: logging.Handler = logging.StreamHandler()
    screen.setLevel(logging.INFO)
    screen.setFormatter(_NoTraceback(format_))
    handlers = [screen]
    if log_file is not None:
        file = logging.FileHandler(os.fspath(log_file), mode="w", encoding="utf-8")
        file.setLevel(logging.DEBUG)
        file.setFormatter(_Formatter(format_))
        handlers.append(file)
    for handler in handlers:
        handler._yapapi_default = True  # type: ignore[attr-defined]  # Marks it as ours.
        logger.addHandler(handler)


def log_event(event: events.Event) -> None:
    """Log an event in words, at level DEBUG."""
    if event_logger.isEnabledFor(logging.DEBUG):
        words = "".join(f" {c.lower()}" if c.isupper() else c for c in type(event).__name__).strip().capitalize()
        fields = {name: value for name, value in vars(event).items() if name not in ("exc_info", "timestamp")}
        text = ", ".join(f"{name} = {str_capped(value, 200)}" for name, value in fields.items())
        if event.exception is not None:
            text += f", reason = {event.exception}"
        event_logger.debug("%s%s", words, f", {text}" if text and not text.startswith(",") else text)


def log_event_repr(event: events.Event) -> None:
    """Log an event as Python writes it, at level DEBUG."""
    if event_logger.isEnabledFor(logging.DEBUG):
        event_logger.debug("%s", str_capped(repr(event), _EVENT_LENGTH))


def log_summary(wrapped_emitter: Optional[Callable[[events.Event], Any]] = None) -> Callable[[events.Event], None]:
    """Return an event consumer that logs a summary, and hands each event to ``wrapped_emitter`` as well."""
    return SummaryLogger(wrapped_emitter).log
