"""A client with a method for each thing that programs do with a server."""

import time
import urllib.parse

from ptiffstore.server import RequestError, Server, UnavailableError, VersionError, __version__
from ptiffstore.slide import Slide
from ptiffstore.upload import Upload

_IMAGES = "/api/v1/images"
_CASES = "/api/v1/cases"
_TASKS = "/api/v1/tasks"


class Client(Server):
    """A server, whose requests are sent again while it is unreachable or busy.

    url: its address; by default PTIFFSTORE_URL of the environment.
    token: an API token, or a function that returns one; by default PTIFFSTORE_TOKEN of the
        environment. The function is called again when the server no longer accepts the
        token.
    timeout: seconds after which a request without a response fails.
    retries: how often a request that only reads is sent again, with growing pauses.
    connections: how many idle connections are kept.

    Records are dictionaries with the fields of the API. Threads may share the client.
    """

    def __init__(self, url=None, token=None, timeout=30, retries=5, connections=16):
        super().__init__(url, token, timeout, retries, connections)

    def stores(self):
        """Yields the stores of which the caller may see all slides."""
        return self._list("/api/v1/stores", {})

    def store(self, name):
        """Returns the store with that id or label."""
        for store in self.stores():
            if name in (store["id"], store["label"]):
                return store
        raise RequestError("no store %r that you may see" % name, 404)

    def images(self, q=None, **filters):
        """Yields the images that match all filters, newest first.

        q: words of the file name, folder, label, barcode or external id.
        filters: other parameters of the route, such as store, state, barcode, accession and
            sort.
        """
        return self._list(_IMAGES, dict(filters, q=q))

    search = images

    def image(self, id):
        """Returns the record of an image."""
        return self.get(_IMAGES + "/" + _segment(id))

    def slide(self, id, icc="none"):
        """Returns an image as a Slide, with the methods of OpenSlide.

        icc: "none" for the colours as they were scanned, "srgb" to convert them with the colour
            profile of the slide.
        """
        record = self.image(id)
        try:
            return Slide(self, record, icc)
        except (KeyError, TypeError) as error:
            raise self._unexpected() from error

    def cases(self, q=None, **filters):
        """Yields the cases that the caller may see.

        filters: parameters of the route, such as store, accession and barcode.
        """
        return self._list(_CASES, dict(filters, q=q))

    def case(self, accession, store=None):
        """Returns the case with an accession number: its slides are in "slides".

        store: the id of its store, if several stores have a case of this number.
        """
        query = {} if store is None else {"store": store}
        found = self.get(_CASES + "/" + _segment(accession), **query)["items"]
        if len(found) > 1:
            raise RequestError("%d stores have this accession number: give one of them" % len(found), 409)
        return found[0]

    def tasks(self, **filters):
        """Yields tasks, newest first.

        filters: kind, state, queue and store.
        """
        return self._list(_TASKS, filters)

    def task(self, id):
        """Returns a task."""
        return self.get(_TASKS + "/" + _segment(id))

    def submit(self, kind, queue=None, **args):
        """Submits a task and returns it.

        kind: such as "sync_store".
        args: its arguments, such as store.
        """
        body = {"kind": kind, "args": args}
        if queue is not None:
            body["queue"] = queue
        return self.post(_TASKS, body)

    def wait(self, task, timeout=None, interval=0.5):
        """Waits until a task has ended, and returns it.

        task: its id. timeout: seconds, or None to wait as long as it takes.

        Raises TimeoutError at the timeout; the task continues.
        """
        ends = None if timeout is None else time.monotonic() + timeout
        while True:
            state = self.task(task)
            if state["ready"]:
                return state
            if ends is not None and time.monotonic() + interval > ends:
                raise TimeoutError("task %s is still %s" % (task, state["state"]))
            time.sleep(interval)

    def cancel(self, task):
        """Cancels a task and returns it."""
        return self.delete(_TASKS + "/" + _segment(task))

    def upload(self, path, store, name=None, progress=None, wait=60):
        """Uploads a file to a managed store, and returns the upload as the API describes it.

        path: the file. It is read twice: first to compute its SHA-256, which the server checks.
        store: id or label of the store.
        name: the file name at the server; that of path by default.
        progress: a function that is called with the bytes that were sent and all bytes.
        wait: seconds to wait until the server has inspected the file; "image" of the result is
            then its image, "verdict" is slide, broken or unsupported, and "reason" says why.

        An upload that was interrupted resumes, also in another program. While the server is
        unreachable, busy, or its disk full, it tries again. Raises UploadError if the server
        refuses the file, and RequestError if it refuses the request.
        """
        return Upload(self, path, self._store_id(store), name, progress).send(wait)

    def _store_id(self, name):
        """Returns the id of a store. A token that may only upload sees no list of stores."""
        try:
            return self.store(name)["id"]
        except UnavailableError:
            raise
        except RequestError:
            return name

    def _list(self, path, query):
        query = {name: value for name, value in query.items() if value is not None}
        try:
            yield from self.items(path, **query)
        except RequestError as error:
            if error.status == 404:
                raise self._unexpected() from error
            raise
        except (KeyError, TypeError) as error:
            raise self._unexpected() from error

    def _unexpected(self):
        """Returns the error for a response that this client does not understand."""
        return VersionError(
            "the server %s has version %s and this client version %s, which do not fit: install the client of the server's release"
            % (self.url, self.version, __version__)
        )


def _segment(value):
    """Returns a value as one segment of a path."""
    return urllib.parse.quote(str(value), safe="")
