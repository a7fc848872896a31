"""The programs of the guide and of the README run as they stand there."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

import golem_tasks

ROOT = Path(__file__).resolve().parent.parent.parent
GUIDE = (ROOT / "docs" / "python.md").read_text()
BEFORE = "import asyncio, sys\nimport golem_tasks as gt\n"


def blocks(text):
    return re.findall(r"```python\n(.*?)```", text, re.DOTALL)


def printed(folder, program, *words):
    path = folder / "program.py"
    path.write_text(program)
    ended = subprocess.run([sys.executable, str(path), *words], cwd=folder, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, timeout=60)
    assert ended.returncode == 0, ended.stderr
    return ended.stdout


@pytest.mark.parametrize("text", [GUIDE, (ROOT / "README.md").read_text()], ids=["guide", "README"])
def test_the_first_program(tmp_path, text):
    lines = printed(tmp_path, blocks(text)[0]).splitlines()
    assert sorted(tuple(map(int, line.split()[:2])) for line in lines) == [(n, n * n) for n in range(8)]


def test_the_program_in_an_event_loop(tmp_path):
    square, main = blocks(GUIDE)[:2]
    square = square[: square.index("for done in")]
    lines = printed(tmp_path, BEFORE + square + main).splitlines()
    assert lines[60] == "[1, 4, 9]" and lines[61].startswith("63 done, 0 failed, 0.00")


def test_the_job(tmp_path):
    job = next(block for block in blocks(GUIDE) if "gt.Job" in block).replace("range(1000)", "range(5)")
    dsn = ["--dsn", f"sqlite:{tmp_path}/runs.db"]
    out = printed(tmp_path, BEFORE + job, "run", "--devnet", "--run-id", "night", *dsn)
    assert sorted(line.split("\t")[-1] for line in out.splitlines()) == ["0", "1", "16", "4", "9"]
    printed(tmp_path, BEFORE + job, "results", "night", "-o", "out.csv", *dsn)
    assert (tmp_path / "out.csv").exists()
    assert "--run-id" in printed(tmp_path, BEFORE + job, "run", "--help")


def test_every_name_has_a_docstring():
    for name in golem_tasks.__all__:
        value = getattr(golem_tasks, name)
        assert name == "__version__" or (value.__doc__ or "").strip(), name
