"""Tasks of SlideAtlas, run by a ptiffstore server.

Tasks and results have the methods of Celery, and results the form of SlideAtlas:

    >>> from slideatlas.tasks import sync_store
    >>> a = sync_store.delay("5356d8b9e67655244bf3273a")
    >>> a.ready()
    >>> a.result

The environment variables PTIFFSTORE_URL and PTIFFSTORE_TOKEN name the server and an
API token.
"""

import datetime
import time
import urllib.parse
import uuid

from ptiffstore.server import RequestError, Server, UnavailableError

__all__ = ["AsyncResult", "TaskError", "TaskRevokedError", "sync_store"]

# Celery's name of each state of a task.
_STATES = {
    "waiting": "PENDING",
    "running": "STARTED",
    "retrying": "RETRY",
    "succeeded": "SUCCESS",
    "failed": "FAILURE",
    "cancelled": "REVOKED",
}

# How long get() continues while the server is unreachable, in seconds.
_PATIENCE = 600

_TASKS = "/api/v1/tasks"


class TaskError(Exception):
    """The task failed, or the server does not know it."""


class TaskRevokedError(TaskError):
    """The task was cancelled."""


class AsyncResult:
    """The result of a task.

    id: the id of the task.
    server: the Server that runs it; by default that of the environment.

    Attributes and methods raise ptiffstore.RequestError if the server refuses the
    request or is unreachable.
    """

    def __init__(self, id, server=None):
        self.id = id
        self._server = server or Server()
        self._ended = None  # the description of the task, once it has ended
        self._result = None

    def __repr__(self):
        return "<AsyncResult: %s>" % self.id

    def __str__(self):
        return self.id

    def __eq__(self, other):
        return isinstance(other, AsyncResult) and other.id == self.id

    def __hash__(self):
        return hash(self.id)

    @property
    def task_id(self):
        """The id of the task."""
        return self.id

    @property
    def state(self):
        """PENDING, STARTED, RETRY, SUCCESS, FAILURE or REVOKED.

        As in Celery, a task that the server does not know is PENDING. The server keeps
        tasks for a week after their end.
        """
        task = self._task()
        return _STATES[task["state"]] if task else "PENDING"

    @property
    def status(self):
        """The same as state."""
        return self.state

    def ready(self):
        """Returns whether the task has ended."""
        task = self._task()
        return bool(task) and task["ready"]

    def successful(self):
        """Returns whether the task succeeded."""
        return self.state == "SUCCESS"

    def failed(self):
        """Returns whether the task failed."""
        return self.state == "FAILURE"

    @property
    def result(self):
        """What the task returned, None until it has ended.

        {"syncresults": {"count", "synced", "images"}, "database": {…}}, or {"error": "…"}
        if the task failed or was cancelled.
        """
        task = self._task()
        if not task or not task["ready"]:
            return None
        if self._result is None:
            self._result = self._outcome(task)
        return self._result

    @property
    def info(self):
        """The same as result."""
        return self.result

    def get(self, timeout=None, propagate=True, interval=0.5):
        """Waits until the task has ended, and returns its result.

        timeout: seconds, or None to wait as long as the task takes.
        propagate: whether to raise TaskError if the task failed and TaskRevokedError if it
            was cancelled, instead of returning {"error": "…"}.
        interval: seconds between two requests.

        Raises TimeoutError at the timeout. The task continues.
        """
        task = self._wait(timeout, interval)
        result = self.result
        if propagate and task["state"] == "failed":
            raise TaskError(result["error"])
        if propagate and task["state"] == "cancelled":
            raise TaskRevokedError(result["error"])
        return result

    wait = get

    def revoke(self):
        """Cancels the task, if it has not ended."""
        if self._ended is None:
            self._server.delete(self._path())

    def _path(self):
        return _TASKS + "/" + urllib.parse.quote(self.id, safe="")

    def _task(self):
        """Returns the description of the task, None if the server does not know it."""
        if self._ended is None:
            try:
                task = self._server.get(self._path())
            except RequestError as error:
                if error.status != 404:
                    raise
                return None
            if not task["ready"]:
                return task
            self._ended = task
        return self._ended

    def _wait(self, timeout, interval):
        """Returns the description of the task when it has ended."""
        now = time.monotonic()
        deadline = None if timeout is None else now + timeout
        reached = now
        while True:
            pause = interval
            try:
                task = self._task()
                if task is None:
                    raise TaskError("the server does not know task %s: it may have ended more than a week ago" % self.id)
                if task["ready"]:
                    return task
                reached = time.monotonic()
            except UnavailableError as error:
                # A server that restarts must not end a program that waits for hours.
                if time.monotonic() - reached > _PATIENCE:
                    raise
                pause = max(interval, min(error.retry_after or 0, 60))
            if deadline is not None:
                left = deadline - time.monotonic()
                if left <= 0:
                    raise TimeoutError("task %s has not ended after %g seconds" % (self.id, timeout))
                pause = min(pause, left)
            time.sleep(pause)

    def _outcome(self, task):
        """Returns the result of a task that has ended, in SlideAtlas's form."""
        if task["state"] == "cancelled":
            return {"error": "The task was cancelled."}
        if task["state"] == "failed":
            return {"error": task["error"] or "The task failed."}
        if "refused" in task:
            return {"error": task["refused"]}
        counts = task["result"] or {}
        store = self._server.get("/api/v1/stores/" + urllib.parse.quote(task["args"]["store"], safe=""))
        images = self._images(store["id"], counts.get("added", 0))
        return {
            "syncresults": {
                "count": counts.get("count"),
                "synced": counts.get("added", 0) + counts.get("updated", 0),
                "images": images,
            },
            "database": _database(store, task["finished_at"]),
        }

    def _images(self, store, added):
        """Returns the documents of the newest images of a store, the newest first."""
        images = []
        if added > 0:
            for image in self._server.items("/api/v1/images", store=store, sort="created", limit=min(added, 500)):
                images.append(_image(image))
                if len(images) == added:
                    break
        return images


class _SyncStore:
    """Updates the catalog of a store with the files in its folder.

    A store is given by its id, its id in SlideAtlas, or its label.
    """

    name = "slideatlas.tasks.autosync.sync_store"

    def delay(self, store):
        """Submits the task and returns its AsyncResult."""
        return self.apply_async(args=(store,))

    def apply_async(self, args=(), kwargs=None, queue=None):
        """Submits the task to a queue, by default that of the store.

        Returns its AsyncResult. As in SlideAtlas, the result of an unknown store is
        {"error": "…"}. Raises ptiffstore.RequestError if the server refuses the task or
        is unreachable.
        """
        return self._submit(queue, *args, **(kwargs or {}))

    def AsyncResult(self, id):
        """Returns the AsyncResult of a task that was submitted before."""
        return AsyncResult(id)

    def __call__(self, store):
        """Runs the task, and returns its result when it has ended."""
        return self.delay(store).get()

    def _submit(self, queue, tilestore_id):
        server = Server()
        store = _store_id(server, str(tilestore_id))
        if store is None:
            return _refused(server, "Tilestore Not found: %s" % tilestore_id)
        body = {"kind": "sync_store", "args": {"store": store}}
        if queue is not None:
            body["queue"] = queue
        return AsyncResult(server.post(_TASKS, body)["id"], server)


sync_store = _SyncStore()


def _store_id(server, key):
    """Returns the id of the store with that id, external id or label, or None."""
    stores = list(server.items("/api/v1/stores"))
    for field in "id", "external_id", "label":
        found = [store["id"] for store in stores if store.get(field) == key]
        if len(found) > 1:
            raise ValueError("%d stores have the %s %r: use the id of one of them" % (len(found), field, key))
        if found:
            return found[0]
    return None


def _refused(server, reason):
    """Returns the result of a task that ended at once, and that the server does not know."""
    result = AsyncResult(str(uuid.uuid4()), server)
    result._ended = {"state": "succeeded", "ready": True, "refused": reason}
    return result


def _date(text):
    """Returns a time of the API as a datetime in UTC without zone, as SlideAtlas has it."""
    if not text:
        return datetime.datetime.min
    text, _, _ = text.partition("Z")
    seconds, _, fraction = text.partition(".")
    date = datetime.datetime.strptime(seconds, "%Y-%m-%dT%H:%M:%S")
    return date.replace(microsecond=int((fraction + "000000")[:6]))


def _database(store, finished_at):
    """Returns the document of a store as the collection "databases" has it."""
    document = {
        "_id": store["id"],
        "_cls": "ImageStore.MultipleDatabaseImageStore.PtiffImageStore",
        "label": store["label"],
        "last_sync": str(_date(store.get("last_sync") or finished_at)),
    }
    if store.get("external_id"):
        document["_id"] = store["external_id"]
    for field, name in ("root", "root_path"), ("host", "host_name"):
        if store.get(field):
            document[name] = store[field]
    return document


def _image(image):
    """Returns the document of an image as the collection "images" has it."""
    document = {
        "_id": image.get("external_id") or image["id"],
        "uploaded_at": str(_date(image["created_at"])),
        "CoordinateSystem": "Pixel",
    }
    for field, name in ("file_name", "filename"), ("label", "label"), ("tile_width", "TileSize"):
        if image.get(field):
            document[name] = image[field]
    if image.get("width") and image.get("height"):
        document["dimensions"] = [image["width"], image["height"], 1]
        document["bounds"] = [0, image["width"] - 1, 0, image["height"] - 1, 0, 0]
    if image.get("max_zoom") is not None:
        document["levels"] = image["max_zoom"] + 1
    if image.get("mpp_x") and image.get("mpp_y"):
        document["spacing"] = [image["mpp_x"] * 1000, image["mpp_y"] * 1000, 1.0]
    return document
