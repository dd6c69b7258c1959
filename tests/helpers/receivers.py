"""Servers on the loopback that alerts are sent to: a mail server and an HTTP server that keep what they get."""

from __future__ import annotations

import base64
import json
import socket
import socketserver
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from email import message_from_bytes, policy
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

HOST = "127.0.0.1"


class MailServer(socketserver.ThreadingTCPServer):
    """Speaks as much SMTP as a client needs; ``mails`` holds what came, as (subject, text, recipients)."""

    allow_reuse_address = True
    daemon_threads = True

    def __init__(self, port: int = 0) -> None:
        super().__init__((HOST, port), _Session)
        self.mails: list[tuple[str, str, list[str]]] = []
        self.logins: list[str] = []
        self.refuses_login = False

    @property
    def address(self) -> str:
        """Address for ``AIMASS_ALERT_MAIL``."""
        port = self.server_address[1]
        return f"mailto://monitor:s3cret-Pass@{HOST}:{port}/?smtp={HOST}&mode=insecure&from=a@example.com&to=ops@example.com"


class _Session(socketserver.StreamRequestHandler):
    server: MailServer

    def handle(self) -> None:
        self._say("220 here")
        recipients: list[str] = []
        while line := self.rfile.readline():
            word, _, rest = line.decode().strip().partition(" ")
            if word.upper() == "EHLO":
                self._say("250-here\r\n250 AUTH PLAIN")
            elif word.upper() == "AUTH":
                self.server.logins.append(base64.b64decode(rest.split()[-1]).decode().replace("\0", " ").strip())
                self._say("535 no: s3cret-Pass" if self.server.refuses_login else "235 welcome")
            elif word.upper() == "RCPT":
                recipients.append(rest.partition(":")[2].split(">")[0].strip("<> "))
                self._say("250 ok")
            elif word.upper() == "DATA":
                self._say("354 go on")
                lines = []
                while (part := self.rfile.readline()) not in (b".\r\n", b""):
                    lines.append(part.removeprefix(b".") if part.startswith(b"..") else part)
                mail: Any = message_from_bytes(b"".join(lines), policy=policy.default)
                self.server.mails.append((mail["subject"], mail.get_body(("plain",)).get_content(), recipients))
                recipients = []
                self._say("250 kept")
            elif word.upper() == "QUIT":
                self._say("221 bye")
                return
            else:
                self._say("250 ok")

    def _say(self, text: str) -> None:
        self.wfile.write(f"{text}\r\n".encode())


class WebServer(ThreadingHTTPServer):
    """Keeps what is posted, as (path, headers, JSON); answers ``status``."""

    daemon_threads = True

    def __init__(self, port: int = 0) -> None:
        super().__init__((HOST, port), _Request)
        self.posts: list[tuple[str, dict[str, str], Any]] = []
        self.status = 200

    @property
    def address(self) -> str:
        """Its own address."""
        return f"http://{HOST}:{self.server_address[1]}"


class _Request(BaseHTTPRequestHandler):
    server: WebServer

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        if self.server.status < 400:
            self.server.posts.append((self.path, dict(self.headers), json.loads(body)))
        self.send_response(self.server.status)
        self.end_headers()
        self.wfile.write(f"{self.server.status} for {self.path}".encode())

    def log_message(self, *_: Any) -> None:
        """Say nothing."""


@contextmanager
def serving(server: Any) -> Iterator[Any]:
    """Serve until the block ends."""
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
    thread.start()
    try:
        yield server
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


@contextmanager
def hanging() -> Iterator[str]:
    """Yield host and port of a server that takes connections and never says anything."""
    with socket.create_server((HOST, 0)) as listening:
        yield f"{HOST}:{listening.getsockname()[1]}"


def refused() -> str:
    """Return host and port where nobody listens."""
    with socket.create_server((HOST, 0)) as listening:
        return f"{HOST}:{listening.getsockname()[1]}"
