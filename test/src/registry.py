"""A registry that has one image, for whoever pulls from 127.0.0.1.

    registry.py ARCHIVE PORT

ARCHIVE is an OCI image layout in a tar archive; the image has whatever name and
tag it is asked for by. OCI distribution specification 1.1, "Pull".
"""

import json
import sys
import tarfile
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


def read(path):
    """The layout's blobs by their digests, and the descriptor of its image."""
    blobs = {}
    with tarfile.open(path) as archive:
        for member in archive.getmembers():
            if member.name.startswith("blobs/"):
                digest = member.name.removeprefix("blobs/").replace("/", ":")
                blobs[digest] = archive.extractfile(member).read()
        index = json.load(archive.extractfile("index.json"))
    return blobs, index["manifests"][0]


class Registry(BaseHTTPRequestHandler):
    """Answers for `blobs` and `image` (see `read`), which a subclass has."""

    def do_HEAD(self):
        """The headers of what `do_GET` answers."""
        self.answer(with_body=False)

    def do_GET(self):
        """A manifest or a blob."""
        self.answer(with_body=True)

    def answer(self, with_body):
        kind, _, name = self.path.partition("?")[0].rpartition("/")
        is_manifest = kind.endswith("/manifests")
        digest = name if name in self.blobs else self.image["digest"] * is_manifest
        body = self.blobs.get(digest)
        if body is None:
            # "/v2/" itself, by which a client asks whether this is a registry.
            self.send_response(200 if self.path == "/v2/" else 404)
            self.send_header("Content-Length", "0")
            self.end_headers()
            return
        media_type = self.image["mediaType"] if is_manifest else "application/octet-stream"
        self.send_response(200)
        self.send_header("Content-Type", media_type)
        self.send_header("Content-Length", str(len(body)))
        self.send_header("Docker-Content-Digest", digest)
        self.end_headers()
        if with_body:
            self.wfile.write(body)


if __name__ == "__main__":
    if len(sys.argv) != 3:
        sys.exit("usage: registry.py ARCHIVE PORT")
    Registry.blobs, Registry.image = read(sys.argv[1])
    server = ThreadingHTTPServer(("127.0.0.1", int(sys.argv[2])), Registry)
    print("ready", flush=True)
    server.serve_forever()
