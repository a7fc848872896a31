"""The task API of yapapi on the engine of golem-tasks.

A program for yapapi 0.5 (``Executor``) or 0.13 (``Golem``) runs when ``yapapi`` in its imports is replaced by
``golem_tasks.yapapi``, or without any change as ``python -m golem_tasks.yapapi [--devnet] program.py``. Names that aren't here raise
:class:`NotAvailable <golem_tasks.yapapi._absent.NotAvailable>` when they are used, with a message that names the way out.
"""

from __future__ import annotations

from golem_tasks import _native
from golem_tasks.yapapi._absent import NotAvailable
from golem_tasks.yapapi._task import Task
from golem_tasks.yapapi._words import YAPAPI_VERSION
from golem_tasks.yapapi.ctx import CaptureContext, ExecOptions, WorkContext
from golem_tasks.yapapi.engine import NoPaymentAccountError
from golem_tasks.yapapi.executor import Executor
from golem_tasks.yapapi.golem import Golem
from golem_tasks.yapapi.utils import windows_event_loop_fix

__all__ = [
    "CaptureContext",
    "ExecOptions",
    "Executor",
    "Golem",
    "NoPaymentAccountError",
    "NotAvailable",
    "Task",
    "WorkContext",
    "__version__",
    "get_version",
    "windows_event_loop_fix",
]

#: The version of yapapi whose interface this is, and that of golem-tasks behind the plus sign.
__version__ = f"{YAPAPI_VERSION}+golem.tasks.{_native.__version__}"


def get_version() -> str:
    """Return :data:`__version__`."""
    return __version__
