"""Client of ptiffstore, a server for whole-slide images.

>>> import ptiffstore
>>> client = ptiffstore.Client("https://slides.example.org", token="…")
>>> with client.slide("qsnnj3jsmaxmvynku2dkpf2smi") as slide:
...     picture = slide.read_region((4096, 2048), 0, (512, 512))
"""

from ptiffstore.client import Client
from ptiffstore.region import Region
from ptiffstore.server import ChangedError, RequestError, Server, UnavailableError, VersionError, __version__
from ptiffstore.slide import Slide
from ptiffstore.upload import UploadError

__all__ = [
    "ChangedError", "Client", "Region", "RequestError", "Server", "Slide", "UnavailableError", "UploadError", "VersionError",
    "__version__",
]
