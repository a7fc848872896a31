"""yapapi's first steps: one task, its output, paid. The image is looked up by its tag."""

from yapapi import Task
from common import JOB_TIMEOUT, SCRIPT_TIMEOUT, Seen, golem, image_by_tag, run


async def worker(context, tasks):
    async for task in tasks:
        script = context.new_script(timeout=SCRIPT_TIMEOUT)
        date = script.run("/bin/sh", "-c", "echo hello $((6 * 7)); echo to stderr >&2")
        yield script
        result = await date
        assert context.provider_name, "the provider has no name"
        task.accept_result((result.stdout, result.stderr))


async def case():
    seen = Seen()
    async with golem(seen) as network:
        done = network.execute_tasks(worker, [Task(data=None)], payload=await image_by_tag(), timeout=JOB_TIMEOUT)
        results = [task.result async for task in done]
    assert results == [("hello 42\n", "to stderr\n")], results
    seen.check_all_paid()


run(case)
