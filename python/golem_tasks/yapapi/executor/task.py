"""Tasks: units of work with their data and their result."""

from __future__ import annotations

from golem_tasks.yapapi._absent import ENGINE, absent
from golem_tasks.yapapi._task import Task, TaskData, TaskResult, TaskStatus

__all__ = ["Task", "TaskData", "TaskEmitter", "TaskResult", "TaskStatus"]

TaskEmitter = absent(__name__, "TaskEmitter", ENGINE)
