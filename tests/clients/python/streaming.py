"""`stream_output=True`: what a command prints reaches the requestor while the command runs, in order."""

import time

from yapapi import Task, events
from common import JOB_TIMEOUT, SCRIPT_TIMEOUT, Seen, golem, image, run

LINES = 5
PAUSE = 0.3

heard = []


def listen(event):
    if isinstance(event, (events.CommandStdOut, events.CommandStdErr)):
        heard.append((time.monotonic(), type(event).__name__, event.output))


async def worker(context, tasks):
    async for task in tasks:
        script = context.new_script(timeout=SCRIPT_TIMEOUT)
        loop = f"for i in $(seq {LINES}); do sleep {PAUSE}; echo line $i; done; echo the end >&2"
        ended = script.run("/bin/sh", "-c", loop)
        yield script
        assert (await ended).success
        task.accept_result()


async def case():
    seen = Seen()
    async with golem(seen, stream_output=True) as network:
        network.add_event_consumer(listen)
        done = network.execute_tasks(worker, [Task(data=None)], payload=await image(), timeout=JOB_TIMEOUT)
        assert len([task async for task in done]) == 1
    output = "".join(text for _, kind, text in heard if kind == "CommandStdOut")
    assert output == "".join(f"line {i}\n" for i in range(1, LINES + 1)), output
    assert "".join(text for _, kind, text in heard if kind == "CommandStdErr") == "the end\n", heard
    # It came as it was printed, not all at once when the command was over.
    assert heard[-1][0] - heard[0][0] > PAUSE * (LINES - 2), heard
    started = seen.of(events.CommandStarted)
    assert len(started) == 3, f"deploy, start and run begin: {started}"
    seen.check_all_paid()


run(case)
