"""The speed of Python on the engine: tasks a second, CPU time a task, the first result, the end, memory.

    python bench/python.py [--tasks 10000] [--providers 10] [--commit]

An emulated network in this process, whose scripted providers answer at once: nothing is measured but the way of a task from a list of Python to a
worker and back. With ``--commit`` each task runs one command. ``golem-bench executor`` is the same in Rust.

    python bench/python.py against-yapapi PYTHON_WITH_YAPAPI GOLEM_TASKS [--tasks 200] [--rounds 3]

The same program on yapapi 0.13.1 and on golem_tasks.yapapi, in turn, each as a process of its own, against one devnet of the command GOLEM_TASKS with the
times of a real daemon. Both move files by our ``gftp``, which must be in the PATH.

Figures go to stdout, one ``name value unit`` a line.
"""

import argparse
import asyncio
import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

PROGRAM = '''
import asyncio, json, os, resource, sys, time
from datetime import timedelta
from yapapi import Golem, Task
from yapapi.payload import vm

begun = time.monotonic()
first = None

async def worker(ctx, tasks):
    async for task in tasks:
        script = ctx.new_script(timeout=timedelta(minutes=5))
        done = script.run("/bin/sh", "-c", "true")
        yield script
        await done
        task.accept_result(True)

async def main(n):
    global first
    package = await vm.repo(image_tag="golem/alpine:latest", repository_url=os.environ["GOLEM_REGISTRY_URL"])
    count = 0
    async with Golem(budget=10, subnet_tag="public", payment_driver="erc20", payment_network="hoodi") as golem:
        async for task in golem.execute_tasks(worker, [Task(data=i) for i in range(n)], payload=package, max_workers=4, timeout=timedelta(minutes=20)):
            first = first or time.monotonic()
            count += 1
        last = time.monotonic()
    assert count == n, count
    ended = time.monotonic()
    used = resource.getrusage(resource.RUSAGE_SELF)
    children = resource.getrusage(resource.RUSAGE_CHILDREN)
    cpu = sum((used.ru_utime, used.ru_stime, children.ru_utime, children.ru_stime))
    print("FIGURES " + json.dumps({
        "throughput tasks/s": n / (last - first) if n > 1 else 0,
        "cpu_per_task ms": cpu / n * 1000,
        "first_result s": first - begun,
        "exit s": ended - last,
        "peak_memory MiB": used.ru_maxrss / 1024,
    }))

asyncio.run(main(int(sys.argv[1])))
'''


def cpu() -> float:
    used = resource.getrusage(resource.RUSAGE_SELF)
    return used.ru_utime + used.ru_stime


def peak() -> float:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


async def measure(tasks: int, providers: int, commit: bool) -> None:
    interpreter = peak()
    import golem_tasks as gt

    imported = peak()
    devnet = await gt.Devnet.start(providers, instant=True, seed=1, scripted=[])
    first = None

    async def work(ctx: gt.Context, n: int) -> int:
        if commit:
            await ctx.run("task", n)
        return n

    begun, used = time.monotonic(), cpu()
    async with gt.Golem("10", devnet=devnet, image="golem/alpine:latest", workers=providers) as golem:
        done = 0
        async for _ in golem.map(work, range(tasks)):
            first = first or time.monotonic()
            done += 1
        last = time.monotonic()
    ended, used = time.monotonic(), cpu() - used
    await devnet.stop()
    assert done == tasks and first is not None
    print(f"tasks {tasks} tasks")
    print(f"throughput {tasks / (last - begun):.0f} tasks/s")
    print(f"cpu_per_task {used / tasks * 1000:.3f} ms")
    print(f"first_result {first - begun:.3f} s")
    print(f"exit {ended - last:.3f} s")
    print(f"peak_memory {peak():.1f} MiB")
    print(f"interpreter {interpreter:.1f} MiB")
    print(f"import {imported - interpreter:.1f} MiB")


def against_yapapi(theirs: str, program: str, tasks: int, rounds: int) -> None:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "program.py")
        path.write_text(PROGRAM)
        environment = Path(folder, "env.json")
        with open(environment, "w") as out:
            devnet = subprocess.Popen([program, "devnet", "--providers", "4", "--json", "--listen", "127.0.0.1:0"], stdout=out, stderr=subprocess.DEVNULL)
        try:
            deadline = time.monotonic() + 20
            while not environment.read_text().strip() and time.monotonic() < deadline:
                time.sleep(0.05)
            first = json.loads(environment.read_text().splitlines()[0])
            variables = {**os.environ, **first["environment"]}
            for number in range(rounds):
                for name, command in (("yapapi", [theirs, str(path)]), ("golem_tasks", [sys.executable, "-m", "golem_tasks.yapapi", str(path)])):
                    ended = subprocess.run([*command, str(tasks)], env=variables, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, timeout=600)
                    lines = [line for line in ended.stdout.splitlines() if line.startswith("FIGURES ")]
                    if not lines:
                        sys.exit(f"{name} gave no figures:\n{ended.stdout}\n{ended.stderr}")
                    for figure, value in json.loads(lines[0][8:]).items():
                        what, unit = figure.split(" ")
                        print(f"{name}_{what}_{number} {value:.3f} {unit}")
        finally:
            devnet.terminate()
            devnet.wait(30)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("against", nargs="*", help="against-yapapi PYTHON_WITH_YAPAPI GOLEM_TASKS")
    parser.add_argument("--tasks", type=int)
    parser.add_argument("--providers", type=int, default=10)
    parser.add_argument("--commit", action="store_true")
    parser.add_argument("--rounds", type=int, default=3)
    arguments = parser.parse_args()
    if arguments.against:
        _, theirs, program = arguments.against
        against_yapapi(theirs, program, arguments.tasks or 200, arguments.rounds)
    else:
        asyncio.run(measure(arguments.tasks or 10_000, arguments.providers, arguments.commit))


if __name__ == "__main__":
    main()
