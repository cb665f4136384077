"""A registry that has one image under every name and tag.

    registry.py PORT CERTIFICATE KEY ARCHIVE

ARCHIVE is a tar of an OCI image layout with one image. What is served as it is an index of
images for several platforms, whose second layer removes a file and a directory of the first
and has a file with the name and the platform, so that no two are the same. Prints "ready"
when it answers.
"""

import hashlib
import io
import json
import ssl
import sys
import tarfile
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

PLATFORMS = [
    {"os": "linux", "architecture": "amd64"},
    {"os": "linux", "architecture": "arm64", "variant": "v8"},
    {"os": "linux", "architecture": "ppc64le"},
    {"os": "linux", "architecture": "s390x"},
]
# OCI image specification 1.1, layer.md, "Whiteouts".
WHITEOUTS = [".wh.dir-to-delete", ".wh.file-to-delete"]

blobs = {}


def add(data, media_type):
    digest = "sha256:" + hashlib.sha256(data).hexdigest()
    blobs[digest] = data, media_type
    return {"mediaType": media_type, "digest": digest, "size": len(data)}


def add_json(value, media_type):
    return add(json.dumps(value).encode(), media_type)


def load(path):
    """The image's manifest and configuration."""
    with tarfile.open(path) as archive:
        def read(descriptor):
            name = "blobs/" + descriptor["digest"].replace(":", "/")
            data = archive.extractfile(name).read()
            add(data, descriptor["mediaType"])
            return data

        [descriptor] = json.load(archive.extractfile("index.json"))["manifests"]
        manifest = json.loads(read(descriptor))
        config = json.loads(read(manifest["config"]))
        read(manifest["layers"][0])
    return manifest, config


def second_layer(text):
    layer = io.BytesIO()
    with tarfile.open(fileobj=layer, mode="w") as archive:
        for name in WHITEOUTS:
            archive.addfile(tarfile.TarInfo(name))
        file = tarfile.TarInfo("image")
        file.size = len(text)
        archive.addfile(file, io.BytesIO(text.encode()))
    return layer.getvalue()


def index(name):
    """The digest of the index of that name."""
    manifests = []
    [first] = manifest["layers"]
    for platform in PLATFORMS:
        second = second_layer(f"{name} for {platform['architecture']}")
        layers = [first, add(second, first["mediaType"])]
        diff_ids = [layer["digest"] for layer in layers]
        its_config = config | platform | {"rootfs": config["rootfs"] | {"diff_ids": diff_ids}}
        its_manifest = manifest | {
            "config": add_json(its_config, manifest["config"]["mediaType"]),
            "layers": layers,
        }
        descriptor = add_json(its_manifest, manifest["mediaType"])
        manifests.append(descriptor | {"platform": platform})
    media_type = "application/vnd.oci.image.index.v1+json"
    value = {"schemaVersion": 2, "mediaType": media_type, "manifests": manifests}
    return add_json(value, media_type)["digest"]


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def answer(self):
        """See the OCI distribution specification 1.1, "Pull"."""
        path = self.path.split("?")[0].removeprefix("/v2/")
        name, _, reference = path.rpartition("/")
        name, _, kind = name.rpartition("/")
        if kind == "manifests" and ":" not in reference:
            reference = index(f"{name}:{reference}")
        data, media_type = blobs.get(reference, (None, None))
        if data is None:
            self.send_response(404)
            self.send_header("Content-Length", "0")
            self.end_headers()
            return b""
        self.send_response(200)
        self.send_header("Content-Type", media_type)
        self.send_header("Content-Length", str(len(data)))
        self.send_header("Docker-Content-Digest", reference)
        self.end_headers()
        return data

    def do_HEAD(self):
        self.answer()

    def do_GET(self):
        self.wfile.write(self.answer())

    def log_message(self, *args):
        pass


port, certificate, key, archive = sys.argv[1:]
manifest, config = load(archive)
server = ThreadingHTTPServer(("127.0.0.1", int(port)), Handler)
context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
context.load_cert_chain(certificate, key)
server.socket = context.wrap_socket(server.socket, server_side=True)
print("ready", flush=True)
server.serve_forever()
