"""A service with two instances in a virtual network: they start, answer, are asked again, and stop."""

import asyncio
from datetime import datetime, timezone

from yapapi.services import Service, ServiceState
from common import JOB_TIMEOUT, SCRIPT_TIMEOUT, Seen, golem, image, run

INSTANCES = 2
ANSWERS = 3
PATIENCE = 40


class Counter(Service):
    """Counts in a file on its provider's machine."""

    def __init__(self):
        super().__init__()
        self.counted = []
        self.ended = False

    @staticmethod
    async def get_payload():
        return await image()

    async def start(self):
        async for script in super().start():
            yield script
        script = self._ctx.new_script(timeout=SCRIPT_TIMEOUT)
        script.run("/bin/sh", "-c", "echo 0 > /golem/work/count")
        yield script

    async def run(self):
        while True:
            if len(self.counted) < ANSWERS:
                script = self._ctx.new_script(timeout=SCRIPT_TIMEOUT)
                count = "cd /golem/work; n=$(cat count); n=$((n + 1)); echo $n | tee count"
                answer = script.run("/bin/sh", "-c", count)
                yield script
                self.counted.append((await answer).stdout)
            # The service stays until it is stopped.
            await asyncio.sleep(0.2)

    async def shutdown(self):
        script = self._ctx.new_script(timeout=SCRIPT_TIMEOUT)
        last = script.run("/bin/cat", "/golem/work/count")
        yield script
        self.ended = (await last).stdout == f"{ANSWERS}\n"


async def reached(condition, what):
    """Waits for a condition."""
    deadline = asyncio.get_running_loop().time() + PATIENCE
    while not condition():
        assert asyncio.get_running_loop().time() < deadline, what
        await asyncio.sleep(0.1)


async def case():
    seen = Seen()
    async with golem(seen) as network:
        vpn = await network.create_network("192.168.8.1/24")
        async with vpn:
            cluster = await network.run_service(
                Counter, num_instances=INSTANCES, network=vpn, expiration=datetime.now(timezone.utc) + JOB_TIMEOUT
            )
            counters = cluster.instances
            await reached(
                lambda: all(len(counter.counted) == ANSWERS for counter in counters),
                f"they are {[(counter.state, counter.counted) for counter in counters]}",
            )
            expected = [f"{number}\n" for number in range(1, ANSWERS + 1)]
            assert all(counter.counted == expected for counter in counters), [each.counted for each in counters]
            assert all(counter.state == ServiceState.running for counter in counters)
            assert len({counter.provider_id for counter in counters}) == INSTANCES
            assert len({counter.network_node.ip for counter in counters}) == INSTANCES
            cluster.stop()
            await reached(
                lambda: all(counter.state == ServiceState.terminated for counter in counters),
                f"they are {[counter.state for counter in counters]}",
            )
            assert all(counter.ended for counter in counters), "not every instance shut down in order"
    seen.check_all_paid()


if __name__ == "__main__":
    run(case)
