#!/usr/bin/env bash
# tritonclient 2.73.0: the HTTP client's infer writes into the dict of headers that it is given.
#
# A request with binary tensors adds "Inference-Header-Content-Length", an int, to the caller's own dict. Given to the
# gRPC client next, as one does with a dict that holds a token, the call ends with TypeError: "Expected str, not
# <class 'int'>".
#
# Seen with tritonclient 2.73.0 against a local server that answers one fixed response. Exit code 1 if that changes.
set -euo pipefail
work="$(mktemp -d)"
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet "tritonclient[http]==2.73.0"
"$work/venv/bin/python" - <<'PYTHON'
import json
import threading
from http.server import BaseHTTPRequestHandler, HTTPServer

import numpy as np
import tritonclient.http

OUTPUT = {"name": "y", "datatype": "FP64", "shape": [1], "data": [1.0]}


class Answer(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_POST(self):
        self.rfile.read(int(self.headers["Content-Length"]))
        body = json.dumps({"model_name": "m", "outputs": [OUTPUT]}).encode()
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_):
        pass


server = HTTPServer(("127.0.0.1", 0), Answer)
threading.Thread(target=server.serve_forever, daemon=True).start()
headers = {"authorization": "Bearer x"}
given = tritonclient.http.InferInput("x", [1], "FP64")
given.set_data_from_numpy(np.array([1.0]))
with tritonclient.http.InferenceServerClient(f"127.0.0.1:{server.server_port}") as client:
    client.infer("m", [given], headers=headers)
print("the caller's headers after one infer:", headers)
raise SystemExit(0 if len(headers) > 1 else 1)
PYTHON
