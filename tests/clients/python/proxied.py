"""A web server on a provider's machine, reached through yapapi's own proxies for HTTP and for sockets."""

import asyncio
from datetime import datetime, timezone

import aiohttp
from yapapi.contrib.service.http_proxy import HttpProxyService, LocalHttpProxy
from yapapi.contrib.service.socket_proxy import SocketProxy, SocketProxyService
from common import JOB_TIMEOUT, SCRIPT_TIMEOUT, Seen, golem, image, run
from service import reached
from yapapi.services import ServiceState

PAGE = "a page of the provider\n"
PORT = 80
# Both are free on a machine that runs these cases; yapapi can't be told to choose one.
HTTP_PORT, SOCKET_PORT = 18_480, 18_481


class Web(HttpProxyService, SocketProxyService):
    """Serves one page."""

    remote_ports = [PORT]

    def __init__(self):
        super().__init__(remote_port=PORT)

    @staticmethod
    async def get_payload():
        return await image(capabilities=["vpn"])

    async def start(self):
        async for script in super().start():
            yield script
        script = self._ctx.new_script(timeout=SCRIPT_TIMEOUT)
        serve = f"printf '{PAGE.strip()}\\n' >index.html; setsid python3 -m http.server {PORT} >log 2>&1 &"
        script.run("/bin/sh", "-c", f"cd /golem/work; {serve}")
        yield script


async def page(url):
    """Asks for the page until the server is up."""
    deadline = asyncio.get_running_loop().time() + 30
    async with aiohttp.ClientSession() as session:
        while True:
            try:
                async with session.get(url, timeout=aiohttp.ClientTimeout(total=10)) as answer:
                    text = await answer.text()
                    if answer.status == 200:
                        return text
                    error = f"{answer.status}: {text}"
            except (aiohttp.ClientError, asyncio.TimeoutError) as failure:
                error = repr(failure)
            assert asyncio.get_running_loop().time() < deadline, error
            await asyncio.sleep(0.2)


async def case():
    seen = Seen()
    async with golem(seen) as network:
        vpn = await network.create_network("192.168.9.0/24")
        async with vpn:
            expiration = datetime.now(timezone.utc) + JOB_TIMEOUT
            cluster = await network.run_service(Web, network=vpn, expiration=expiration)
            await reached(lambda: cluster.instances[0].state == ServiceState.running, "it doesn't start")
            http = LocalHttpProxy(cluster, HTTP_PORT)
            await http.run()
            assert await page(f"http://127.0.0.1:{HTTP_PORT}/") == PAGE
            await http.stop()
            sockets = SocketProxy(ports=[SOCKET_PORT])
            await sockets.run(cluster)
            assert await page(f"http://127.0.0.1:{SOCKET_PORT}/") == PAGE
            await sockets.stop()
            cluster.stop()
            await reached(lambda: cluster.instances[0].state == ServiceState.terminated, "it doesn't stop")
    seen.check_all_paid()


if __name__ == "__main__":
    run(case)
