"""The commands of a batch: what an activity does for a task."""

import asyncio
import shlex
from collections.abc import Mapping, Sequence
from os import PathLike, fspath
from typing import TYPE_CHECKING, Any, Optional, Union

if TYPE_CHECKING:
    from .._native import Command as Wire
    from .low import CommandResult

__all__ = ["Command", "Deploy", "DownloadFile", "Run", "Script", "SendFile", "Start"]

Path = Union[str, "PathLike[str]"]


class Command:
    """The base of all commands. It can't be derived from for commands of your own: the engine knows those below."""

    def _wire(self) -> "Optional[Wire]":
        """The command in the engine's terms; ``None`` where there is nothing to do."""
        raise NotImplementedError(f"{type(self).__name__} isn't a command that the engine knows. Use Run, SendFile or DownloadFile.")


class Deploy(Command):
    """Prepares the activity. The engine has done that before a task gets it, so there is nothing left to do."""

    def __init__(self, args_dict: Optional[Mapping[str, Any]] = None) -> None:
        if args_dict:
            raise NotImplementedError(
                "Deploy takes no arguments here, because the activity is deployed before the task gets it. Networks between providers "
                "aren't supported yet."
            )

    def _wire(self) -> "Optional[Wire]":
        return None


class Start(Command):
    """Starts the activity. The engine has done that before a task gets it, so there is nothing left to do."""

    def _wire(self) -> "Optional[Wire]":
        return None


class Run(Command):
    """Runs a program in the machine.

    A text is run by ``/bin/sh -c``; a list is a program and its arguments. ``shell`` decides otherwise, ``shell_cmd`` names another shell.

    Raises :class:`ValueError` where the program's path contains whitespace or is empty.
    """

    def __init__(self, command: Union[str, Sequence[str]], *, shell: Optional[bool] = None, shell_cmd: str = "/bin/sh") -> None:
        if isinstance(command, (bytes, bytearray)) or not isinstance(command, Sequence):
            raise TypeError(f"Run takes a text or a list of texts, not {command!r}.")
        if shell is None:
            shell = isinstance(command, str)
        if shell:
            text = command if isinstance(command, str) else shlex.join(command)
            words = [shell_cmd, "-c", text]
        else:
            words = shlex.split(command) if isinstance(command, str) else list(command)
        for word in words:
            if not isinstance(word, str):
                raise TypeError(f"Run takes texts, and {word!r} isn't one. Use str(..) for numbers and paths.")
        if not words or not words[0] or len(words[0].split()) > 1:
            raise ValueError(f"Run needs the path of a program without whitespace, not {words[0] if words else ''!r}.")
        self.entry_point: str = words[0]
        self.args: list[str] = words[1:]

    def _wire(self) -> "Optional[Wire]":
        return ("run", self.entry_point, self.args)

    def __repr__(self) -> str:
        return f"Run({[self.entry_point, *self.args]!r})"


class SendFile(Command):
    """Sends a file of this machine to the activity. ``dst_path`` should be in one of the image's volumes."""

    def __init__(self, src_path: Path, dst_path: str) -> None:
        self.src_path = fspath(src_path)
        self.dst_path = fspath(dst_path)

    def _wire(self) -> "Optional[Wire]":
        return ("send_file", self.src_path, self.dst_path)

    def __repr__(self) -> str:
        return f"SendFile({self.src_path!r}, {self.dst_path!r})"


class DownloadFile(Command):
    """Fetches a file of the activity to this machine. Folders on the way to ``dst_path`` are made."""

    def __init__(self, src_path: str, dst_path: Path) -> None:
        self.src_path = fspath(src_path)
        self.dst_path = fspath(dst_path)

    def _wire(self) -> "Optional[Wire]":
        return ("download_file", self.src_path, self.dst_path)

    def __repr__(self) -> str:
        return f"DownloadFile({self.src_path!r}, {self.dst_path!r})"


class Script:
    """Commands that are executed as one batch by :meth:`Activity.execute_script`, each with an awaitable for its own result."""

    def __init__(self) -> None:
        self._commands: list[Command] = []
        self._futures: list[asyncio.Future[CommandResult]] = []

    @property
    def commands(self) -> list[Command]:
        return list(self._commands)

    @property
    def futures(self) -> "list[asyncio.Future[CommandResult]]":
        return list(self._futures)

    def add_command(self, command: Command) -> "asyncio.Future[CommandResult]":
        """Adds a command. The future gives its result, or raises ``CommandFailed``, or ``CommandCancelled`` where an earlier one failed."""
        future: asyncio.Future[CommandResult] = asyncio.get_running_loop().create_future()
        self._commands.append(command)
        self._futures.append(future)
        return future
