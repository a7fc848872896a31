"""The activity that a task gets."""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timezone
from typing import TYPE_CHECKING, Any, NoReturn, Optional

from ..._native import Error
from .._absent import absent
from ..commands import Command, Script
from .batch import CommandResult, PoolingBatch, events_of

if TYPE_CHECKING:
    from ..._native import Context


@dataclass(frozen=True)
class _ProposalData:
    issuer_id: str


@dataclass(frozen=True)
class _Proposal:
    data: _ProposalData


@dataclass(frozen=True)
class _Agreement:
    """The known facts of an agreement. The engine ends it."""

    id: str
    parent: _Proposal
    provider_name: str

    def __getattr__(self, name: str) -> NoReturn:
        if name.startswith("__"):
            raise AttributeError(name)
        raise absent(f"low.Agreement.{name}")


class Activity:
    """An activity that is deployed and started, on a machine that is rented.

    A task gets one, and may use it until its coroutine ends. Batches are executed one after the other.
    """

    def __init__(self, context: "Context", time_limit: Optional[float] = None) -> None:
        self._context = context
        self._time_limit = time_limit
        self._batches = 0
        self._running: set[asyncio.Task[None]] = set()
        self._turn = asyncio.Lock()
        self._is_over = False

    @property
    def id(self) -> str:
        """The activity's id at the daemon."""
        return self._context.activity_id

    @property
    def provider_id(self) -> str:
        """The provider's node id."""
        return self._context.provider_id

    @property
    def provider_name(self) -> str:
        """The name that the provider gave itself."""
        return self._context.provider_name

    @property
    def agreement(self) -> _Agreement:
        """The agreement by which it is rented: its ``id``, and ``parent.data.issuer_id``, the provider's id."""
        return _Agreement(self._context.agreement_id, _Proposal(_ProposalData(self.provider_id)), self.provider_name)

    @property
    def parent(self) -> _Agreement:
        """The agreement."""
        return self.agreement

    @property
    def idle(self) -> bool:
        """True if no batch is being executed."""
        return not self._unfinished()

    @property
    def destroyed(self) -> bool:
        """True once the task that got it has ended."""
        return self._is_over

    async def execute_commands(self, *commands: Command, timeout: Optional[float] = None) -> PoolingBatch:
        """Begins to execute these commands, and gives their batch at once: await its :meth:`PoolingBatch.wait`.

        ``timeout`` is for the request that sends them, and has no effect here.
        """
        return self._execute(commands, ())

    async def execute_script(self, script: Script) -> PoolingBatch:
        """Begins to execute the commands of a script. Its futures give the result of each."""
        return self._execute(script.commands, script.futures)

    async def get_state(self) -> str:
        """The state of the activity, such as ``Ready``."""
        self._check()
        return await self._context.state()

    async def destroy(self) -> NoReturn:
        """Raises: the engine ends activities. A task that finds its machine unfit raises an exception, and is tried elsewhere."""
        raise absent("low.Activity.destroy")

    def _execute(self, commands: Sequence[Command], futures: "Sequence[asyncio.Future[CommandResult]]") -> PoolingBatch:
        self._check()
        if not commands:
            raise ValueError("A batch needs at least one command, such as commands.Run('date').")
        for command in commands:
            if not isinstance(command, Command):
                raise TypeError(f"{command!r} isn't a command. Use Run, SendFile or DownloadFile of golem_core.commands.")
        wire = [ready for ready in (command._wire() for command in commands) if ready is not None]
        self._batches += 1
        batch = PoolingBatch(self, self._batches, futures)
        task = asyncio.ensure_future(self._run(batch, commands, wire))
        self._running.add(task)
        task.add_done_callback(self._running.discard)
        return batch

    async def _run(self, batch: PoolingBatch, commands: Sequence[Command], wire: "list[Any]") -> None:
        try:
            async with self._turn:
                results = await self._context.commit(wire, self._time_limit) if wire else []
        except Error as error:
            batch._finish(_until(error, commands), error)
        except asyncio.CancelledError as error:
            batch._finish([], error)
            raise
        except Exception as error:  # A path that isn't there, and whatever else is wrong with a command.
            batch._finish([], error)
        else:
            batch._finish(events_of(results, commands, is_whole=True))

    async def _finished(self) -> None:
        """Waits for all batches, whatever comes of them."""
        while running := self._unfinished():
            await asyncio.wait(running)

    async def _end(self) -> bool:
        """Ends the use of it. Gives whether a batch was still being executed; it is waited for no longer."""
        self._is_over = True
        running = self._unfinished()
        for task in running:
            task.cancel()
        await asyncio.gather(*running, return_exceptions=True)
        return bool(running)

    def _unfinished(self) -> "list[asyncio.Task[None]]":
        return [task for task in self._running if not task.done()]

    def _check(self) -> None:
        if self._is_over:
            raise RuntimeError(f"{self} can't be used after the end of the task that got it. Each task gets an activity of its own.")

    def __getattr__(self, name: str) -> Any:
        if name in _ABSENT:
            raise absent(f"low.Activity.{name}")
        raise AttributeError(f"Activity has no attribute {name!r}.")

    def __repr__(self) -> str:
        return f"Activity({self.id})"


_ABSENT = ("node", "debit_notes", "batch", "execute", "wait_busy", "wait_idle", "wait_destroyed", "children", "data", "get_data")


def _until(error: Any, commands: Sequence[Command]) -> list[CommandResult]:
    """The events of a batch that failed: those before the failure, and that of the command that failed where there is one."""
    details: dict[str, Any] = error.details
    events = events_of(details.get("results") or [], commands, is_whole=False)
    if error.kind not in ("command_failed", "transfer_failed") or (events and events[-1].result == "Error"):
        return events
    message = details.get("message") or str(error)
    now = datetime.now(timezone.utc)
    events.append(CommandResult(len(events), now, "Error", details.get("stdout"), details.get("stderr"), message, True))
    return events
