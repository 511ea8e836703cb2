"""Uploads by the tus protocol."""

import base64
import hashlib
import os
import time
import urllib.parse

from ptiffstore.server import MAX_RESPONSE, RequestError, UnavailableError

_UPLOADS = "/api/v1/uploads"

# Bytes that are sent with one request, which has their checksum.
_CHUNK = 16 << 20

# How long an upload continues while the server is unreachable or refuses parts, in seconds.
_PERSIST = 600

# Statuses after which the same part may be accepted: another request is writing to the upload,
# the checksum differs, the disk is full.
_LATER = (408, 409, 423, 460, 507)


class UploadError(RequestError):
    """The server did not accept the file, or the file changed while it was sent."""


class Upload:
    """The upload of one file."""

    def __init__(self, server, path, store, name, progress):
        self._server = server
        self._path = os.fspath(path)
        self._store = store
        self._name = name or os.path.basename(self._path)
        self._progress = progress or (lambda sent, size: None)

    def send(self, wait):
        """Sends the file, and returns the upload as the API describes it."""
        with open(self._path, "rb") as file:
            stat = os.fstat(file.fileno())
            self._size, self._modified = stat.st_size, "%d" % stat.st_mtime_ns
            self._digest = _digest(file)
            location = self._send_all(file)
            after = os.fstat(file.fileno())
            if (after.st_size, after.st_mtime_ns) != (stat.st_size, stat.st_mtime_ns):
                raise UploadError("%s changed while it was sent" % self._path)
        return self._verdict(location, wait)

    def _begun(self):
        """Returns the path of an upload of this file that was interrupted, None if there is none."""
        for upload in self._server.items(_UPLOADS, store=self._store, state="uploading"):
            if (upload.get("sent_as"), upload.get("length"), upload.get("modified")) == (self._name, self._size, self._modified):
                return _UPLOADS + "/" + urllib.parse.quote(upload["id"], safe="")
        return None

    def _create(self):
        metadata = {"store": self._store, "filename": self._name, "modified": self._modified, "sha256": self._digest}
        response = self._request("POST", _UPLOADS, {
            "Upload-Length": str(self._size),
            "Upload-Metadata": ",".join("%s %s" % (key, base64.b64encode(value.encode()).decode()) for key, value in metadata.items()),
        })
        return urllib.parse.urlsplit(response.headers["Location"]).path

    def _send_all(self, file):
        """Sends parts until the server has all of them, and returns the path of the upload."""
        location, offset, attempt, since = None, None, 0, time.monotonic()
        while offset != self._size:
            try:
                if location is None:
                    location = self._begun() or self._create()
                if offset is None:
                    offset = int(self._request("HEAD", location, {}).headers["Upload-Offset"])
                else:
                    offset = self._send_part(file, location, offset)
                attempt, since = 0, time.monotonic()
                self._progress(offset, self._size)
            except RequestError as error:
                again = isinstance(error, UnavailableError) or error.status in _LATER
                if not again or time.monotonic() - since > _PERSIST:
                    raise
                offset, attempt = None, attempt + 1
                time.sleep(min(getattr(error, "retry_after", None) or 0.25 * 2 ** attempt, 15))
        return location

    def _send_part(self, file, location, offset):
        file.seek(offset)
        part = file.read(_CHUNK)
        if not part:
            raise UploadError("%s became shorter while it was sent" % self._path)
        try:
            response = self._request("PATCH", location, {
                "Upload-Offset": str(offset), "Content-Type": "application/offset+octet-stream",
                "Upload-Checksum": "sha256 " + base64.b64encode(hashlib.sha256(part).digest()).decode(),
            }, part)
        except RequestError as error:
            if error.status == 422:
                raise UploadError(str(error), 422) from None
            raise
        return int(response.headers["Upload-Offset"])

    def _verdict(self, location, wait):
        """Waits until the server has inspected the file."""
        ends = time.monotonic() + wait
        while True:
            upload = self._server.get(location)
            if upload["state"] == "refused":
                raise UploadError(upload.get("reason") or "the server refused the file")
            if upload.get("verdict") and (upload["verdict"] != "slide" or upload.get("image")) or time.monotonic() > ends:
                return upload
            time.sleep(0.25)

    def _request(self, method, path, headers, body=None):
        return self._server._respond(method, path, dict(headers, **{"Tus-Resumable": "1.0.0"}), body, MAX_RESPONSE)


def _digest(file):
    """Returns the SHA-256 of a file, in hexadecimal."""
    sha256 = hashlib.sha256()
    while True:
        part = file.read(1 << 20)
        if not part:
            return sha256.hexdigest()
        sha256.update(part)
