"""Requests to the API of a server."""

import http.client
import json
import os
import random
import time
import urllib.parse

from ptiffstore.connection import Pool
from ptiffstore.region import Region

try:
    from importlib.metadata import version as _installed

    __version__ = _installed("ptiffstore")
except ImportError:  # not installed, but in the path
    __version__ = "0"

DEFAULT_URL = "http://127.0.0.1:8080"

# A JSON document of the API is at most a page of a list.
MAX_RESPONSE = 64 << 20

# The largest region that the server renders has 16,384 x 16,384 pixels of 3 bytes. A lossless
# cut-out is smaller, as it is compressed.
MAX_REGION = 1 << 30


class RequestError(Exception):
    """The server refused a request.

    status: the HTTP status, 0 if there was no response.
    """

    def __init__(self, message, status=0):
        super().__init__(message)
        self.status = status


class UnavailableError(RequestError):
    """The server is unreachable or busy. The same request may succeed later.

    retry_after: seconds after which the server expects that, None if unknown.
    """

    def __init__(self, message, status=0, retry_after=None):
        super().__init__(message, status)
        self.retry_after = retry_after


class ChangedError(RequestError):
    """The file of a slide was replaced since the slide was opened: open it again."""


class VersionError(RequestError):
    """The server's response is not the one that this version of the client expects."""


class Server:
    """A server.

    url: its address; by default PTIFFSTORE_URL of the environment.
    token: an API token, or a function that returns one; by default PTIFFSTORE_TOKEN of the
        environment. Servers without access control need none. The function is called
        again when the server no longer accepts the token.
    timeout: seconds after which a request without a response fails.
    retries: how often a request that only reads is sent again while the server is
        unreachable or busy, with growing pauses.
    connections: how many idle connections are kept.

    Threads may share it.
    """

    def __init__(self, url=None, token=None, timeout=30, retries=0, connections=8):
        url = url or os.environ.get("PTIFFSTORE_URL") or DEFAULT_URL
        parts = urllib.parse.urlsplit(url)
        if parts.scheme not in ("http", "https") or not parts.hostname or parts.query or parts.fragment or "@" in parts.netloc:
            raise ValueError("invalid URL of the server: it begins with http:// or https:// and has no user, query or fragment")
        self.url = url.rstrip("/")
        self._new_token = token if callable(token) else None
        self._token = _checked_token(token() if callable(token) else token)
        self._timeout = timeout
        self._retries = retries
        self._pool = Pool(self.url, timeout, connections)
        self._elsewhere = {}  # pools of tile servers on other hosts, by their addresses

    def __repr__(self):
        return "Server(%r)" % self.url

    def get(self, path, **query):
        """Returns the JSON document of a path such as /api/v1/stores."""
        if query:
            path += "?" + urllib.parse.urlencode(query)
        return self.request("GET", path)

    def post(self, path, body):
        """Sends body as JSON, and returns the response's JSON document."""
        return self.request("POST", path, body)

    def delete(self, path):
        """Returns the response's JSON document, None if it is empty."""
        return self.request("DELETE", path)

    def items(self, path, **query):
        """Yields the items of a list, of all its pages."""
        while True:
            page = self.get(path, **query)
            yield from page["items"]
            if not page.get("next_cursor"):
                return
            query["cursor"] = page["next_cursor"]

    def read_region(self, image, location, level, size, icc="none"):
        """Returns pixels of a stored level as a Region, like read_region of OpenSlide.

        image: the id of the image.
        location: (x, y) of the top left corner, in pixels of level 0. It may be negative. The
            result begins with the pixel of the level that covers it; OpenSlide blends pixels if
            the location is between them.
        level: the stored level, 0 being the largest.
        size: (width, height) of the result, in pixels of the level.
        icc: "none" for the colours as they were scanned, "srgb" to convert them with
            the colour profile of the slide.

        What is outside of the image has the background colour of its store; a region that is
        entirely outside is refused with status 400. Raises what request raises.
        """
        (x, y), (width, height) = location, size
        query = {"x": x, "y": y, "level": level, "width": width, "height": height, "format": "raw"}
        if icc != "none":
            query["icc"] = icc
        pixels = self.region(image, **query)
        if len(pixels) != 3 * width * height:
            raise RequestError("the response of %s has %d bytes instead of %d x %d pixels" % (self.url, len(pixels), width, height))
        return Region(width, height, pixels)

    def region(self, image, **query):
        """Returns a region of an image as the server encodes it: JPEG, unless format is given.

        query: the parameters of the route, such as x, y, w, h, mpp, width, format and icc.
        """
        path = "/api/v1/images/%s/region" % urllib.parse.quote(str(image), safe="")
        if query:
            path += "?" + urllib.parse.urlencode(query)
        return self._send("GET", path, {}, None, MAX_REGION)

    def request(self, method, path, body=None):
        """Sends a request and returns the response's JSON document, None if it is empty.

        Raises UnavailableError if the same request may succeed later, otherwise
        RequestError.
        """
        headers = {"Accept": "application/json"}
        data = None
        if body is not None:
            data = json.dumps(body).encode()
            headers["Content-Type"] = "application/json"
        content = self._send(method, path, headers, data, MAX_RESPONSE)
        return _decode(self.url, content)

    @property
    def version(self):
        """The version of the server."""
        response = self._exchange(self._pool, "GET", "/healthz", {}, None, MAX_RESPONSE)
        return response.headers.get("Ptiffstore-Version", "unknown")

    def close(self):
        """Closes idle connections. The server can still be used."""
        for pool in [self._pool, *self._elsewhere.values()]:
            pool.close()

    def __enter__(self):
        return self

    def __exit__(self, *args):
        self.close()

    def _send(self, method, path, headers, data, limit):
        """Returns the complete content of a response."""
        return self._respond(method, path, headers, data, limit).content

    def _respond(self, method, path, headers, data, limit):
        """Returns a complete response with a status below 300.

        A request that only reads is sent again while the server is unavailable.
        """
        tries = 1 + (self._retries if method in ("GET", "HEAD") else 0)
        for attempt in range(tries):
            try:
                return self._authorized(method, path, headers, data, limit)
            except UnavailableError as error:
                if attempt == tries - 1:
                    raise
                time.sleep(_pause(attempt, error.retry_after))

    def _authorized(self, method, path, headers, data, limit):
        """Sends a request with the token, and once more with a new one if it has expired."""
        token = self._token
        try:
            return self._follow(method, path, dict(headers, **_bearer(token)), data, limit)
        except RequestError as error:
            if error.status != 401 or self._new_token is None:
                raise
            if self._token == token:  # another thread may have got a new one
                self._token = _checked_token(self._new_token())
        return self._follow(method, path, dict(headers, **_bearer(self._token)), data, limit)

    def _follow(self, method, path, headers, data, limit):
        """Sends a request, and follows a redirect to the tile server that has the slide.

        The address of the redirect contains its own permission, so the token is not sent there.
        """
        response = self._exchange(self._pool, method, path, headers, data, limit)
        location = response.headers.get("Location", "")
        if response.status != 307 or method not in ("GET", "HEAD") or "://" not in location:
            return self._accepted(response)
        parts = urllib.parse.urlsplit(location)
        if parts.scheme not in ("http", "https") or not parts.hostname or (self.url.startswith("https:") and parts.scheme != "https"):
            return self._accepted(response)
        origin = "%s://%s" % (parts.scheme, parts.netloc)
        if origin not in self._elsewhere and len(self._elsewhere) < 100:
            self._elsewhere[origin] = Pool(origin, self._timeout)
        pool = self._elsewhere.get(origin) or Pool(origin, self._timeout)
        target = parts.path + ("?" + parts.query if parts.query else "")
        headers = {name: value for name, value in headers.items() if name != "Authorization"}
        return self._accepted(self._exchange(pool, method, target, headers, data, limit))

    def _accepted(self, response):
        if response.status >= 300:
            raise _refusal(response)
        return response

    def _exchange(self, pool, method, path, headers, data, limit):
        """Returns a complete response, whatever its status."""
        try:
            response = pool.request(method, path, headers, data, limit)
        except (OSError, http.client.HTTPException) as error:
            raise UnavailableError("cannot reach %s: %s" % (self.url, error or type(error).__name__)) from error
        if len(response.content) + response.missing > limit:
            raise RequestError("the response of %s is larger than %d MB" % (self.url, limit >> 20))
        if response.missing and method != "HEAD":
            raise UnavailableError("the response of %s is incomplete: %d bytes are missing" % (self.url, response.missing))
        return response


def _checked_token(token):
    token = (os.environ.get("PTIFFSTORE_TOKEN", "") if token is None else token).strip()
    if any(not 0x21 <= ord(c) <= 0x7E for c in token):
        raise ValueError("invalid API token: it contains characters that tokens do not have")
    return token


def _bearer(token):
    return {"Authorization": "Bearer " + token} if token else {}


def _pause(attempt, retry_after):
    """Returns how long to wait before another attempt, in seconds.

    Programs that were refused at the same time do not come back at the same time.
    """
    pause = min(0.25 * 2 ** attempt, 15) * random.uniform(0.75, 1.25)
    return pause if retry_after is None else max(pause if retry_after else 0, min(retry_after, 60))


def _decode(url, content):
    if not content:
        return None
    try:
        return json.loads(content)
    except ValueError:
        raise RequestError("the response of %s is not JSON: PTIFFSTORE_URL may be the address of another program" % url) from None


def _refusal(response):
    """Returns the exception for a response with an error status."""
    status = response.status
    if 300 <= status < 400:
        location = response.headers.get("Location", "another address")
        return RequestError("the server redirects to %s: use the address of the server that it belongs to" % location.split("?")[0], status)
    try:
        problem = json.loads(response.content)
        message = problem.get("detail") or problem.get("title")
    except (ValueError, AttributeError):
        message = None
    message = message or "the server responded with status %d" % status
    # 502 of the server itself means that the file is damaged there; that of a proxy that the
    # server is not running.
    if status in (429, 503, 504) or status == 502 and "problem+json" not in response.headers.get("Content-Type", ""):
        try:
            retry_after = float(response.headers.get("Retry-After"))
        except (TypeError, ValueError):
            retry_after = None
        return UnavailableError(message, status, retry_after)
    return RequestError(message, status)
