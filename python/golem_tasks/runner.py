"""Runs async functions of an activity, as golem-tasks-python did, on the engine of golem-tasks.

``python -m golem_tasks run MODULE`` does it from the command line; :class:`Runner` from within a program.
"""

import asyncio
import logging
import os
import sys
from collections.abc import Callable
from dataclasses import replace
from decimal import Decimal
from typing import TYPE_CHECKING, Any, Optional, Union

from . import _native
from ._errors import translated
from ._module import ModuleError, ResultsCnt, checked
from ._module_job import BUDGET, WORKERS, Job
from ._pile import Source

if TYPE_CHECKING:
    from ._native import RunnerSettings

__all__ = ["Runner"]

logger = logging.getLogger("golem_tasks")


class Runner:
    """Runs tasks durably, with the settings that golem-tasks-python had.

    ``payload``: the machine, such as ``golem_tasks.golem_core.Payload.from_image_hash(..)``. ``get_tasks``: a function of the run's id that yields
    async functions of an activity; the run ends when all of them are done. ``results_cnt``: an async function of the run's id that says how many
    results there are. ``dsn``: the database, in any form that ``--dsn`` takes. ``run_id``: the name of the run; one that exists is resumed.
    ``workers``: providers that work at the same time. ``result_max_price``: GLM that a finished task may cost on average on one provider.
    ``budget_str``: GLM that may be spent, ``"10"``, ``"3/h"`` or ``"20/d"``.

    Beyond golem-tasks-python: ``devnet``, the number of providers of an emulated network inside this process; ``show``, ``"text"`` to print what
    happens as the command line does; ``on_budget``, ``"wait"`` to wait for the next hour or day instead of ending; ``results``, ``retries`` and
    ``task_timeout`` (seconds) as the flags of the command line.

    Raises :class:`ValueError` where an argument can't be used.
    """

    def __init__(
        self,
        *,
        payload: Any,
        get_tasks: Callable[[str], Source],
        results_cnt: Optional[ResultsCnt] = None,
        dsn: Optional[str] = None,
        run_id: Optional[str] = None,
        workers: int = WORKERS,
        result_max_price: Union[Decimal, float, str, None] = None,
        budget_str: str = BUDGET,
        devnet: Union[int, bool, None] = None,
        show: str = "silent",
        on_budget: Optional[str] = None,
        results: Optional[int] = None,
        retries: Optional[int] = None,
        task_timeout: Optional[float] = None,
    ) -> None:
        try:
            work = checked("this runner", payload, get_tasks, results_cnt)
        except ModuleError as error:
            raise ValueError(f"{str(error)[:1].upper()}{str(error)[1:]}.") from error
        self._work = replace(work, name=_name(get_tasks))
        chosen = {
            "dsn": dsn or None,
            "run_id": run_id,
            "workers": workers,
            "max_price": None if result_max_price is None else _glm(result_max_price),
            "budget": budget_str,
            "devnet": _providers(devnet),
            "show": show,
            "on_budget": {"pause": "wait"}.get(on_budget, on_budget) if on_budget else None,
            "results": results,
            "retries": retries,
            "task_timeout": task_timeout,
        }
        self._settings: Any = {name: value for name, value in chosen.items() if value is not None}
        self._has_begun = False

    async def main(self) -> dict[str, Any]:
        """Runs until all tasks are done or it is stopped, and gives the summary of the run, as ``golem-tasks summary --json`` has it.

        Cancelling it, as Ctrl+C does in ``asyncio.run``, stops the run in order: no task begins, agreements are ended, bills are settled; the
        cancellation takes effect after that. Raises :class:`golem_tasks.RunError` where the run couldn't begin or broke off, and
        :class:`RuntimeError` when it is called a second time.
        """
        if self._has_begun:
            raise RuntimeError("This runner has run. Make another one with the same run_id to go on with the run.")
        self._has_begun = True
        job = Job(self._work, asyncio.get_running_loop())
        runner = _native.Runner(job.settings(), self._run_settings())
        try:
            summary = await runner.run()
        except _native.Error as error:
            raise translated(error) from error
        except asyncio.CancelledError:
            # The run is being stopped, and everything rented is to be ended before anybody leaves.
            await asyncio.shield(asyncio.ensure_future(_end(runner)))
            raise
        await job.tell_results()
        return summary

    def _run_settings(self) -> "RunnerSettings":
        settings: RunnerSettings = self._settings
        return settings


def _name(get_tasks: Callable[..., Any]) -> str:
    """The name of a runner's job: that of the module of its tasks."""
    name = getattr(get_tasks, "__module__", None) or "python"
    file = getattr(sys.modules.get(name), "__file__", None)
    return os.path.basename(file) if name == "__main__" and file else str(name)


async def _end(runner: "_native.Runner") -> None:
    try:
        await runner.run()
    except (_native.Error, asyncio.CancelledError) as error:
        logger.debug("the run ended by %r", error)


def _glm(amount: Union[Decimal, float, str]) -> str:
    text = f"{Decimal(str(amount)):f}"
    if Decimal(text) < 0:
        raise ValueError(f"result_max_price is {amount}. It must not be negative.")
    return text


def _providers(devnet: Union[int, bool, None]) -> Optional[int]:
    if devnet is None or devnet is False:
        return None
    return 3 if devnet is True else devnet
