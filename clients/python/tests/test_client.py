"""Tests of the client against a server, which TestPythonClient starts."""

import os
import tempfile
import threading
import unittest

from ptiffstore import Client, RequestError, Slide, UnavailableError, UploadError, VersionError
from ptiffstore.server import _pause
from tests.serving import respond, serving


class ClientTest(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.client = Client()
        cls.slides = os.environ["TEST_FOLDER"]

    def test_search(self):
        names = {image["file_name"] for image in self.client.search("plain", state="available")}
        self.assertEqual(names, {"plain.tiff"})
        with self.assertRaisesRegex(RequestError, "state"):
            list(self.client.images(state="lost"))

    def test_version(self):
        self.assertRegex(self.client.version, r"\w")

    def test_tasks(self):
        task = self.client.submit("sync_store", store=self.client.store("Scanner 1")["id"])
        ended = self.client.wait(task["id"], timeout=120)
        self.assertEqual(ended["state"], "succeeded")
        self.assertIn(task["id"], [t["id"] for t in self.client.tasks(kind="sync_store")])
        self.assertEqual(self.client.cancel(task["id"])["state"], "succeeded")

    def test_upload(self):
        sent = []
        upload = self.client.upload(os.path.join(self.slides, "plain.tiff"), "Archive", name="sent.tiff", progress=lambda done, size: sent.append((done, size)))
        self.assertEqual((upload["verdict"], upload["image"]["state"]), ("slide", "available"))
        size = os.path.getsize(os.path.join(self.slides, "plain.tiff"))
        self.assertEqual((sent[0], sent[-1]), ((0, size), (size, size)))
        self.assertIsInstance(self.client.slide(upload["image"]["id"]), Slide)
        with tempfile.TemporaryDirectory() as folder:
            path = os.path.join(folder, "no-slide.tiff")
            with open(path, "wb") as file:
                file.write(b"II*\0" + bytes(100))
            self.assertIn(self.client.upload(path, "Archive")["verdict"], ("broken", "unsupported"))
        with self.assertRaises(RequestError) as caught:
            self.client.upload(os.path.join(self.slides, "plain.tiff"), "Scanner 1")
        self.assertEqual(caught.exception.status, 403)


class RetryTest(unittest.TestCase):
    """Servers that fail."""

    def test_busy(self):
        """Reading goes on until the server answers; what changes something is sent once."""
        count = []

        def answer(handler):
            count.append(handler.command)
            respond(handler, 503 if len(count) < 3 else 200, b'{"items":[],"next_cursor":null}')

        with serving(answer) as url, Client(url) as client:
            self.assertEqual(list(client.images()), [])
            self.assertEqual(len(count), 3)
            count.clear()
            with self.assertRaises(UnavailableError):
                client.submit("sync_store")
            self.assertEqual(count, ["POST"])

    def test_damaged(self):
        """502 of the server means a damaged file, which is not asked for again."""
        count = []

        def answer(handler):
            count.append(1)
            respond(handler, 502, b'{"detail":"The file is damaged there."}', "application/problem+json")

        with serving(answer) as url, Client(url) as client:
            with self.assertRaisesRegex(RequestError, "damaged") as caught:
                client.image("i")
        self.assertNotIsInstance(caught.exception, UnavailableError)
        self.assertEqual(len(count), 1)

    def test_pause(self):
        self.assertEqual(_pause(3, 0), 0)
        self.assertLess(_pause(0, None), _pause(9, None))
        self.assertLessEqual(_pause(50, None), 20)
        self.assertLessEqual(_pause(0, 1e9), 60)

    def test_token_expires(self):
        """Threads whose token expires during a batch get a new one."""
        tokens, lock = [], threading.Lock()

        def token():
            with lock:
                tokens.append("token%d" % len(tokens))
                return tokens[-1]

        def answer(handler):
            valid = handler.headers["Authorization"] == "Bearer " + tokens[-1] and len(tokens) > 1
            respond(handler, 200 if valid else 401, b"{}")

        with serving(answer) as url, Client(url, token=token) as client:
            threads = [threading.Thread(target=client.image, args=("i",)) for _ in range(8)]
            for thread in threads:
                thread.start()
            for thread in threads:
                thread.join()
            self.assertEqual(client.image("i"), {})
            with self.assertRaisesRegex(RequestError, "401"):
                Client(url, token="fixed").image("i")

    def test_other_version(self):
        def answer(handler):
            respond(handler, 200, b'{"state":"available"}')

        with serving(answer) as url, Client(url) as client:
            for use in client.slide, lambda name: list(client.cases(name)):
                with self.assertRaisesRegex(VersionError, "version unknown and this client version"):
                    use("i")

    def test_redirect(self):
        """The token does not go to the tile server of another host, nor anything to http from https."""
        seen = []

        def elsewhere(handler):
            seen.append(handler.headers["Authorization"])
            respond(handler, 200, bytes(12))

        with serving(elsewhere) as there:
            def answer(handler):
                handler.send_response(307)
                handler.send_header("Location", there + "/region?pass=p")
                handler.send_header("Content-Length", "0")
                handler.end_headers()

            with serving(answer) as url, Client(url, token="secret") as client:
                self.assertEqual(client.region("i"), bytes(12))
                with self.assertRaisesRegex(RequestError, "redirects to"):
                    client.submit("sync_store")
        self.assertEqual(seen, [None])

    def test_upload_interrupted(self):
        """An upload continues with the offset of the server, and ends when the server refuses the file."""
        parts, offset = [], [0]

        def answer(handler):
            length = int(handler.headers.get("Content-Length") or 0)
            body = handler.rfile.read(length)
            if handler.command == "GET":
                return respond(handler, 200, b'{"items":[],"next_cursor":null}')
            if handler.command == "PATCH":
                parts.append((int(handler.headers["Upload-Offset"]), len(body)))
                if len(parts) == 1:
                    offset[0] = 3  # of ten bytes, then the connection ends
                    handler.close_connection = True
                    return None
                return respond(handler, 422, b'{"detail":"another digest"}')
            handler.send_response(201 if handler.command == "POST" else 200)
            handler.send_header("Location", "/api/v1/uploads/u")
            handler.send_header("Upload-Offset", str(offset[0]))
            handler.send_header("Content-Length", "0")
            handler.end_headers()
            return None

        with tempfile.NamedTemporaryFile() as file, serving(answer) as url, Client(url) as client:
            file.write(bytes(10))
            file.flush()
            with self.assertRaisesRegex(UploadError, "another digest"):
                client.upload(file.name, "store")
        self.assertEqual(parts, [(0, 10), (3, 7)])


if __name__ == "__main__":
    unittest.main()
