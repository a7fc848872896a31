"""A program for yapapi 0.13: one command on one provider."""

import asyncio

from yapapi import Golem, Task, WorkContext
from yapapi.log import enable_default_logger
from yapapi.payload import vm


async def worker(context: WorkContext, tasks):
    async for task in tasks:
        script = context.new_script()
        answer = script.run("/bin/sh", "-c", "echo Hello from $((6 * 7))")
        yield script
        task.accept_result(result=await answer)


async def main():
    package = await vm.repo(image_hash="d646d7b93083d817846c2ae5c62c72ca0507782385a2e29291a3d376")
    async with Golem(budget=1.0, subnet_tag="public") as golem:
        async for done in golem.execute_tasks(worker, [Task(data=None)], payload=package):
            print(done.result.stdout)


if __name__ == "__main__":
    enable_default_logger()
    loop = asyncio.get_event_loop()
    loop.run_until_complete(loop.create_task(main()))
