"""A tiny object store on 127.0.0.1 that speaks enough of S3 for reading: list, head, get with ranges."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from email.utils import format_datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qs, unquote, urlsplit
from xml.sax.saxutils import escape


@dataclass
class Store:
    """Buckets and what was asked of them."""

    url: str = ""
    objects: dict[str, tuple[bytes, datetime]] = field(default_factory=dict)
    """``bucket/key`` → content and time of change."""
    read: list[str] = field(default_factory=list)
    """Keys whose content was sent, in order."""
    refuse: bool = False

    def put(self, path: str, content: bytes, day: int = 1) -> None:
        """Store an object."""
        self.objects[path] = (content, datetime(2026, 1, day, tzinfo=UTC))


@contextmanager
def s3_server() -> Iterator[Store]:
    """Serve a store until the end of the block."""
    store = Store()

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def log_message(self, *_: object) -> None:
            """Say nothing."""

        def respond(self, status: int, body: bytes = b"", **headers: str) -> None:
            self.send_response(status)
            length = headers.pop("length", str(len(body)))
            for name, value in headers.items():
                self.send_header(name.replace("_", "-"), value)
            self.send_header("Content-Length", length)
            self.end_headers()
            if self.command != "HEAD":
                self.wfile.write(body)

        def do_HEAD(self) -> None:
            self.do_GET()

        def do_GET(self) -> None:
            address = urlsplit(self.path)
            path = unquote(address.path).strip("/")
            asked = parse_qs(address.query, keep_blank_values=True)
            if store.refuse:
                self.respond(403, b"<Error><Code>AccessDenied</Code><Message>no</Message></Error>")
            elif "list-type" in asked:
                self.respond(200, listing(store, path, asked).encode(), Content_Type="application/xml")
            elif path in store.objects:
                self.send_object(path)
            elif "/" not in path and any(key.startswith(path + "/") for key in store.objects):
                self.respond(200)
            else:
                self.respond(404, b"<Error><Code>NoSuchKey</Code><Message>none</Message></Error>")

        def send_object(self, path: str) -> None:
            content, changed = store.objects[path]
            facts = {"Last_Modified": format_datetime(changed, usegmt=True), "ETag": '"x"', "Accept_Ranges": "bytes"}
            span = self.headers.get("Range", "")
            if self.command == "HEAD":
                self.respond(200, length=str(len(content)), **facts)
                return
            store.read.append(path)
            if span.startswith("bytes="):
                first, last = span.removeprefix("bytes=").split("-")
                end = min(int(last or len(content)), len(content) - 1)
                where = f"bytes {first}-{end}/{len(content)}"
                self.respond(206, content[int(first) : end + 1], Content_Range=where, **facts)
            else:
                self.respond(200, content, **facts)

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    store.url = f"http://127.0.0.1:{server.server_port}"
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield store
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def listing(store: Store, bucket: str, asked: dict[str, list[str]]) -> str:
    """Return the XML of ListObjectsV2."""
    prefix = asked.get("prefix", [""])[0]
    delimiter = asked.get("delimiter", [""])[0]
    entries, folders = [], set()
    for path, (content, changed) in sorted(store.objects.items()):
        key = path.removeprefix(bucket + "/")
        if key == path or not key.startswith(prefix):
            continue
        rest = key.removeprefix(prefix)
        if delimiter and delimiter in rest:
            folders.add(prefix + rest.split(delimiter)[0] + delimiter)
            continue
        entries.append(
            f"<Contents><Key>{escape(key)}</Key><LastModified>{changed:%Y-%m-%dT%H:%M:%S.000Z}</LastModified>"
            f"<ETag>x</ETag><Size>{len(content)}</Size></Contents>"
        )
    entries += [f"<CommonPrefixes><Prefix>{escape(folder)}</Prefix></CommonPrefixes>" for folder in sorted(folders)]
    return (
        '<?xml version="1.0"?><ListBucketResult xmlns="http://s3.amazonaws.com/doc/2006-03-01/">'
        f"<Name>{escape(bucket)}</Name><Prefix>{escape(prefix)}</Prefix><KeyCount>{len(entries)}</KeyCount>"
        f"<MaxKeys>1000</MaxKeys><IsTruncated>false</IsTruncated>{''.join(entries)}</ListBucketResult>"
    )
