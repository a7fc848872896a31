"""The names of golem-tasks-python and of the part of golem_core that its modules use: which are there, and what the table in the docs says.

Without pytest this file writes the table: ``python python/tests/test_runner_names.py``.
"""

import importlib
from pathlib import Path

import pytest

PAGE = Path(__file__).resolve().parents[2] / "docs" / "python-modules.md"
BEGIN, END = "<!-- names: begin -->\n", "<!-- names: end -->\n"

WORKS, DIFFERS, ABSENT = "works", "differs", "absent"

# The names as programs write them, below golem_core if nothing else is said.
NAMES = [
    ("Payload.from_image_hash", WORKS, "also `from_image_tag`; what it must have is checked at once"),
    ("Payload.from_image_url", DIFFERS, "needs the image's hash too: `from_image_url(url, image_hash)`"),
    ("commands.Run", WORKS, "a text goes to `/bin/sh -c`, a list is a program with its arguments"),
    ("commands.SendFile, commands.DownloadFile", WORKS, "without the program `gftp`"),
    ("commands.Deploy, commands.Start", DIFFERS, "do nothing: the activity that a task gets is deployed and started"),
    ("commands.Script", WORKS, "with a future for each command"),
    ("commands.Command", DIFFERS, "can't be derived from for commands of your own"),
    ("low.Activity.execute_commands, low.Activity.execute_script", WORKS, "several batches at once are executed one after the other"),
    ("low.Activity.id, low.Activity.idle, low.Activity.get_state", WORKS, ""),
    ("low.Activity.parent, low.Activity.agreement", DIFFERS, "have `id` and `parent.data.issuer_id`, the provider; new: `provider_id`, `provider_name`"),
    ("low.Activity.destroyed", DIFFERS, "true once the task is over; each task gets an `Activity` of its own"),
    ("low.Activity.destroy", ABSENT, "raise an exception: the task is tried elsewhere"),
    ("low.Activity.node", ABSENT, "the engine has the connection to the daemon"),
    ("low.PoolingBatch.wait", WORKS, "a time-out ends the attempt and the rental, unless you catch it and wait on"),
    ("low.PoolingBatch.done, low.PoolingBatch.success", WORKS, ""),
    ("low.PoolingBatch.events", DIFFERS, "are there when the batch is done; `stdout` of a command that printed nothing is an empty text"),
    (
        "low.exceptions.BatchError, low.exceptions.BatchTimeoutError, low.exceptions.CommandFailed, low.exceptions.CommandCancelled",
        WORKS,
        "`__cause__` is the engine's own error",
    ),
    ("GolemNode", ABSENT, "`golem_tasks.Golem`, or a module with `PAYLOAD` and `get_tasks`"),
    ("low.Network", ABSENT, "later"),
    (
        "low.Allocation, low.Demand, low.Proposal, low.Agreement, low.DebitNote, low.Invoice",
        ABSENT,
        "the engine has them; `golem-tasks show` and [the database](database.md)",
    ),
    ("mid.Chain, mid.Map, mid.Buffer, mid.SimpleScorer", ABSENT, "the engine chooses providers; `--max-price-per-hour`, `--provider`"),
    ("events.NewResource, events.ResourceClosed, events.BatchFinished", ABSENT, "`-v`, `--json`, or the database"),
    ("default_logger.DefaultLogger", ABSENT, "`-v`, `--log-file`"),
    ("golem_tasks.run.Runner", WORKS, "also `golem_tasks.Runner`"),
]


def table():
    rows = ["| name | | |\n", "|---|---|---|\n"]
    for names, state, note in NAMES:
        shown = ", ".join(f"`{name}`" for name in names.split(", "))
        rows.append(f"| {shown} | {state} | {note} |\n")
    return "".join(rows)


def found(name):
    """What a name stands for."""
    path = name if name.startswith("golem_tasks.") else f"golem_tasks.golem_core.{name}"
    parts = path.split(".")
    for length in range(len(parts), 0, -1):
        try:
            there = importlib.import_module(".".join(parts[:length]))
        except ModuleNotFoundError:
            continue
        for part in parts[length:]:
            there = getattr(there, part)
        return there
    raise AssertionError(f"nothing of {path} is there")


EACH = [(name, state) for names, state, _ in NAMES for name in names.split(", ")]


@pytest.mark.parametrize(("name", "state"), EACH, ids=[name for name, _ in EACH])
def test_each_name_is_there_and_an_absent_one_says_what_to_use_instead(name, state):
    if name == "low.Activity.node":
        from golem_tasks.golem_core.low import Activity

        with pytest.raises(NotImplementedError, match="low.Activity.node isn't part of golem_tasks: .+"):
            Activity.__new__(Activity).node  # noqa: B018
    elif name == "low.Activity.destroy":
        with pytest.raises(NotImplementedError, match="low.Activity.destroy isn't part of golem_tasks: .+"):
            found(name)(None).send(None)
    elif state == ABSENT:
        with pytest.raises(NotImplementedError, match=f"{name.split('.')[-1]} isn't part of golem_tasks: .+"):
            found(name)()
    else:
        assert found(name) is not None


def test_the_table_in_the_docs_is_this_one():
    text = PAGE.read_text(encoding="utf-8")
    assert text[text.index(BEGIN) + len(BEGIN) : text.index(END)] == table(), "python python/tests/test_runner_names.py writes it"


def test_the_module_run_is_the_function_run_too():
    import golem_tasks
    import golem_tasks.run

    with pytest.raises(TypeError):
        golem_tasks.run(3)


if __name__ == "__main__":
    text = PAGE.read_text(encoding="utf-8")
    before, rest = text.split(BEGIN)
    PAGE.write_text(before + BEGIN + table() + END + rest.split(END)[1], encoding="utf-8")
