"""A program for yapapi 0.13 in two passes: one task says how large the search is, the tasks of the second pass search a part each.

It shows the number whose SHA-256 begins with the digits that it was given, and ends as soon as that is found.
"""

import argparse
import asyncio
import math
import os
import sys
import tempfile
from datetime import timedelta
from pathlib import Path

from yapapi import Golem, NoPaymentAccountError, Task, WorkContext, windows_event_loop_fix
from yapapi import __version__ as yapapi_version
from yapapi.events import CommandExecuted
from yapapi.log import enable_default_logger
from yapapi.payload import vm

LIMIT = timedelta(minutes=8)
PART = """
i=$1; found=
while [ $i -lt $2 ]; do
  case $(printf %s $i | sha256sum) in $3*) found=$i ;; esac
  i=$((i + 1))
done
echo "$found" > /golem/output/found
"""


async def measure(context: WorkContext, tasks):
    async for task in tasks:
        script = context.new_script(timeout=LIMIT)
        answer = script.run("/bin/sh", "-c", "echo 60")
        yield script
        executed: CommandExecuted = await answer
        assert executed.stdout is not None
        task.accept_result(int(executed.stdout))


def searching(digits, size):
    async def search(context: WorkContext, tasks):
        prepare = context.new_script()
        prepare.upload_bytes(PART.encode(), "/golem/work/part.sh")
        yield prepare
        async for task in tasks:
            script = context.new_script(timeout=LIMIT)
            script.run("/bin/sh", "/golem/work/part.sh", str(task.data), str(task.data + size), digits)
            with tempfile.TemporaryDirectory() as folder:
                target = Path(folder) / "found"
                script.download_file("/golem/output/found", str(target))
                yield script
                found = target.read_text().strip()
            task.accept_result(int(found) if found else None)

    return search


async def main(args):
    package = await vm.repo(image_tag="golem/alpine:latest", min_mem_gib=0.5, min_storage_gib=2.0)
    async with Golem(
        budget=10.0,
        subnet_tag=args.subnet_tag,
        payment_driver=args.payment_driver,
        payment_network=args.payment_network,
    ) as golem:
        print(f"yapapi {yapapi_version}, {golem.subnet_tag}, {golem.payment_driver}, {golem.payment_network}", file=sys.stderr)
        total = 0
        async for task in golem.execute_tasks(measure, [Task(data=None)], payload=package, max_workers=1, timeout=LIMIT):
            total = task.result
        parts = [Task(data=start) for start in range(0, total, args.size)]
        workers = math.ceil(len(parts) / 2)
        completed = golem.execute_tasks(searching(args.digits, args.size), parts, payload=package, max_workers=workers, timeout=LIMIT)
        async for task in completed:
            if task.result is not None:
                print(f"Found {task.result} after {task.running_time}")
                break
        else:
            print("Nothing found")


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("digits")
    parser.add_argument("--size", type=int, default=20)
    parser.add_argument("--subnet-tag")
    parser.add_argument("--payment-driver")
    parser.add_argument("--payment-network")
    parser.add_argument("--log-file", default=os.devnull)
    arguments = parser.parse_args()
    windows_event_loop_fix()
    enable_default_logger(log_file=arguments.log_file, debug_activity_api=True)
    loop = asyncio.get_event_loop()
    task = loop.create_task(main(arguments))
    try:
        loop.run_until_complete(task)
    except NoPaymentAccountError as error:
        print(f"No account for {error.required_driver} on {error.required_network}")
    except KeyboardInterrupt:
        task.cancel()
        try:
            loop.run_until_complete(task)
        except (asyncio.CancelledError, KeyboardInterrupt):
            pass
