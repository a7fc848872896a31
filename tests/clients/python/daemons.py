"""Two of Golem's own daemons on loopback, one for those who sell and one for those who buy.

`daemons.py YAGNA FOLDER SELLERS FILE` starts them with their data in FOLDER, makes so many identities for sellers and one
for each lane of cases, and writes where everything is into FILE, for a shell to read. It ends them when it is ended.
Everything points at 127.0.0.1, at fixed ports: run it in a network namespace of its own, which also guards that no
daemon reaches the world.
"""

import json
import os
import signal
import subprocess
import sys
import time
from urllib.error import URLError
from urllib.request import Request, urlopen

BUYERS = ["python", "js1", "js2"]
# The sellers' bus is what both take for the network; such a port may have four digits only.
HUB = 7464
STARTING = 60
ENDING = 10
NETWORKS = ["MAINNET", "SEPOLIA", "RINKEBY", "GOERLI", "HOLESKY", "HOODI", "POLYGON", "MUMBAI", "AMOY"]


class Daemon:
    """One daemon and its own first key."""

    def __init__(self, program, folder, port):
        self.program, self.folder, self.port = program, folder, port
        self.api = f"http://127.0.0.1:{port + 1}"
        self.bus = f"tcp://127.0.0.1:{port}"
        self.key = f"first-{port}"
        self.process = None
        os.makedirs(folder, exist_ok=True)

    def environment(self):
        """What keeps it on loopback and lets it do without a chain."""
        here = {
            "PATH": os.environ["PATH"],
            "HOME": self.folder,
            "YAGNA_DATADIR": os.path.join(self.folder, "data"),
            "GSB_URL": self.bus,
            "YAGNA_API_URL": self.api,
            "YAGNA_AUTOCONF_APPKEY": self.key,
            "YA_NET_TYPE": "central",
            "CENTRAL_NET_HOST": f"127.0.0.1:{HUB}",
            "YA_NET_BIND_URL": f"udp://127.0.0.1:{self.port + 2}",
            "YA_NET_RELAY_HOST": f"127.0.0.1:{self.port + 3}",
            "YAGNA_METRICS_URL": "http://127.0.0.1:9",
            "YAGNA_DEV_SKIP_ALLOCATION_VALIDATION": "1",
            "OFFER_BROADCAST_DELAY": "200ms",
        }
        here |= {f"YA_CONSENT_{kind}": "deny" for kind in ("STATS", "INTERNAL", "EXTERNAL")}
        return here | {f"{network}_GETH_ADDR": "http://127.0.0.1:8545" for network in NETWORKS}

    def start(self):
        """Starts it and waits until it answers."""
        with open(os.path.join(self.folder, "log"), "a") as log:
            self.process = subprocess.Popen(
                [self.program, "service", "run"],
                env=self.environment(),
                cwd=self.folder,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
            )
        deadline = time.monotonic() + STARTING
        while True:
            try:
                return self.ask("GET", "/me")
            except (URLError, OSError) as error:
                if self.process.poll() is not None or time.monotonic() > deadline:
                    raise RuntimeError(f"the daemon at {self.api} doesn't come up") from error
                time.sleep(0.05)

    def stop(self):
        """Ends it, by force if it takes long."""
        if self.process is None:
            return
        self.process.send_signal(signal.SIGINT)
        try:
            self.process.wait(ENDING)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()

    def ask(self, method, path, body=None):
        """One request, as the owner of the first key."""
        headers = {"Authorization": f"Bearer {self.key}", "Content-Type": "application/json"}
        data = None if body is None else json.dumps(body).encode()
        with urlopen(Request(f"{self.api}{path}", data, headers, method=method), timeout=20) as answer:
            return json.load(answer)

    def new_key(self, name):
        """The app key of an identity of its own."""
        identity = self.ask("POST", "/_gsb/local/identity/CreateGenerated", {"alias": None, "fromKeystore": None})
        key = {"name": name, "role": "manager", "identity": identity["Ok"]["nodeId"], "allowOrigins": []}
        return self.ask("POST", "/_gsb/local/appkey/Create", key)["Ok"]


def main():
    """Starts both and waits to be ended."""
    program, folder, sellers_wanted, env_file = sys.argv[1:]
    sellers = Daemon(program, os.path.join(folder, "sellers"), HUB)
    buyers = Daemon(program, os.path.join(folder, "buyers"), HUB + 10)
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    try:
        # The hub first: the other one looks for it.
        sellers.start()
        buyers.start()
        sellers_keys = [sellers.new_key(f"seller-{number}") for number in range(int(sellers_wanted))]
        buyers_keys = {name: buyers.new_key(name) for name in BUYERS}
        # A daemon reads the list of its identities at its start, and routes to no others.
        for daemon in (buyers, sellers):
            daemon.stop()
        for daemon in (sellers, buyers):
            daemon.start()
        # A daemon hears of offers only once it has had a demand.
        buyers.ask("POST", "/market-api/v1/demands", {"properties": {}, "constraints": "(golem.never=1)"})
        with open(f"{env_file}.new", "w") as file:
            file.write(f"YAGNA_API_URL={buyers.api}\n")
            file.writelines(f"APPKEY_{name}={key}\n" for name, key in buyers_keys.items())
            file.write(f"SELLERS_API={sellers.api}\nSELLERS_BUS={sellers.bus}\n")
            file.write(f"SELLERS_KEYS='{' '.join(sellers_keys)}'\n")
        os.rename(f"{env_file}.new", env_file)
        while all(daemon.process.poll() is None for daemon in (sellers, buyers)):
            time.sleep(0.5)
        sys.exit("a daemon has ended by itself")
    except KeyboardInterrupt:
        pass
    finally:
        buyers.stop()
        sellers.stop()


main()
