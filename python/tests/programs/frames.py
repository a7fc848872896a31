"""A program for yapapi 0.5, with all that its README shows: it renders frames of a scene, and ends well on Ctrl+C."""

import asyncio
import pathlib
import sys
from datetime import datetime, timedelta

from yapapi import Executor, NoPaymentAccountError, Task, WorkContext, windows_event_loop_fix
from yapapi import __version__ as yapapi_version
from yapapi.log import enable_default_logger, log_event_repr, log_summary  # noqa: F401
from yapapi.package import vm
from yapapi.rest.activity import BatchTimeoutError

HERE = pathlib.Path(__file__).resolve().parent
PAUSE = sys.argv[1] if len(sys.argv) > 1 else "0"


async def main(subnet_tag, driver=None, network=None):
    package = await vm.repo(
        image_hash="9a3b5d67b0b27746283cb5f287c13eab1beaa12d92a9f536b747c7ae",
        min_mem_gib=0.5,
        min_storage_gib=2.0,
    )

    async def worker(ctx: WorkContext, tasks):
        ctx.send_file(str(HERE / "cubes.blend"), "/golem/resource/scene.blend")
        async for task in tasks:
            frame = task.data
            ctx.send_json(
                "/golem/work/params.json",
                {
                    "scene_file": "/golem/resource/scene.blend",
                    "resolution": (400, 300),
                    "crops": [{"outfilebasename": "out", "borders_x": [0.0, 1.0], "borders_y": [0.0, 1.0]}],
                    "frames": [frame],
                    "output_format": "PNG",
                    "OUTPUT_DIR": "/golem/output",
                },
            )
            ctx.run("/bin/sleep", PAUSE)
            ctx.run("/golem/entrypoints/run-blender.sh")
            picture = f"output_{frame}.png"
            ctx.download_file(f"/golem/output/out{frame:04d}.png", picture)
            try:
                yield ctx.commit(timeout=timedelta(seconds=120))
                task.accept_result(result=picture)
            except BatchTimeoutError:
                print(f"Task {task} timed out on {ctx.provider_name}, time: {task.running_time}")
                raise

    async with Executor(
        package=package,
        max_workers=3,
        budget=10.0,
        timeout=timedelta(minutes=15),
        subnet_tag=subnet_tag,
        driver=driver,
        network=network,
        event_consumer=log_summary(),
    ) as executor:
        sys.stderr.write(f"yapapi {yapapi_version}, {subnet_tag}, {executor.driver}, {executor.network}\n")
        begin, computed = datetime.now(), 0
        async for task in executor.submit(worker, [Task(data=frame) for frame in range(0, 60, 10)]):
            computed += 1
            print(f"Task computed: {task}, result: {task.result}, time: {task.running_time}", flush=True)
        print(f"{computed} tasks computed, total time: {datetime.now() - begin}")


if __name__ == "__main__":
    windows_event_loop_fix()
    enable_default_logger()
    loop = asyncio.get_event_loop()
    task = loop.create_task(main(subnet_tag="community.4", driver="zksync", network="rinkeby"))
    try:
        loop.run_until_complete(task)
    except NoPaymentAccountError as error:
        print(f"No payment account initialized for {error.required_driver} and {error.required_network}.")
    except KeyboardInterrupt:
        print("Shutting down gracefully", flush=True)
        task.cancel()
        try:
            loop.run_until_complete(task)
        except (asyncio.CancelledError, KeyboardInterrupt):
            print("Shutdown completed", flush=True)
