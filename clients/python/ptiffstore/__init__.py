"""Client of ptiffstore, a server for whole-slide images."""

from ptiffstore.region import Region
from ptiffstore.server import RequestError, Server, UnavailableError

__all__ = ["Region", "RequestError", "Server", "UnavailableError"]
