#!/usr/bin/env bash
# Ray 2.60.0: with usage statistics off and no dashboard asked for, a start still asks the metadata services of three
# clouds on which machine it runs.
#
# RAY_USAGE_STATS_ENABLED=0 and include_dashboard=False leave the process of the dashboard running with its minimal
# modules. The one for usage statistics looks the cloud up before it looks at the switch. On a machine of no cloud these
# are a connection to a link-local address and queries of DNS at each start, which a network that lets nothing out shows
# as violations, each waited for up to a second.
#
# Seen with ray 2.60.0, through a proxy on loopback that notes what it is asked for: one request each for the metadata
# of Azure, GCP and AWS. Exit code 1 if that changes.
set -euo pipefail
work="$(mktemp -d)"
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet ray==2.60.0
RAY_TMPDIR="$work" "$work/venv/bin/python" - <<'PYTHON'
import http.server
import os
import subprocess
import sys
import threading
import time

asked: list[str] = []


class Proxy(http.server.BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        asked.append(self.path)
        self.send_error(404)

    def log_message(self, *_: object) -> None:
        """Print nothing."""


proxy = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Proxy)
threading.Thread(target=proxy.serve_forever, daemon=True).start()
address = f"http://127.0.0.1:{proxy.server_port}"
environment = {
    **{name: value for name, value in os.environ.items() if "proxy" not in name.lower()},
    "RAY_USAGE_STATS_ENABLED": "0",
    "http_proxy": address,
    "HTTP_PROXY": address,
    "no_proxy": "127.0.0.1,localhost",
}
start = "import ray, time; ray.init(num_cpus=1, include_dashboard=False, _node_ip_address='127.0.0.1'); time.sleep(600)"
ray = subprocess.Popen([sys.executable, "-c", start], env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
try:
    deadline = time.monotonic() + 90
    while len(asked) < 3 and time.monotonic() < deadline and ray.poll() is None:
        time.sleep(0.5)
finally:
    ray.terminate()
    ray.wait(30)
for url in asked:
    print("asked for", url)
expected = ["/metadata/instance", "/computeMetadata/v1", "/latest/meta-data/"]
sys.exit([next((part for part in expected if part in url), None) for url in asked] != expected)
PYTHON
echo "ray 2.60.0, usage statistics off: the metadata of three clouds was asked for"
