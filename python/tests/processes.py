"""Programs as processes: begun in a folder, ended, and what they told."""

import json
import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

import golem_tasks

HERE = Path(__file__).resolve().parent
IMAGE = "9a3b5d67b0b27746283cb5f287c13eab1beaa12d92a9f536b747c7ae"
PATIENCE = 60

HEAD = f"""
    import asyncio, os, sys
    from golem_core import Payload, commands
    from golem_core.low import Activity
    from golem_core.low.exceptions import BatchError, BatchTimeoutError
    PAYLOAD = Payload.from_image_hash("{IMAGE}")

    def note(text):
        with open("notes", "a") as notes:
            notes.write(str(text) + "\\n")
"""

def environment(folder, **more):
    # Of the package that this process has, wherever that is.
    paths = [str(Path(golem_tasks.__file__).parents[1]), *filter(None, [os.environ.get("PYTHONPATH")])]
    return {**os.environ, "PYTHONPATH": os.pathsep.join(paths), "GOLEM_TASKS_DSN": f"sqlite:{folder}/runs.db", **more}


def begun(folder, arguments, **more):
    """Begins the program in a folder."""
    return subprocess.Popen(
        [sys.executable, "-m", "golem_tasks", *arguments],
        cwd=folder,
        env=environment(folder, **more),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def ended(process, patience=PATIENCE):
    """Waits for a program: its exit code, its output, and what it logged."""
    try:
        out, err = process.communicate(timeout=patience)
    except subprocess.TimeoutExpired:
        process.kill()
        out, err = process.communicate()
        pytest.fail(f"it doesn't end:\n{out}\n{err}")
    return process.returncode, out, err


def told(folder, *arguments, **more):
    """What a command writes, which must succeed."""
    code, out, err = ended(begun(folder, arguments, **more))
    assert code == 0, err
    return out


def results(folder, run):
    return [json.loads(line) for line in told(folder, "results", run, "--all").splitlines()]


def lines(path):
    return path.read_text().splitlines() if path.exists() else []


def until(condition, what, patience=PATIENCE):
    end = time.monotonic() + patience
    while time.monotonic() < end:
        found = condition()
        if found:
            return found
        time.sleep(0.02)
    return pytest.fail(f"not within {patience} s: {what}")
