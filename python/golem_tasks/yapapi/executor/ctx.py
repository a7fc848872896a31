"""The work context, under the name that yapapi 0.5 has for it."""

from __future__ import annotations

from golem_tasks.yapapi.ctx import CaptureContext, CaptureFormat, CaptureMode, ExecOptions, Work, WorkContext

__all__ = ["CaptureContext", "CaptureFormat", "CaptureMode", "ExecOptions", "Work", "WorkContext"]
