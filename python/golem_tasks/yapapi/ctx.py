"""The work context: a worker's view of the machine that it works on."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field
from datetime import datetime, timedelta, timezone
from typing import TYPE_CHECKING, Any, Awaitable, Callable, Dict, List, Optional, Type, TypeVar

from golem_tasks.yapapi._absent import ENGINE, absent
from golem_tasks.yapapi.events import ActivityEvent, CommandExecuted
from golem_tasks.yapapi.script import Script
from golem_tasks.yapapi.script.capture import CaptureContext, CaptureFormat, CaptureMode
from golem_tasks.yapapi.script.command import DOWNLOAD_BYTES_LIMIT_DEFAULT, Path

if TYPE_CHECKING:
    from golem_tasks import _native
    from golem_tasks.yapapi._work import Work as _Work

__all__ = [
    "ActivityState",
    "ActivityUsage",
    "CaptureContext",
    "CaptureFormat",
    "CaptureMode",
    "ExecOptions",
    "Work",
    "WorkContext",
    "WorkContextEmitter",
]

ActivityEventType = TypeVar("ActivityEventType", bound=ActivityEvent)

WorkContextEmitter = absent(__name__, "WorkContextEmitter", ENGINE)

#: What ``ctx.commit()`` returns.
Work = Script


@dataclass
class ExecOptions:
    """The options of a script, where a worker yields it together with these options."""

    wait_for_results: bool = True
    batch_timeout: Optional[timedelta] = None


@dataclass
class ActivityUsage:
    """The usage of an activity so far, by counter."""

    current_usage: Dict[str, float] = field(default_factory=dict)
    timestamp: Optional[datetime] = None


@dataclass
class ActivityState:
    """The state of an activity and the one that it goes to."""

    state: List[Optional[str]]
    reason: Optional[str] = None
    error_message: Optional[str] = None


class WorkContext:
    """A worker's view of its machine. There is one for each activity."""

    def __init__(self, native: "_native.Context", work: "_Work") -> None:
        self._native = native
        self._work = work
        self._worker: "Optional[asyncio.Task[Any]]" = asyncio.current_task()
        self._pending = Script(self)

    def __repr__(self) -> str:
        return f"WorkContext(id={self.id!r}, provider_name={self.provider_name!r})"

    @property
    def id(self) -> str:
        """The id of the activity."""
        return self._native.activity_id

    @property
    def provider_name(self) -> str:
        """The provider's name for itself."""
        return self._native.provider_name

    @property
    def provider_id(self) -> str:
        """The id of the provider."""
        return self._native.provider_id

    def new_script(self, timeout: Optional[timedelta] = None, wait_for_results: bool = True) -> Script:
        """Return an empty script.

        Without a ``timeout`` it may take as long as its job. With ``wait_for_results=False`` the worker goes on while the script runs; what
        ``yield`` gives is then awaited for the results.
        """
        return Script(self, timeout, wait_for_results)

    async def get_usage(self) -> ActivityUsage:
        """Return what the activity has used so far."""
        return ActivityUsage(await self._native.usage(), datetime.now(timezone.utc))

    async def get_raw_usage(self) -> ActivityUsage:
        """Return what :meth:`get_usage` does: usage by counter."""
        return await self.get_usage()

    async def get_raw_state(self) -> ActivityState:
        """Return the state of the activity."""
        return ActivityState([await self._native.state(), None])

    async def get_cost(self) -> Optional[float]:
        """Return the GLM that the activity costs so far, by the provider's own measure."""
        return float(await self._native.cost())

    def emit(self, event_class: Type[ActivityEventType], **kwargs: Any) -> ActivityEventType:
        """Tell the event consumers of an event of this activity. Its class may be one of yours, with fields that ``kwargs`` give."""
        return self._work.emit(event_class, self, **kwargs)

    # ---- the interface of 0.5: commands are queued here, and `commit` makes a script of them ----

    def begin(self) -> None:
        """Do nothing; it is there for programs of 0.5."""

    def deploy(self, **kwargs: Any) -> Awaitable[CommandExecuted]:
        """Queue the set-up of the machine."""
        return self._pending.deploy(**kwargs)

    def start(self, *args: str) -> Awaitable[CommandExecuted]:
        """Queue the start of the runtime."""
        return self._pending.start(*args)

    def terminate(self) -> Awaitable[CommandExecuted]:
        """Queue the end of the machine."""
        return self._pending.terminate()

    def send_json(self, json_path: str, data: Any) -> Awaitable[CommandExecuted]:
        """Queue the sending of a value as JSON into a file on the provider. The path comes first."""
        return self._pending.upload_json(data, json_path)

    def send_bytes(self, dst_path: str, data: bytes) -> Awaitable[CommandExecuted]:
        """Queue the sending of bytes into a file on the provider. The path comes first."""
        return self._pending.upload_bytes(data, dst_path)

    def send_file(self, src_path: Path, dst_path: str) -> Awaitable[CommandExecuted]:
        """Queue the sending of a file."""
        return self._pending.upload_file(src_path, dst_path)

    def run(self, cmd: str, *args: str, env: Optional[Dict[str, str]] = None, **kwargs: Any) -> Awaitable[CommandExecuted]:
        """Queue a program."""
        return self._pending.run(cmd, *args, env=env, **kwargs)

    def download_file(self, src_path: str, dst_path: Path) -> Awaitable[CommandExecuted]:
        """Queue the fetching of a file."""
        return self._pending.download_file(src_path, dst_path)

    def download_bytes(
        self,
        src_path: str,
        on_download: Callable[[bytes], Awaitable[Any]],
        limit: int = DOWNLOAD_BYTES_LIMIT_DEFAULT,
    ) -> Awaitable[CommandExecuted]:
        """Queue the fetching of a file into memory."""
        return self._pending.download_bytes(src_path, on_download, limit)

    def download_json(
        self,
        src_path: str,
        on_download: Callable[[Any], Awaitable[Any]],
        limit: int = DOWNLOAD_BYTES_LIMIT_DEFAULT,
    ) -> Awaitable[CommandExecuted]:
        """Queue the fetching of a JSON file."""
        return self._pending.download_json(src_path, on_download, limit)

    def commit(self, timeout: Optional[timedelta] = None) -> Script:
        """Return a script of all commands queued so far, for the worker to yield."""
        script, self._pending = self._pending, Script(self)
        script.timeout = timeout
        return script
