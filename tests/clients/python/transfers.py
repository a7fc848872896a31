"""Files, bytes and JSON both ways through the `gftp` program, over two providers; 0 bytes and several chunks among them."""

import hashlib
import random
import tempfile
from pathlib import Path

from yapapi import Task
from common import JOB_TIMEOUT, SCRIPT_TIMEOUT, Seen, golem, image, run

# A chunk has 40 KiB; the last one is some 50 of them.
SIZES = [0, 1, 40 * 1024 - 1, 40 * 1024, 40 * 1024 + 1, 2_000_003]
IN_BYTES = 300_000


def content(size):
    """Bytes that can be told from any others."""
    return random.Random(size).randbytes(size)


def worker_in(folder):
    """The worker, with its files in a folder."""
    shared = folder / "shared"
    shared.write_bytes(content(100_000))

    async def worker(context, tasks):
        async for task in tasks:
            sent, back = folder / f"sent-{task.data}", folder / f"back-{task.data}"
            sent.write_bytes(content(task.data))
            got = {}

            async def on_bytes(data):
                got["bytes"] = data

            async def on_json(data):
                got["json"] = data

            script = context.new_script(timeout=SCRIPT_TIMEOUT)
            script.upload_file(str(sent), "/golem/input/file")
            # The same content goes to every provider, and twice to each: one address, several readers.
            script.upload_file(str(shared), "/golem/input/shared")
            script.upload_file(str(shared), "/golem/input/again")
            script.upload_bytes(content(IN_BYTES), "/golem/input/bytes")
            script.upload_json({"size": task.data, "text": "Grüße"}, "/golem/input/object.json")
            sums = script.run("/bin/sh", "-c", "cd /golem/input && sha256sum file shared again bytes | cut -d' ' -f1")
            script.run("/bin/cp", "/golem/input/file", "/golem/output/file")
            script.download_file("/golem/output/file", str(back))
            script.download_bytes("/golem/input/bytes", on_bytes, limit=IN_BYTES)
            script.download_json("/golem/input/object.json", on_json)
            yield script

            names = [content(task.data), content(100_000), content(100_000), content(IN_BYTES)]
            expected = [hashlib.sha256(data).hexdigest() for data in names]
            assert (await sums).stdout.split() == expected, (await sums).stdout
            assert back.read_bytes() == content(task.data), f"{task.data} bytes came back wrong"
            assert got["bytes"] == content(IN_BYTES), "the bytes came back wrong"
            assert got["json"] == {"size": task.data, "text": "Grüße"}, got["json"]
            task.accept_result(task.data)

    return worker


async def case():
    seen = Seen()
    with tempfile.TemporaryDirectory() as folder:
        async with golem(seen) as network:
            worker = worker_in(Path(folder))
            tasks = [Task(data=size) for size in SIZES]
            done = network.execute_tasks(worker, tasks, payload=await image(), max_workers=2, timeout=JOB_TIMEOUT)
            results = [task.result async for task in done]
    assert sorted(results) == SIZES, results
    seen.check_all_paid()


run(case)
