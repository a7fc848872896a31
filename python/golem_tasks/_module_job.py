"""The job of the engine that calls a module's functions."""

import asyncio
import inspect
import json
import logging
from typing import TYPE_CHECKING, Any, Optional

from ._identity import Stored
from ._module import Work
from ._pile import Gone, Pile, TaskCallable, name_of
from .golem_core.low import Activity

if TYPE_CHECKING:
    from ._native import Context, JobSettings, JobTask

WORKERS = 1
BUDGET = "1/h"

logger = logging.getLogger("golem_tasks")


class Job:
    """The job of the engine that calls a module's functions."""

    def __init__(self, work: Work, loop: asyncio.AbstractEventLoop) -> None:
        self._work = work
        self._pile = Pile(work.get_tasks, loop)
        self._run_id = ""
        self._has_begun = False
        self._not_kept = False

    def settings(self) -> "JobSettings":
        """The job in the engine's terms."""
        return {
            "name": self._work.name,
            "payload": self._work.payload,  # type: ignore[typeddict-item]
            "tasks": self._tasks,
            "run": self._run,
            "key": _key,
            "note_done": self._pile.note_done,
            "may_change": True,
            "prints_itself": True,
            "describe": {"module": self._work.name},
            "budget": BUDGET,
            "workers": WORKERS,
        }

    def _tasks(self, run_id: str) -> Any:
        self._run_id = run_id
        return self._pile.tasks(run_id)

    async def _run(self, context: "Context", task: "JobTask") -> Any:
        """Runs one task: calls its callable with an activity."""
        self._has_begun = True
        try:
            function = await self._pile.find(task.data)
        except Gone as gone:
            # It was begun in an earlier process, and its results are where get_tasks looks.
            logger.warning("%s, so it counts as done.", gone)
            return None
        activity = Activity(context, task.time_limit)
        try:
            result = await _called(function, activity, task.data)
            # What it didn't wait for belongs to it all the same: the next task needs a machine that is ready.
            await activity._finished()
        except Exception as error:
            if await activity._end():
                # Whatever it waited for is still being executed, so nothing else can be done there.
                error.ends_rental = True  # type: ignore[attr-defined]
            raise
        finally:
            await activity._end()
        self._pile.succeeded(task.data)
        return self._kept(result, task.data)

    def _kept(self, result: Any, stored: Stored) -> Any:
        """A result as it is kept; nothing where it can't be."""
        if result is None:
            return None
        try:
            return json.loads(json.dumps(result, allow_nan=False))
        except (TypeError, ValueError):
            if not self._not_kept:
                self._not_kept = True
                logger.warning("%s returned %r, which isn't JSON: such results aren't kept in the database.", name_of(stored), result)
            return None

    async def tell_results(self) -> Optional[int]:
        """Asks the module how many results there are, where any task was begun, and logs it. What goes wrong with that concerns nobody else."""
        if self._work.results_cnt is None or not self._has_begun:
            return None
        try:
            counted: Any = self._work.results_cnt(self._run_id)
            count: int = await counted if inspect.isawaitable(counted) else counted
        except Exception as error:
            logger.warning("results_cnt failed: %s: %s", type(error).__name__, error)
            return None
        logger.info("results_cnt says that run %s has %s results.", self._run_id, count)
        return count


async def _called(function: TaskCallable, activity: Activity, stored: Stored) -> Any:
    """The value that the function of a task returns."""
    try:
        result = function(activity)
        if not inspect.isawaitable(result):
            raise _for_good(TypeError(f"{name_of(stored)} isn't an async function: it returned {result!r}. Define it by `async def`."))
        return await result
    except (SystemExit, KeyboardInterrupt) as error:
        # Not even these end the program: they would leave what is rented behind.
        raise RuntimeError(f"{name_of(stored)} raised {type(error).__name__}. A task can't end the run; return from it.") from error


def _key(stored: Stored) -> Optional[str]:
    """The key of a task. One that nothing tells from others has none: each of those is a task of its own."""
    if isinstance(stored, dict) and set(stored) <= {"callable", "position"}:
        return None
    return json.dumps(stored, sort_keys=True)


def _for_good(error: Exception) -> Exception:
    error.for_good = True  # type: ignore[attr-defined]
    return error
