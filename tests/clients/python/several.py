"""Twelve tasks over three providers; each provider's usage and cost can be read while it works."""

import asyncio

from yapapi import Task
from common import JOB_TIMEOUT, SCRIPT_TIMEOUT, Seen, golem, image, run

TASKS = 12
WORKERS = 3
# yapapi hires one worker about every two seconds.
HIRED = 30

used = set()
costs = []
all_here = asyncio.Event()


async def worker(context, tasks):
    async for task in tasks:
        used.add(context.provider_id)
        if len(used) == WORKERS:
            all_here.set()
        script = context.new_script(timeout=SCRIPT_TIMEOUT)
        output = script.run("/bin/sh", "-c", f"echo {task.data} squared is $(({task.data} * {task.data}))")
        yield script
        # The first worker would do all the work before the second one is hired.
        await asyncio.wait_for(all_here.wait(), HIRED)
        task.accept_result((await output).stdout)
    state = await context.get_raw_state()
    assert state.state[0] == "Ready", state
    usage = await context.get_usage()
    assert usage.timestamp is not None and all(used >= 0 for used in usage.current_usage.values()), usage
    costs.append(await context.get_cost())


async def case():
    seen = Seen()
    results = {}
    async with golem(seen) as network:
        data = [Task(data=number) for number in range(TASKS)]
        payload = await image()
        async for task in network.execute_tasks(
            worker, data, payload=payload, max_workers=WORKERS, timeout=JOB_TIMEOUT
        ):
            assert task.data not in results, f"{task.data} came twice"
            results[task.data] = task.result
    assert results == {number: f"{number} squared is {number * number}\n" for number in range(TASKS)}, results
    assert len(used) == WORKERS, f"{len(used)} providers worked: {used}"
    assert len(costs) == WORKERS and all(cost is not None and cost >= 0 for cost in costs), costs
    seen.check_all_paid()


run(case)
