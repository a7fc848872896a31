"""Multiplies one number after another by 7 on rented machines, until Ctrl+C, and prints each product as it arrives.

    python -m golem_tasks run python/examples/hello_world.py --devnet --workers 3
    python -m golem_tasks run python/examples/hello_world.py --devnet --results 20      # twenty of them

It is a module for golem-tasks-python, which runs unchanged: the command puts golem_tasks.golem_core in the place of `golem_core`.
"""

from itertools import count

from golem_core import Payload, commands

# The machine: a small Linux.
PAYLOAD = Payload.from_image_hash("9a3b5d67b0b27746283cb5f287c13eab1beaa12d92a9f536b747c7ae")

products = {}


def get_tasks(run_id):
    """Yields async functions, each of which does one task on the activity that it gets. The run would end with the last one."""
    for number in count():
        yield multiplied(number)


async def results_cnt(run_id):
    """Says how many results there are. It may be left out."""
    return len(products)


def multiplied(number):
    async def multiply(activity):
        batch = await activity.execute_commands(
            commands.Run("sleep 0.1"),
            commands.Run(f"echo $(({number} * 7))"),
        )
        await batch.wait(30)

        products[number] = int(batch.events[-1].stdout)
        print(f"{number} -> {products[number]}")

    return multiply
