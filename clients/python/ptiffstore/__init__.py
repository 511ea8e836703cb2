"""Client of ptiffstore, a server for whole-slide images."""

from ptiffstore.server import RequestError, Server, UnavailableError

__all__ = ["RequestError", "Server", "UnavailableError"]
