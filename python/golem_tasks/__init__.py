"""Run piles of work on the Golem Network.

``docs/python.md`` is the guide::

    import golem_tasks as gt

    async def square(ctx, n):
        return int((await ctx.sh(f"echo $(( {n} * {n} ))")).stdout)

    for done in gt.map(square, range(8), image="golem/alpine:latest", devnet=True):
        print(done.input, done.value, done.provider)

Programs on yapapi run by :mod:`golem_tasks.yapapi`, modules for golem-tasks-python by ``python -m golem_tasks run``.
"""

from . import _installed as _installed
from ._context import Batch, Context
from ._errors import (
    BudgetError,
    CloseError,
    CommandFailed,
    CommandTimeout,
    GolemError,
    NoPaymentAccountError,
    Provider,
    ProviderLost,
    RunError,
    ScriptError,
    StartError,
    TaskFailed,
    WorkFailed,
)
from ._golem import Golem
from ._job import Job, Task
from ._map import Done, Mapped
from ._native import Devnet, __version__
from ._native import Result as CommandResult
from ._run import map, run
from ._summary import ProviderSummary, Summary
from .runner import Runner

__all__ = [
    "Batch",
    "BudgetError",
    "CloseError",
    "CommandFailed",
    "CommandResult",
    "CommandTimeout",
    "Context",
    "Devnet",
    "Done",
    "Golem",
    "GolemError",
    "Job",
    "Mapped",
    "NoPaymentAccountError",
    "Provider",
    "ProviderLost",
    "ProviderSummary",
    "RunError",
    "Runner",
    "ScriptError",
    "StartError",
    "Summary",
    "Task",
    "TaskFailed",
    "WorkFailed",
    "__version__",
    "map",
    "run",
]
