"""A command that fails: the requestor learns of it, with what it printed, and everything else is completed."""

from yapapi import Task, events
from yapapi.rest.activity import CommandExecutionError
from common import JOB_TIMEOUT, SCRIPT_TIMEOUT, Seen, golem, image, run

TASKS = 6
BAD = 2

errors = []


async def worker(context, tasks):
    async for task in tasks:
        script = context.new_script(timeout=SCRIPT_TIMEOUT)
        script.run("/bin/sh", "-c", "echo first")
        broken = task.data == BAD and not errors
        output = script.run("/bin/sh", "-c", "echo no luck >&2; exit 7" if broken else f"echo done {task.data}")
        script.run("/bin/true")
        try:
            yield script
        except CommandExecutionError as error:
            errors.append(error)
            raise
        task.accept_result((await output).stdout)


async def case():
    seen = Seen(failures_expected=1)
    async with golem(seen) as network:
        tasks = [Task(data=number) for number in range(TASKS)]
        done = network.execute_tasks(worker, tasks, payload=await image(), max_workers=2, timeout=JOB_TIMEOUT)
        results = {task.data: task.result async for task in done}
    # yapapi gives the task to another provider after a failure, and there it succeeds.
    assert results == {number: f"done {number}\n" for number in range(TASKS)}, results
    assert len(errors) == 1, errors
    [error] = errors
    assert "exited with code 7" in error.message, error.message
    assert error.stderr == "no luck\n", error.stderr
    failed = [event for event in seen.of(events.CommandExecuted) if not event.success]
    assert len(failed) == 1, failed
    assert len(seen.agreements) >= 2, "the failed worker's agreement was used again"
    seen.check_all_paid()


run(case)
