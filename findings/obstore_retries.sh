#!/usr/bin/env bash
# How long do obstore's retries outlast a server that answers 503 (SlowDown)?
#
# Guess written down beforehand: with the defaults (max_retries 10, retry_timeout 180 s, "exponential backoff" with
# init_backoff 0.1 s, base 2, max_backoff 15 s) the ten pauses are 0.1, 0.2, 0.4 ... 15 s, 56 s in all: an outage of
# half a minute is outlasted.
#
# Seen with obstore 0.12.1 on Linux x86-64, Python 3.11: 11 requests within 1.8 to 3.6 s, then the error, whose text
# says "after 10 retries, max_retries: 10, retry_timeout: 180s". With max_retries=40 it
# took 14 s, and no pause was longer than 1.1 s.
#
# Why: a pause is drawn evenly between init_backoff and base * the last pause ("decorrelated jitter"). With base 2 its
# mean is last + init_backoff / 2, so that pauses grow by 0.05 s a time, not twofold, and max_backoff is never met.
# With base 3 or more the mean grows by base / 2 a time: base=4 took 133 s for 15 retries, max_backoff included.
#
# Exits 0 while that is so, 1 if ten retries outlast 15 s or are no ten any more.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install -q obstore==0.12.1
"$folder/venv/bin/python" - <<'PYTHON'
import sys
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import obstore
from obstore.store import S3Store

asked = []


class Busy(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_GET(self):
        asked.append(time.monotonic())
        body = b"<Error><Code>SlowDown</Code><Message>Please reduce your request rate.</Message></Error>"
        self.send_response(503)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_):
        pass


server = ThreadingHTTPServer(("127.0.0.1", 0), Busy)
threading.Thread(target=server.serve_forever, daemon=True).start()
store = S3Store(
    "bucket",
    endpoint=f"http://127.0.0.1:{server.server_port}",
    region="us-east-1",
    access_key_id="key",
    secret_access_key="secret",
    client_options={"allow_http": True},
)
longest = 0.0
for _ in range(3):
    asked.clear()
    try:
        obstore.get(store, "object")
    except Exception as error:
        print(str(error).splitlines()[0][-150:])
    pauses = [later - earlier for earlier, later in zip(asked, asked[1:])]
    print(f"{len(asked)} requests, {sum(pauses):.1f} s:", " ".join(f"{pause:.2f}" for pause in pauses))
    longest = max(longest, sum(pauses))
    if len(asked) != 11:
        sys.exit("the number of retries changed")
sys.exit("ten retries take as long as their settings suggest" if longest > 15 else 0)
PYTHON
