"""Payloads in the engine's terms, whichever of our packages they come from."""

from collections.abc import Mapping
from typing import Any

Settings = dict[str, Any]
"""A payload as the native module takes it: :class:`golem_tasks._native.PayloadSettings`."""


def settings_of(payload: object) -> Settings:
    """The settings of a payload: of an object with a method ``__golem_payload__`` that returns them, of a mapping, or of an image's name.

    Raises :class:`TypeError` for anything else.
    """
    own = getattr(payload, "__golem_payload__", None)
    if callable(own) and not isinstance(payload, type):
        return settings_of(own())
    if isinstance(payload, Mapping):
        return dict(payload)
    if isinstance(payload, str):
        return {"image": payload}
    kind = type(payload)
    raise TypeError(
        f"An object of {kind.__module__}.{kind.__qualname__} isn't a payload. Use golem_tasks.golem_core.Payload.from_image_hash(..), "
        "golem_tasks.yapapi.payload.vm.repo(..), or the tag of an image, such as 'golem/alpine:latest'."
    )
