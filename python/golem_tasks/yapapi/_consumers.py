"""The event consumers of a ``Golem``."""

from __future__ import annotations

import logging
from typing import Any, Callable, Iterable, List, Tuple, Type, Union

from golem_tasks.yapapi import events

EventConsumer = Callable[[events.Event], Any]

logger = logging.getLogger("yapapi.events")


class Consumers:
    """Functions that are called with events, each with those of its classes."""

    def __init__(self) -> None:
        self._all: List[Tuple[EventConsumer, Tuple[Type[events.Event], ...]]] = []

    def add(self, consumer: EventConsumer, classes_or_names: Iterable[Union[Type[events.Event], str]]) -> None:
        """Call ``consumer`` with each event of these classes from now on.

        **Raises** :class:`ValueError` for a name that no event has, :class:`TypeError` for what is no consumer.
        """
        if not callable(consumer):
            raise TypeError(f"The event consumer is of the type `{type(consumer).__name__}`. Give a function of an event.")
        if isinstance(classes_or_names, str):
            classes_or_names = [classes_or_names]
        self._all.append((consumer, tuple(_class(item) for item in classes_or_names)))

    def __call__(self, event: events.Event) -> None:
        """Hand an event to each consumer that wants it. What a consumer raises is logged."""
        for consumer, classes in self._all:
            if isinstance(event, classes):
                try:
                    consumer(event)
                except Exception:
                    logger.exception("The event consumer %r failed on %s.", consumer, type(event).__name__)


def _class(item: Union[Type[events.Event], str]) -> Type[events.Event]:
    found: Any = getattr(events, item, None) if isinstance(item, str) else item
    if not (isinstance(found, type) and issubclass(found, events.Event)):
        raise ValueError(f"`{item}` is not an event. Use a class of `yapapi.events` or its name.")
    return found
