"""A program for yapapi 0.13: it renders frames of a Blender scene, and tells the usage and cost of each machine.

In a clone, on an emulated network whose machines have a stand-in for Blender:

    cd python
    python -m golem_tasks.yapapi --devnet --devnet-image ../examples/blender/stand-in/image \\
        examples/yapapi_blender.py ../examples/blender/stand-in/scene.blend
"""

import asyncio
import sys
from datetime import timedelta

from yapapi import Golem, Task, WorkContext
from yapapi.log import enable_default_logger
from yapapi.payload import vm
from yapapi.rest.activity import BatchTimeoutError

SCENE = sys.argv[1]


def parameters(frame):
    return {
        "scene_file": "/golem/resource/scene.blend",
        "resolution": (400, 300),
        "use_compositing": False,
        "crops": [{"outfilebasename": "out", "borders_x": [0.0, 1.0], "borders_y": [0.0, 1.0]}],
        "samples": 100,
        "frames": [frame],
        "output_format": "PNG",
        "RESOURCES_DIR": "/golem/resources",
        "WORK_DIR": "/golem/work",
        "OUTPUT_DIR": "/golem/output",
    }


async def worker(ctx: WorkContext, tasks):
    script = ctx.new_script(timeout=timedelta(minutes=10))
    script.upload_file(SCENE, "/golem/resource/scene.blend")
    async for task in tasks:
        script.upload_json(parameters(task.data), "/golem/work/params.json")
        script.run("/golem/entrypoints/run-blender.sh")
        picture = f"output_{task.data}.png"
        script.download_file(f"/golem/output/out{task.data:04d}.png", picture)
        try:
            yield script
            task.accept_result(result=picture)
        except BatchTimeoutError:
            print(f"{task} timed out on {ctx.provider_name}, time: {task.running_time}")
            raise
        script = ctx.new_script(timeout=timedelta(minutes=1))
        state, usage, cost = await ctx.get_raw_state(), await ctx.get_usage(), await ctx.get_cost()
        print(f"{ctx.provider_name}: {state.state[0]}, {sorted(usage.current_usage)}, cost {cost > 0}", file=sys.stderr)


async def main():
    package = await vm.repo(
        image_hash="9a3b5d67b0b27746283cb5f287c13eab1beaa12d92a9f536b747c7ae",
        min_mem_gib=0.5,
        min_storage_gib=2.0,
        min_cpu_threads=1,
    )
    async with Golem(budget=10.0, payment_driver="erc20", payment_network="holesky") as golem:
        tasks = [Task(data=frame) for frame in range(0, 60, 10)]
        completed = golem.execute_tasks(worker, tasks, payload=package, max_workers=3, timeout=timedelta(minutes=15))
        async for task in completed:
            print(f"Task computed: {task}, result: {task.result}, time: {task.running_time}")


if __name__ == "__main__":
    enable_default_logger(log_file="render.log")
    asyncio.run(main())
