"""A registry of images with one image in it, for clients that ask one before they publish a demand.

`registry.py FILE` listens at a free port of this machine and writes its address into FILE. It answers as Golem's
registry does for the one tag `golem-tasks/hello:latest` (or its hash), and has the image itself for a look at its head.
The devnet's providers run commands without an image, so that nobody downloads it.
"""

import json
import os
import sys
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qs, urlsplit

TAG = "golem-tasks/hello:latest"
HASH = "d646d7b93083d817846c2ae5c62c72ca0507782385a2e29291a3d376"
IMAGE = b"an image"


class Registry(BaseHTTPRequestHandler):
    """Answers the two questions that clients have."""

    def do_GET(self):
        """Tells where the image is, or hands it out."""
        self.answer(with_body=True)

    def do_HEAD(self):
        """Tells that the image is there."""
        self.answer(with_body=False)

    def answer(self, with_body):
        """One answer, the same for both methods but for its body."""
        url = urlsplit(self.path)
        asked = parse_qs(url.query)
        if url.path == "/image.gvmi":
            status, kind, body = 200, "application/octet-stream", IMAGE
        elif url.path == "/v1/image/info" and (asked.get("tag") == [TAG] or asked.get("hash") == [HASH]):
            image = f"http://{self.headers['Host']}/image.gvmi"
            known = {"http": image, "https": image, "sha3": HASH, "size": len(IMAGE)}
            status, kind, body = 200, "application/json", json.dumps(known).encode()
        else:
            status, kind, body = 404, "text/plain", b"no such image"
        self.send_response(status)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if with_body:
            self.wfile.write(body)

    def log_message(self, format, *args):
        """Says nothing: the clients' own logs tell what they asked."""


def main():
    """Serves until it is killed."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), Registry)
    address_file = sys.argv[1]
    with open(f"{address_file}.new", "w") as file:
        file.write(f"http://127.0.0.1:{server.server_address[1]}\n")
    os.rename(f"{address_file}.new", address_file)
    server.serve_forever()


main()
