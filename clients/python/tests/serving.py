"""Servers whose responses a test writes."""

import http.server
import importlib.util
import threading
import unittest


def needs(name):
    return unittest.skipUnless(importlib.util.find_spec(name), "needs %s (Debian: python3-%s)" % (name, name.lower()))


def respond(handler, status, body, kind="application/json"):
    handler.send_response(status)
    handler.send_header("Content-Type", kind)
    handler.send_header("Retry-After", "0")
    handler.send_header("Content-Length", str(len(body)))
    handler.end_headers()
    handler.wfile.write(body)


class serving:
    """An HTTP server whose requests are answered by a function."""

    def __init__(self, answer):
        class Handler(http.server.BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_GET(self):
                answer(self)

            do_HEAD = do_POST = do_PATCH = do_DELETE = do_GET

            def log_message(self, *args):
                pass

        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)

    def __enter__(self):
        threading.Thread(target=self.server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True).start()
        return "http://127.0.0.1:%d" % self.server.server_address[1]

    def __exit__(self, *args):
        self.server.shutdown()
        self.server.server_close()
