"""An S3 server for tests, in memory: moto, with its writes one after the other.

    python tests/clients/s3_server.py BUCKET ACCESS-KEY

Prints `s3 listens on http://127.0.0.1:PORT` and ends when standard input closes. moto looks whether an object is there
and writes it in two steps; the lock makes `If-None-Match: *` as atomic as S3 makes it. Requests of another access key
are refused; signatures are not checked.
"""

import io
import logging
import os
import re
import sys
import threading

import boto3
from moto.server import DomainDispatcherApplication, MotoRequestHandler, create_backend_app
from werkzeug.serving import make_server

CREDENTIAL = re.compile(r"Credential=([^/,\s]+)/")
DENIED = b"<?xml version='1.0'?><Error><Code>InvalidAccessKeyId</Code><Message>another access key</Message></Error>"


class OneWriteAtATime:
    def __init__(self, application, access_key):
        self.application = application
        self.access_key = access_key
        self.lock = threading.Lock()

    def __call__(self, environ, start_response):
        credential = CREDENTIAL.search(environ.get("HTTP_AUTHORIZATION", ""))
        if credential is None or credential.group(1) != self.access_key:
            start_response("403 Forbidden", [("Content-Type", "application/xml"), ("Content-Length", str(len(DENIED)))])
            return [DENIED]
        if environ["REQUEST_METHOD"] in ("GET", "HEAD"):
            return self.application(environ, start_response)
        # The body first: a slow client holds up nobody.
        length = int(environ.get("CONTENT_LENGTH") or 0)
        if length:
            environ["wsgi.input"] = io.BytesIO(environ["wsgi.input"].read(length))
        with self.lock:
            return list(self.application(environ, start_response))


def main():
    bucket, access_key = sys.argv[1:]
    logging.getLogger("werkzeug").setLevel(logging.ERROR)
    # Connections stay open: a new one for each request costs more than the request.
    MotoRequestHandler.protocol_version = "HTTP/1.1"
    application = OneWriteAtATime(DomainDispatcherApplication(create_backend_app), access_key)
    server = make_server("127.0.0.1", 0, application, threaded=True, request_handler=MotoRequestHandler)
    endpoint = f"http://127.0.0.1:{server.server_port}"
    threading.Thread(target=server.serve_forever, name="s3", daemon=True).start()
    client = boto3.client(
        "s3", endpoint_url=endpoint, aws_access_key_id=access_key, aws_secret_access_key="any", region_name="us-east-1"
    )
    client.create_bucket(Bucket=bucket)
    print(f"s3 listens on {endpoint}", flush=True)
    sys.stdin.buffer.read()
    os._exit(0)


if __name__ == "__main__":
    main()
