"""Tests of slideatlas.tasks against a server, which TestPythonClient starts."""

import datetime
import os
import unittest

from ptiffstore import RequestError, Server, UnavailableError
from slideatlas import tasks
from slideatlas.tasks import AsyncResult, sync_store
from tests.serving import respond, serving

# Seconds that a task may take on a busy machine.
SOON = 120


class SyncStoreTest(unittest.TestCase):
    """The store "Scanner 1" holds two slides, and the folder of "Lost" was replaced."""

    @classmethod
    def setUpClass(cls):
        cls.server = Server()
        cls.stores = {store["label"]: store for store in cls.server.items("/api/v1/stores")}
        cls.store = cls.stores["Scanner 1"]

    def test_delay(self):
        a = sync_store.delay(self.store["id"])
        result = a.get(timeout=SOON)
        self.assertTrue(a.ready())
        self.assertTrue(a.successful())
        self.assertFalse(a.failed())
        self.assertEqual(a.state, "SUCCESS")
        self.assertEqual(a.status, "SUCCESS")
        self.assertEqual(a.result, result)
        self.assertEqual(a.info, result)
        self.assertEqual(result["syncresults"]["count"], 2)
        database = result["database"]
        self.assertEqual(database["_id"], self.store["id"])
        self.assertEqual(database["_cls"], "ImageStore.MultipleDatabaseImageStore.PtiffImageStore")
        self.assertEqual(database["label"], "Scanner 1")
        self.assertEqual(database["root_path"], os.environ["TEST_FOLDER"])
        datetime.datetime.fromisoformat(database["last_sync"])

    def test_result_of_earlier_task(self):
        a = sync_store.delay(self.store["id"])
        want = a.get(timeout=SOON)
        for b in AsyncResult(a.id), sync_store.AsyncResult(a.task_id):
            self.assertEqual(b.get(timeout=SOON), want)
            self.assertEqual(a, b)
            self.assertEqual(str(b), a.id)

    def test_label_and_call(self):
        self.assertEqual(sync_store("Scanner 1")["database"]["_id"], self.store["id"])

    def test_new_images(self):
        a = AsyncResult("t0")
        a._ended = {
            "state": "succeeded", "ready": True, "finished_at": None, "args": {"store": self.store["id"]},
            "result": {"count": 2, "added": 1, "updated": 3},
        }
        synced = a.get()["syncresults"]
        self.assertEqual((synced["count"], synced["synced"], len(synced["images"])), (2, 4, 1))
        images = AsyncResult("t0")._images(self.store["id"], 2)
        image = {i["filename"]: i for i in images}["plain.tiff"]
        for field, want in {
            "dimensions": [900, 700, 1], "bounds": [0, 899, 0, 699, 0, 0], "levels": 3, "TileSize": 256, "CoordinateSystem": "Pixel",
        }.items():
            self.assertEqual(image[field], want, field)
        datetime.datetime.fromisoformat(image["uploaded_at"])

    def test_queue(self):
        a = sync_store.apply_async(args=(self.stores["Other"]["id"],), queue="celery_autosync")  # no worker serves it
        self.assertEqual(a.state, "PENDING")
        self.assertFalse(a.ready())
        self.assertIsNone(a.result)
        self.assertEqual(self.server.get("/api/v1/tasks/" + a.id)["queue"], "celery_autosync")
        with self.assertRaisesRegex(TimeoutError, a.id):
            a.get(timeout=0.01, interval=0.001)
        a.revoke()
        self.assertEqual(a.state, "REVOKED")
        self.assertEqual(a.result, {"error": "The task was cancelled."})
        with self.assertRaises(tasks.TaskRevokedError):
            a.get()
        a.revoke()  # it has ended already

    def test_failure(self):
        a = sync_store.delay("Lost")
        with self.assertRaisesRegex(tasks.TaskError, "folder"):
            a.get(timeout=SOON)
        self.assertEqual(a.state, "FAILURE")
        self.assertTrue(a.failed())
        self.assertEqual(list(a.result), ["error"])
        self.assertEqual(a.get(propagate=False), a.result)

    def test_unknown_store(self):
        a = sync_store.delay("5356d8b9e67655244bf3273a")
        self.assertTrue(a.ready())
        self.assertEqual(a.state, "SUCCESS")
        self.assertEqual(a.result, {"error": "Tilestore Not found: 5356d8b9e67655244bf3273a"})

    def test_unknown_task(self):
        a = AsyncResult("t999999")
        self.assertEqual(a.state, "PENDING")
        self.assertFalse(a.ready())
        self.assertIsNone(a.result)
        with self.assertRaisesRegex(tasks.TaskError, "t999999"):
            a.get()

    def test_refused(self):
        with self.assertRaises(RequestError) as caught:
            sync_store.apply_async(args=(self.store["id"],), queue="No such name")
        self.assertEqual(caught.exception.status, 422)
        self.assertRegex(str(caught.exception), "queue")

    def test_token(self):
        server = Server(token="pts_wrong")
        with self.assertRaises(RequestError) as caught:
            server.get("/api/v1/tasks")
        self.assertEqual(caught.exception.status, 401)
        self.assertNotIsInstance(caught.exception, UnavailableError)
        for text in repr(Server()), str(caught.exception):
            self.assertNotIn(os.environ["PTIFFSTORE_TOKEN"], text)


class ServerTest(unittest.TestCase):
    def test_urls(self):
        for url in "slides.example.org", "ftp://slides.example.org", "http://", "http://user:secret@host", "http://host/?a=b":
            with self.assertRaises(ValueError) as caught:
                Server(url=url)
            self.assertNotIn("secret", str(caught.exception))
        with self.assertRaises(ValueError):
            Server(token="two\nlines")

    def test_unreachable(self):
        with self.assertRaisesRegex(UnavailableError, "cannot reach"):
            Server(url="http://127.0.0.1:1").get("/api/v1/tasks")

    def test_redirect(self):
        """A token is not sent to the address of a redirect."""
        seen = []

        def answer(handler):
            seen.append((handler.path, handler.headers.get("Authorization")))
            handler.send_response(307)
            handler.send_header("Location", "/elsewhere")
            handler.send_header("Content-Length", "0")
            handler.end_headers()

        with serving(answer) as url:
            with self.assertRaisesRegex(RequestError, "/elsewhere"):
                Server(url=url, token="pts_1").get("/api/v1/tasks")
        self.assertEqual(seen, [("/api/v1/tasks", "Bearer pts_1")])

    def test_not_json(self):
        with serving(lambda handler: respond(handler, 200, b"<html>")) as url:
            with self.assertRaisesRegex(RequestError, "not JSON"):
                Server(url=url).get("/api/v1/tasks")
        with serving(lambda handler: respond(handler, 500, b"[]")) as url:
            with self.assertRaisesRegex(RequestError, "status 500"):
                Server(url=url).get("/api/v1/tasks")

    def test_restart(self):
        """get() continues when the server was busy or away for a while."""
        answers = [
            (503, b'{"title": "busy"}'), (502, b""),
            (200, b'{"id": "t1", "state": "running", "ready": false}'),
            (200, b'{"id": "t1", "state": "failed", "ready": true, "error": "disk"}'),
        ]
        with serving(lambda handler: respond(handler, *answers.pop(0))) as url:
            a = AsyncResult("t1", Server(url=url))
            self.assertEqual(a.get(propagate=False, interval=0), {"error": "disk"})
        self.assertEqual(answers, [])


if __name__ == "__main__":
    unittest.main()
