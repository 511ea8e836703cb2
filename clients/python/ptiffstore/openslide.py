"""The names of openslide-python, for programs that were written for it.

Replace "import openslide" by "from ptiffstore import openslide". Slides are then named by
their id, or by the address of their page, instead of by a path. The environment variables
PTIFFSTORE_URL and PTIFFSTORE_TOKEN name the server and an API token.
"""

import threading
import urllib.parse

from ptiffstore.client import Client
from ptiffstore.server import RequestError, __version__
from ptiffstore.slide import MPP_X, MPP_Y, OBJECTIVE_POWER, VENDOR, Slide

__all__ = ["OpenSlide", "OpenSlideError", "OpenSlideUnsupportedFormatError", "open_slide"]

PROPERTY_NAME_VENDOR = VENDOR
PROPERTY_NAME_MPP_X = MPP_X
PROPERTY_NAME_MPP_Y = MPP_Y
PROPERTY_NAME_OBJECTIVE_POWER = OBJECTIVE_POWER

OpenSlideError = RequestError


class OpenSlideUnsupportedFormatError(RequestError):
    """Declared for programs that catch it: a server has no slides of unsupported formats."""


_lock = threading.Lock()
_clients = {}  # by address; None is the server of the environment


def _client(url=None):
    with _lock:
        if url not in _clients:
            _clients[url] = Client(url)
        return _clients[url]


class OpenSlide(Slide):
    """A slide of the server of the environment.

    name: the id of the image, or the address of its page, such as
        https://slides.example.org/slides/ID.
    """

    def __init__(self, name):
        server, image = _client(), str(name)
        if image.startswith(("http://", "https://")):
            page = urllib.parse.urlsplit(image)
            base, found, rest = page.path.partition("/slides/")
            if not found:
                raise RequestError("%s is not the address of a slide: it has the form https://HOST/slides/ID" % image.split("?")[0])
            image = rest.split("/")[0]
            url = "%s://%s%s" % (page.scheme, page.netloc, base)
            # The token of the environment is for one server.
            if url != server.url:
                raise RequestError("%s is not on the server %s that PTIFFSTORE_URL names" % (url, server.url))
        super().__init__(server, server.image(image))

    @classmethod
    def detect_format(cls, name):
        """Returns the vendor of a slide, None if there is no such slide."""
        try:
            return cls(name).properties.get(VENDOR, "generic-tiff")
        except RequestError as error:
            if error.status in (403, 404):
                return None
            raise


def open_slide(name):
    """Returns the slide of an id or an address."""
    return OpenSlide(name)
