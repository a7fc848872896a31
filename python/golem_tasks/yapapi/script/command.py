"""The commands of a script."""

from __future__ import annotations

import abc
import json
import os
from typing import Any, Awaitable, Callable, Dict, Optional, Tuple, Type, Union

from golem_tasks.yapapi._absent import STORAGE, absent
from golem_tasks.yapapi.script.capture import CaptureContext, CaptureFormat

__all__ = [
    "Command",
    "Deploy",
    "DownloadBytes",
    "DownloadFile",
    "DownloadFileFromInternet",
    "DownloadJson",
    "InternetSource",
    "ProgressArgs",
    "Run",
    "SendBytes",
    "SendFile",
    "SendJson",
    "Start",
    "Terminate",
]

#: The most bytes that a download into memory may have, unless it says otherwise: 1 MiB.
DOWNLOAD_BYTES_LIMIT_DEFAULT = 1024 * 1024

#: A file of this machine.
Path = Union[str, "os.PathLike[str]"]


InternetSource = absent(__name__, "InternetSource", STORAGE)


class ProgressArgs:
    """The interval of progress events. With ``stream_output`` the engine asks for it by itself."""

    def __init__(self, updateInterval: Optional[str] = None, updateStep: Optional[int] = None) -> None:
        self.updateInterval = updateInterval
        self.updateStep = updateStep

    def to_dict(self) -> Dict[str, Any]:
        """Return what was said."""
        return {name: value for name, value in vars(self).items() if value is not None}


class Command(abc.ABC):
    """A command of a script. Commands of your own implement :meth:`evaluate`, and if need be :meth:`before` and :meth:`after`."""

    #: The script that the command belongs to.
    _script: Any = None

    @abc.abstractmethod
    def evaluate(self) -> Dict[str, Dict[str, Any]]:
        """Return the command as the daemon's API has it, such as ``{"run": {"entry_point": "/bin/ls", "args": []}}``."""

    async def before(self) -> None:
        """Prepare the command; called just before its script is sent."""

    async def after(self) -> None:
        """Finish the command; called when all of its script has succeeded."""

    def emit(self, event_class: Type[Any], **kwargs: Any) -> Any:
        """Tell the event consumers of an event of this command. **Raises** :class:`RuntimeError` before it belongs to a script."""
        if self._script is None:
            raise RuntimeError("The command belongs to no script yet. Add it to one first: `script.add(command)`.")
        return self._script.emit(event_class, command=self, **kwargs)

    def words(self) -> str:
        """Return the command in words: its kind."""
        return next(iter(self.evaluate()), type(self).__name__)

    def _native(self) -> Tuple[Any, ...]:
        """Return the command as the engine takes it."""
        return _from_api(self.evaluate())

    async def _finish(self, content: Optional[bytes]) -> None:
        """Take what the command brought, then call :meth:`after`."""
        await self.after()


def _from_api(command: Dict[str, Dict[str, Any]]) -> Tuple[Any, ...]:
    if len(command) != 1:
        raise ValueError(f"`Command.evaluate` returns a dict with one key, the kind of the command, and not {command!r}.")
    ((kind, rest),) = command.items()
    if kind == "run":
        return ("run", rest["entry_point"], [str(arg) for arg in rest.get("args", [])])
    if kind == "deploy":
        return ("deploy", dict(rest))
    if kind == "start":
        return ("start", [str(arg) for arg in rest.get("args", [])])
    if kind == "terminate":
        return ("terminate",)
    if kind == "transfer" and str(rest.get("to", "")).startswith("container:"):
        source = str(rest.get("from", ""))
        if source.startswith(("http://", "https://")):
            return ("fetch", source, str(rest["to"])[len("container:") :])
    raise ValueError(f"A command of your own can't be {command!r}. Use `run`, `deploy`, `start`, `terminate` or a transfer from http(s).")


class Deploy(Command):
    """Sets the machine up. Options are those of the daemon's API, such as ``net``, ``volumes``, ``env``."""

    def __init__(self, progress_args: Optional[ProgressArgs] = None, **kwargs: Any) -> None:
        self.kwargs = kwargs

    def evaluate(self) -> Dict[str, Dict[str, Any]]:
        return {"deploy": self.kwargs}


class Start(Command):
    """Starts the runtime."""

    def __init__(self, *args: str) -> None:
        self.args = args

    def evaluate(self) -> Dict[str, Dict[str, Any]]:
        return {"start": {"args": list(self.args)}}


class Terminate(Command):
    """Ends the machine."""

    def evaluate(self) -> Dict[str, Dict[str, Any]]:
        return {"terminate": {}}


class Run(Command):
    """Runs a program. ``env`` reaches it."""

    def __init__(
        self,
        cmd: str,
        *args: str,
        env: Optional[Dict[str, str]] = None,
        stderr: Optional[CaptureContext] = None,
        stdout: Optional[CaptureContext] = None,
    ) -> None:
        self.cmd = cmd
        self.args = args
        self.env = env
        self.stderr = stderr
        self.stdout = stdout

    def evaluate(self) -> Dict[str, Dict[str, Any]]:
        return {"run": {"entry_point": self.cmd, "args": [str(arg) for arg in self.args]}}

    def words(self) -> str:
        return " ".join(["run", self.cmd, *(str(arg) for arg in self.args)])

    def _native(self) -> Tuple[Any, ...]:
        options: Dict[str, Any] = {}
        if self.env:
            options["env"] = {str(name): str(value) for name, value in self.env.items()}
        for name, capture in (("stdout", self.stdout), ("stderr", self.stderr)):
            if capture is not None:
                options[name] = capture._native()
                if capture.fmt is CaptureFormat.BIN:
                    options["binary"] = True
        program = ("run", str(self.cmd), [str(arg) for arg in self.args])
        return (*program, options) if options else program


class _Transfer(Command):
    def __init__(self, src: Any, dst: Any) -> None:
        self._src = src
        self._dst = dst

    def evaluate(self) -> Dict[str, Dict[str, Any]]:
        return {"transfer": {"from": str(self._src), "to": str(self._dst)}}

    def words(self) -> str:
        return f"transfer {self._src} to {self._dst}"


class SendBytes(_Transfer):
    """Sends bytes into a file on the provider."""

    def __init__(self, data: bytes, dst_path: str, progress_args: Optional[ProgressArgs] = None) -> None:
        super().__init__("bytes", f"container:{dst_path}")
        self.data = data
        self.dst_path = dst_path

    def _native(self) -> Tuple[Any, ...]:
        return ("send_bytes", bytes(self.data), str(self.dst_path))


class SendJson(SendBytes):
    """Sends a value as JSON into a file on the provider."""

    def __init__(self, data: Any, dst_path: str, progress_args: Optional[ProgressArgs] = None) -> None:
        super().__init__(json.dumps(data, separators=(",", ":")).encode(), dst_path, progress_args)


class SendFile(_Transfer):
    """Sends a file to the provider."""

    def __init__(self, src_path: Path, dst_path: str, progress_args: Optional[ProgressArgs] = None) -> None:
        super().__init__(os.fspath(src_path), f"container:{dst_path}")
        self.src_path = src_path
        self.dst_path = dst_path

    def _native(self) -> Tuple[Any, ...]:
        return ("send_file", os.fspath(self.src_path), str(self.dst_path))


class DownloadFile(_Transfer):
    """Fetches a file from the provider. It appears whole or not at all."""

    def __init__(self, src_path: str, dst_path: Path, progress_args: Optional[ProgressArgs] = None) -> None:
        super().__init__(f"container:{src_path}", os.fspath(dst_path))
        self.src_path = src_path
        self.dst_path = dst_path

    def _native(self) -> Tuple[Any, ...]:
        return ("download_file", str(self.src_path), os.fspath(self.dst_path))


class DownloadBytes(_Transfer):
    """Fetches a file from the provider into memory and calls ``on_download`` with it. More than ``limit`` bytes are an error."""

    def __init__(
        self,
        src_path: str,
        on_download: Callable[[bytes], Awaitable[Any]],
        limit: int = DOWNLOAD_BYTES_LIMIT_DEFAULT,
        progress_args: Optional[ProgressArgs] = None,
    ) -> None:
        super().__init__(f"container:{src_path}", "bytes")
        self.src_path = src_path
        self.on_download = on_download
        self.limit = limit

    def _native(self) -> Tuple[Any, ...]:
        return ("download_bytes", str(self.src_path), self.limit)

    async def _finish(self, content: Optional[bytes]) -> None:
        await self._call(content or b"")
        await self.after()

    async def _call(self, value: Any) -> None:
        answer: Any = self.on_download(value)
        if hasattr(answer, "__await__"):
            await answer


class DownloadJson(DownloadBytes):
    """Fetches JSON from the provider and calls ``on_download`` with its value."""

    async def _finish(self, content: Optional[bytes]) -> None:
        try:
            value = json.loads(content or b"")
        except ValueError as error:
            raise ValueError(f"The file `{self.src_path}` of the provider isn't JSON: {error}.") from error
        await self._call(value)
        await self.after()


class DownloadFileFromInternet(_Transfer):
    """Tells the provider to fetch a file from the internet."""

    def __init__(self, src_url: str, dst_path: str, progress_args: Optional[ProgressArgs] = None) -> None:
        super().__init__(src_url, f"container:{dst_path}")
        self.src_url = src_url
        self.dst_path = dst_path

    def _native(self) -> Tuple[Any, ...]:
        return ("fetch", str(self.src_url), str(self.dst_path))
