"""Requests to the API of a server."""

import http.client
import json
import os
import urllib.error
import urllib.parse
import urllib.request

from ptiffstore.region import Region

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


class _NoRedirect(urllib.request.HTTPRedirectHandler):
    """Leaves redirects to the caller: urllib would send the token to any host."""

    def redirect_request(self, req, fp, code, msg, headers, newurl):
        return None


class Server:
    """A server.

    url: its address; by default PTIFFSTORE_URL of the environment.
    token: an API token; by default PTIFFSTORE_TOKEN of the environment. Servers
        without access control need none.
    timeout: seconds after which a request without a response fails.
    """

    def __init__(self, url=None, token=None, timeout=30):
        url = url or os.environ.get("PTIFFSTORE_URL") or DEFAULT_URL
        parts = urllib.parse.urlsplit(url)
        if parts.scheme not in ("http", "https") or not parts.hostname or parts.query or parts.fragment or "@" in parts.netloc:
            raise ValueError("invalid URL of the server: it begins with http:// or https:// and has no user, query or fragment")
        self.url = url.rstrip("/")
        self._token = (os.environ.get("PTIFFSTORE_TOKEN", "") if token is None else token).strip()
        if any(not 0x21 <= ord(c) <= 0x7E for c in self._token):
            raise ValueError("invalid API token: it contains characters that tokens do not have")
        self._timeout = timeout
        self._opener = urllib.request.build_opener(_NoRedirect)

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

    def _send(self, method, path, headers, data, limit):
        """Returns the complete content of a response."""
        if self._token:
            headers["Authorization"] = "Bearer " + self._token
        request = urllib.request.Request(self.url + path, data=data, headers=headers, method=method)
        try:
            with self._opener.open(request, timeout=self._timeout) as response:
                # Python before 3.10 allocates as much as read is asked for.
                content = response.read(limit + 1 if response.length is None else min(response.length, limit) + 1)
                # read with a limit does not report a connection that ended early.
                missing = response.length or 0
        except urllib.error.HTTPError as error:
            with error:
                raise _refusal(error) from None
        except (OSError, http.client.HTTPException) as error:
            reason = getattr(error, "reason", error)
            raise UnavailableError("cannot reach %s: %s" % (self.url, reason)) from error
        if len(content) + missing > limit:
            raise RequestError("the response of %s is larger than %d MB" % (self.url, limit >> 20))
        if missing:
            raise UnavailableError("the response of %s is incomplete: %d bytes are missing" % (self.url, missing))
        return content


def _decode(url, content):
    if not content:
        return None
    try:
        return json.loads(content)
    except ValueError:
        raise RequestError("the response of %s is not JSON: PTIFFSTORE_URL may be the address of another program" % url) from None


def _refusal(error):
    """Returns the exception for a response with an error status."""
    if 300 <= error.code < 400:
        location = error.headers.get("Location", "another address")
        return RequestError("the server redirects to %s: use the address of the server that it belongs to" % location, error.code)
    try:
        problem = json.loads(error.read(1 << 20))
        message = problem.get("detail") or problem.get("title")
    except (OSError, http.client.HTTPException, ValueError, AttributeError):
        message = None
    message = message or "the server responded with status %d" % error.code
    if error.code in (429, 502, 503, 504):
        try:
            retry_after = float(error.headers.get("Retry-After"))
        except (TypeError, ValueError):
            retry_after = None
        return UnavailableError(message, error.code, retry_after)
    return RequestError(message, error.code)
