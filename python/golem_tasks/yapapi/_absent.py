"""Names of yapapi that golem-tasks doesn't have.

Importing such a name works, so that a program may use it in an annotation. Using it raises :class:`NotAvailable`, whose
message names the way out.
"""

from __future__ import annotations

from typing import Any, Dict, NoReturn, Type

__all__ = ["ABSENT", "NotAvailable", "absent", "refuse"]

#: The way out for each absent name, by the full name that yapapi gives it.
ABSENT: Dict[str, str] = {}

SERVICES = (
    "Services aren't part of golem-tasks yet. Run a long task with `Golem.execute_tasks` and a script with a long timeout, "
    "or keep yapapi itself for this program."
)
NETWORKS = "Virtual networks aren't part of golem-tasks yet. Keep yapapi itself for this program, or send the requests of the daemon's net API yourself."
REST = "The wrappers of the daemon's API aren't part of golem-tasks. Send requests to the daemon's REST API yourself, or use the Rust crate `yagna-client`."
STORAGE = (
    "Files move within the process over the daemon's bus, so there are no storage providers. Use `Script.upload_file`, `Script.download_file` and their like."
)
ENGINE = "It is a part of yapapi's own engine, in whose place golem-tasks has another. Use `Golem` and its events."


class NotAvailable(NotImplementedError):
    """A name of yapapi was used that golem-tasks doesn't have; the message names the way out."""


def refuse(name: str, way_out: str) -> NoReturn:
    """Raise :class:`NotAvailable` for ``name``."""
    raise NotAvailable(f"`{name}` isn't available in golem_tasks.yapapi. {way_out}")


def absent(module: str, name: str, way_out: str) -> Type[Any]:
    """Make a class that stands for an absent name: making an instance or a subclass of it raises :class:`NotAvailable`.

    ``module`` is the ``__name__`` of the module that the name belongs to.
    """
    full = f"{module.replace('golem_tasks.', '', 1)}.{name}"
    ABSENT[full] = way_out

    def __new__(cls: Type[Any], *_: Any, **__: Any) -> Any:
        refuse(full, way_out)

    def __init_subclass__(cls: Type[Any], /, **_: Any) -> None:
        refuse(full, way_out)

    def __class_getitem__(cls: Type[Any], _: Any, /) -> Type[Any]:
        return cls

    return type(
        name,
        (),
        {
            "__module__": module,
            "__doc__": f"Not available. {way_out}",
            "__new__": __new__,
            "__init_subclass__": classmethod(__init_subclass__),
            "__class_getitem__": classmethod(__class_getitem__),
            "_absent": full,
        },
    )
