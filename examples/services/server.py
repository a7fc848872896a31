"""A web server that tells which instance answers, and what the database says."""

import os
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.request import urlopen


class Page(BaseHTTPRequestHandler):
    """Answers each request with a line of text."""

    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        """Answers a request; a check of health asks nobody else."""
        text = "ok\n" if self.path == "/health" else self.page()
        body = text.encode()
        self.send_response(200)
        self.send_header("Content-Type", "text/plain; charset=utf-8")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def page(self) -> str:
        """The line that a visitor sees."""
        with urlopen(os.environ["DB"], timeout=10) as answer:
            begun = answer.read().decode().strip()
        return f"instance {os.environ['GOLEM_INSTANCE']}: the database began at {begun}\n"


if __name__ == "__main__":
    ThreadingHTTPServer(("0.0.0.0", 80), Page).serve_forever()
