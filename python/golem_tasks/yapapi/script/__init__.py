"""Scripts: commands that a provider runs as one batch."""

from __future__ import annotations

import asyncio
import itertools
from datetime import timedelta
from typing import TYPE_CHECKING, Any, Awaitable, Callable, Dict, Generator, List, Optional, Type, TypeVar

from golem_tasks.yapapi.events import CommandExecuted, ScriptEvent
from golem_tasks.yapapi.rest.activity import BatchError, CommandExecutionError
from golem_tasks.yapapi.script.capture import CaptureContext
from golem_tasks.yapapi.script.command import (
    DOWNLOAD_BYTES_LIMIT_DEFAULT,
    Command,
    Deploy,
    DownloadBytes,
    DownloadFile,
    DownloadFileFromInternet,
    DownloadJson,
    Path,
    ProgressArgs,
    Run,
    SendBytes,
    SendFile,
    SendJson,
    Start,
    Terminate,
)

if TYPE_CHECKING:
    from golem_tasks.yapapi.ctx import WorkContext

__all__ = [
    "BatchError",
    "CaptureContext",
    "Command",
    "CommandExecuted",
    "CommandExecutionError",
    "CommandResult",
    "DOWNLOAD_BYTES_LIMIT_DEFAULT",
    "Deploy",
    "DownloadBytes",
    "DownloadFile",
    "DownloadFileFromInternet",
    "DownloadJson",
    "ProgressArgs",
    "Run",
    "Script",
    "SendBytes",
    "SendFile",
    "SendJson",
    "Start",
    "Terminate",
]

ScriptEventType = TypeVar("ScriptEventType", bound=ScriptEvent)

script_ids = itertools.count(1)


class CommandResult(Awaitable[CommandExecuted]):
    """The result of a command, awaited after its script has been yielded.

    If the script fails, awaiting it raises what the script failed with.
    """

    def __init__(self, script: "Script") -> None:
        self._script = script
        self._future: "Optional[asyncio.Future[CommandExecuted]]" = None
        self._outcome: Optional[CommandExecuted] = None
        self._error: Optional[BaseException] = None

    def done(self) -> bool:
        """True once the command has ended."""
        return self._outcome is not None or self._error is not None

    def result(self) -> CommandExecuted:
        """Return the result. **Raises** :class:`asyncio.InvalidStateError` while there is none."""
        if self._error is not None:
            raise self._error
        if self._outcome is None:
            raise asyncio.InvalidStateError("The command hasn't ended. Yield its script, then await the command.")
        return self._outcome

    def __await__(self) -> Generator[Any, None, CommandExecuted]:
        if not self.done():
            if self._script._is_awaited_by_its_worker():
                raise RuntimeError("A command was awaited before its script was yielded. Yield the script first.")
            if self._future is None:
                self._future = asyncio.get_running_loop().create_future()
            yield from asyncio.shield(self._future).__await__()
        return self.result()

    def _set(self, outcome: CommandExecuted) -> None:
        self._outcome = outcome
        self._wake()

    def _fail(self, error: BaseException) -> None:
        if not self.done():
            self._error = error
            self._wake()

    def _wake(self) -> None:
        if self._future is not None and not self._future.done():
            self._future.set_result(None)  # type: ignore[arg-type]  # Only wakes: `result` says what came of it.


class Script:
    """A batch of commands for one provider.

    Calls queue commands; each returns an awaitable of the command's result. ``yield script`` in a worker runs them.
    """

    def __init__(self, context: "WorkContext", timeout: Optional[timedelta] = None, wait_for_results: bool = True) -> None:
        self._ctx = context
        #: The time that the batch may take; ten minutes if ``None``.
        self.timeout = timeout
        #: False if the worker goes on at once when it yields the script, before its commands have ended.
        self.wait_for_results = wait_for_results
        self._id: int = next(script_ids)
        self._commands: List[Command] = []
        self._awaitables: List[CommandResult] = []
        self._results: Optional[List[CommandExecuted]] = None
        self._sent = False

    @property
    def id(self) -> int:
        """The number of the script in this process."""
        return self._id

    @property
    def results(self) -> List[CommandExecuted]:
        """The results of the commands, in their order.

        **Raises** :class:`AttributeError` before the script has succeeded.
        """
        if self._results is None:
            raise AttributeError("The script has no results yet. Yield it in the worker first.")
        return self._results

    def words(self) -> List[str]:
        """Return the commands in words."""
        return [command.words() for command in self._commands]

    def add(self, cmd: Command) -> Awaitable[CommandExecuted]:
        """Queue a command.

        **Raises** :class:`RuntimeError` if the script has been sent or the command belongs to another script.
        """
        if self._sent:
            raise RuntimeError("The script has been sent already. Make another one with `ctx.new_script()`.")
        if not isinstance(cmd, Command):
            raise TypeError(f"`Script.add` takes a `Command`, and not an object of the type `{type(cmd).__name__}`.")
        if cmd._script is not None:
            raise RuntimeError("The command belongs to a script already. Make another one.")
        cmd._script = self
        result = CommandResult(self)
        self._commands.append(cmd)
        self._awaitables.append(result)
        return result

    def deploy(self, progress_args: Optional[ProgressArgs] = None, **kwargs: Any) -> Awaitable[CommandExecuted]:
        """Queue the set-up of the machine; only with ``implicit_init=False``."""
        return self.add(Deploy(progress_args, **kwargs))

    def start(self, *args: str) -> Awaitable[CommandExecuted]:
        """Queue the start of the runtime; only with ``implicit_init=False``."""
        return self.add(Start(*args))

    def terminate(self) -> Awaitable[CommandExecuted]:
        """Queue the end of the machine."""
        return self.add(Terminate())

    def run(
        self,
        cmd: str,
        *args: str,
        env: Optional[Dict[str, str]] = None,
        stderr: Optional[CaptureContext] = None,
        stdout: Optional[CaptureContext] = None,
    ) -> Awaitable[CommandExecuted]:
        """Queue a program with its arguments and, beside those of the image, its environment."""
        return self.add(Run(cmd, *args, env=env, stderr=stderr, stdout=stdout))

    def upload_bytes(self, data: bytes, dst_path: str, **kwargs: Any) -> Awaitable[CommandExecuted]:
        """Queue the sending of bytes into a file on the provider."""
        return self.add(SendBytes(data, dst_path, **kwargs))

    def upload_file(self, src_path: Path, dst_path: str, **kwargs: Any) -> Awaitable[CommandExecuted]:
        """Queue the sending of a file."""
        return self.add(SendFile(src_path, dst_path, **kwargs))

    def upload_json(self, data: Any, dst_path: str, **kwargs: Any) -> Awaitable[CommandExecuted]:
        """Queue the sending of a value as JSON into a file on the provider."""
        return self.add(SendJson(data, dst_path, **kwargs))

    def download_file(self, src_path: str, dst_path: Path, **kwargs: Any) -> Awaitable[CommandExecuted]:
        """Queue the fetching of a file, which appears here whole or not at all."""
        return self.add(DownloadFile(src_path, dst_path, **kwargs))

    def download_bytes(
        self,
        src_path: str,
        on_download: Callable[[bytes], Awaitable[Any]],
        limit: int = DOWNLOAD_BYTES_LIMIT_DEFAULT,
        **kwargs: Any,
    ) -> Awaitable[CommandExecuted]:
        """Queue the fetching of a file into memory; more than ``limit`` bytes are an error."""
        return self.add(DownloadBytes(src_path, on_download, limit, **kwargs))

    def download_json(
        self,
        src_path: str,
        on_download: Callable[[Any], Awaitable[Any]],
        limit: int = DOWNLOAD_BYTES_LIMIT_DEFAULT,
        **kwargs: Any,
    ) -> Awaitable[CommandExecuted]:
        """Queue the fetching of a JSON file; ``on_download`` is called with its value."""
        return self.add(DownloadJson(src_path, on_download, limit, **kwargs))

    def download_from_url(self, src_url: str, dst_path: str, progress_args: Optional[ProgressArgs] = None) -> Awaitable[CommandExecuted]:
        """Have the provider fetch a file from the internet."""
        return self.add(DownloadFileFromInternet(src_url, dst_path, progress_args))

    def emit(self, event_class: Type["ScriptEventType"], **kwargs: Any) -> "ScriptEventType":
        """Tell the event consumers of an event of this script."""
        return self._ctx.emit(event_class, script=self, **kwargs)

    def _is_awaited_by_its_worker(self) -> bool:
        return not self._sent and asyncio.current_task() is self._ctx._worker

    def _fail(self, error: BaseException) -> None:
        """Let whoever awaits a command know that there will be no result."""
        for awaitable in self._awaitables:
            awaitable._fail(error)
