"""The machine that a module's tasks need."""

from collections.abc import Iterable
from typing import Any, Optional

from .._payload import Settings, settings_of

_OPTIONS = ("min_mem_gib", "min_storage_gib", "min_cpu_threads", "min_cpu_cores", "capabilities")


class Payload:
    """A virtual machine with an image, and what the provider must have at least.

    Use one of the constructors, such as :meth:`from_image_hash`. Nothing is asked of Golem's registry before a run begins.
    """

    def __init__(self, **settings: Any) -> None:
        """Takes settings as the engine has them; see :class:`golem_tasks._native.PayloadSettings`."""
        self._settings: Settings = settings_of(settings)

    @classmethod
    def from_image_hash(cls, image_hash: str, **options: Any) -> "Payload":
        """An image of Golem's registry by its SHA-3 hash.

        Options: ``min_mem_gib`` (0.5), ``min_storage_gib`` (2), ``min_cpu_threads`` (1), ``min_cpu_cores``, ``capabilities`` (texts such as ``vpn``).
        """
        return cls(image=_text("image_hash", image_hash), **_checked(options))

    @classmethod
    def from_image_tag(cls, image_tag: str, **options: Any) -> "Payload":
        """An image of Golem's registry by its tag, such as ``golem/alpine:latest``. The options are those of :meth:`from_image_hash`."""
        return cls(image=_text("image_tag", image_tag), **_checked(options))

    @classmethod
    def from_image_url(cls, image_url: str, image_hash: Optional[str] = None, **options: Any) -> "Payload":
        """An image that is served elsewhere, by its address and its SHA-3 hash. The options are those of :meth:`from_image_hash`.

        The hash is required: providers check what they download against it.
        """
        if image_hash is None:
            raise ValueError(
                "Payload.from_image_url needs image_hash, the SHA-3 hash of the image, because providers check the download against it. "
                "`gvmkit-build --info IMAGE.gvmi` prints it."
            )
        return cls(image_url=_text("image_url", image_url), image_hash=_text("image_hash", image_hash), **_checked(options))

    def __golem_payload__(self) -> Settings:
        """The payload as the engine takes it."""
        return self._settings

    def __repr__(self) -> str:
        options = ", ".join(f"{name}={value!r}" for name, value in self._settings.items())
        return f"Payload({options})"

    def __eq__(self, other: object) -> bool:
        return self._settings == other._settings if isinstance(other, Payload) else NotImplemented

    def __hash__(self) -> int:
        return hash(repr(self))


def _text(name: str, value: object) -> str:
    if not isinstance(value, str) or not value.strip():
        raise ValueError(f"{name} must be a text that isn't empty, not {value!r}.")
    return value.strip()


def _checked(options: dict[str, Any]) -> dict[str, Any]:
    for name in options:
        if name not in _OPTIONS:
            raise TypeError(f"Payload has no option {name!r}. The options are {', '.join(_OPTIONS)}.")
    capabilities = options.get("capabilities")
    if capabilities is not None:
        if isinstance(capabilities, str) or not isinstance(capabilities, Iterable):
            raise TypeError(f"capabilities must be a list of texts, not {capabilities!r}.")
        options = {**options, "capabilities": list(capabilities)}
    return {name: value for name, value in options.items() if value is not None}
