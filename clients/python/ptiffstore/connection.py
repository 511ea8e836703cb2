"""Connections to a server, which several threads share."""

import base64
import http.client
import socket
import ssl
import threading
import urllib.parse
import urllib.request


class Response:
    """A complete response: status, headers and content."""

    def __init__(self, status, headers, content, missing):
        self.status = status
        self.headers = headers
        self.content = content
        self.missing = missing  # bytes that the server announced and did not send


class Pool:
    """Keeps connections to one server open between requests.

    url: the address of the server.
    timeout: seconds after which a request without a response fails.
    connections: how many idle connections are kept. More may be in use.
    """

    def __init__(self, url, timeout, connections=8):
        self._idle = []
        self._lock = threading.Lock()
        parts = urllib.parse.urlsplit(url)
        self._scheme = parts.scheme
        self._host = parts.hostname
        self._port = parts.port or (443 if parts.scheme == "https" else 80)
        self._base = parts.path.rstrip("/")
        self._timeout = timeout
        self._keep = connections
        self._tls = ssl.create_default_context() if parts.scheme == "https" else None
        self._proxy = self._find_proxy(parts.netloc)

    def _find_proxy(self, netloc):
        """Returns the proxy of the environment for this server, None if there is none."""
        proxy = urllib.request.getproxies().get(self._scheme)
        if not proxy or urllib.request.proxy_bypass(netloc):
            return None
        return urllib.parse.urlsplit(proxy if "://" in proxy else "http://" + proxy)

    def close(self):
        """Closes the idle connections."""
        with self._lock:
            idle, self._idle = self._idle, []
        for connection in idle:
            connection.close()

    def __del__(self):
        self.close()

    def request(self, method, path, headers, body, limit):
        """Sends a request and returns the Response.

        It reads at most limit bytes of the content and one more. Raises OSError or
        http.client.HTTPException if there is no response.
        """
        # The server may have closed an idle connection, so a request that may be sent twice is
        # sent again. Others get a connection of their own.
        reused = self._take() if method in ("GET", "HEAD") else None
        if reused is not None:
            try:
                return self._exchange(reused, method, path, headers, body, limit)
            except (http.client.BadStatusLine, ConnectionError):
                pass
        return self._exchange(self._connect(), method, path, headers, body, limit)

    def _take(self):
        with self._lock:
            return self._idle.pop() if self._idle else None

    def _connect(self):
        host, port = self._host, self._port
        if self._proxy is not None:
            host, port = self._proxy.hostname, self._proxy.port or 8080
        if self._tls is None:
            return http.client.HTTPConnection(host, port, timeout=self._timeout)
        connection = http.client.HTTPSConnection(host, port, timeout=self._timeout, context=self._tls)
        if self._proxy is not None:
            connection.set_tunnel(self._host, self._port, self._proxy_login())
        return connection

    def _proxy_login(self):
        if not self._proxy.username:
            return {}
        login = urllib.parse.unquote(self._proxy.username) + ":" + urllib.parse.unquote(self._proxy.password or "")
        return {"Proxy-Authorization": "Basic " + base64.b64encode(login.encode()).decode()}

    def _exchange(self, connection, method, path, headers, body, limit):
        target = self._base + path
        if self._proxy is not None and self._tls is None:
            target = "http://%s:%d%s" % (self._host, self._port, target)
            headers = dict(headers, **self._proxy_login())
        try:
            connection.request(method, target, body=body, headers=headers)
            if connection.sock is not None:
                connection.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            response = connection.getresponse()
            # Python before 3.10 allocates as much as read is asked for.
            content = response.read(limit + 1 if response.length is None else min(response.length, limit) + 1)
            # read with a limit does not report a connection that ended early.
            missing = response.length or 0
        except BaseException:
            connection.close()
            raise
        with self._lock:
            keep = response.isclosed() and not response.will_close and len(self._idle) < self._keep
            if keep:
                self._idle.append(connection)
        if not keep:
            connection.close()
        return Response(response.status, response.headers, content, missing)
