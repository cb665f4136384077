"""nginx with its temporary files, cache and log on /dev/shm, between clients and a server of ours.

    nginx [tcp]    on Unix sockets; with `tcp` on the loopback interface

nginx has the body of an upload in a file without a name until it is whole: one upload is only half
sent all the time, and ends when it is asked. A download is half read, in the same way. Keep-alive
connections go on for ever.
"""

import hashlib
import http.client
import os
import socket
import socketserver
import subprocess
import threading
from http.server import BaseHTTPRequestHandler

from common import SHM, pause
from roles import pattern
from software.work import Gate, keep_on, wait_until

DIR = f"{SHM}/nginx"
FRONT, BACK = "/run/nginx-front.sock", "/run/nginx-back.sock"
PORT = 8080
CLIENTS = 4
# More than fits into buffers of the kernel.
UPLOAD = 1 << 20
DOWNLOAD = 4 << 20

CONFIGURATION = f"""
daemon off;
worker_processes 2;
user nobody nogroup;
pid /run/nginx.pid;
error_log {DIR}/error.log warn;
events {{ worker_connections 64; }}
http {{
    access_log {DIR}/access.log;
    client_body_temp_path {DIR}/body;
    proxy_temp_path {DIR}/proxy;
    fastcgi_temp_path {DIR}/fastcgi;
    uwsgi_temp_path {DIR}/uwsgi;
    scgi_temp_path {DIR}/scgi;
    client_body_buffer_size 8k;
    client_max_body_size 100m;
    # As long as it takes: a machine may stand still.
    client_body_timeout 1d;
    keepalive_timeout 1d;
    keepalive_requests 1000000000;
    send_timeout 1d;
    proxy_read_timeout 1d;
    proxy_http_version 1.1;
    proxy_set_header Connection "";
    proxy_cache_path {DIR}/cache keys_zone=cache:1m;
    limit_req_zone $uri zone=limit:1m rate=1000000r/s;
    upstream back {{ server unix:{BACK}; keepalive 8; }}
    server {{
        listen LISTEN;
        limit_req zone=limit burst=1000;
        location / {{ proxy_pass http://back; }}
        location /cached/ {{ proxy_pass http://back; proxy_cache cache; proxy_cache_valid 1d; }}
    }}
}}
"""


class Back(BaseHTTPRequestHandler):
    """What nginx is in front of."""

    protocol_version = "HTTP/1.1"
    # For each name that nginx shall keep: how often it was asked for.
    asked = {}

    def do_GET(self):
        self.asked[self.path] = self.asked.get(self.path, 0) + 1
        if self.path == "/download":
            self._answer(pattern("download", DOWNLOAD))
        else:
            self._answer(self.path.encode())

    def do_POST(self):
        body = self.rfile.read(int(self.headers["Content-Length"]))
        self._answer(hashlib.sha256(body).hexdigest().encode())

    def _answer(self, body):
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def address_string(self):
        return ""

    def log_message(self, *_):
        pass


class BackServer(socketserver.ThreadingMixIn, socketserver.UnixStreamServer):
    daemon_threads = True


class Connection(http.client.HTTPConnection):
    """To nginx, for ever."""

    def __init__(self, tcp):
        super().__init__("127.0.0.1", PORT)
        self._tcp = tcp
        self.auto_open = 0  # or a connection that is lost would be made again
        self.connect()

    def connect(self):
        if self._tcp:
            super().connect()
        else:
            self.sock = socket.socket(socket.AF_UNIX)
            self.sock.connect(FRONT)

    def get(self, path):
        self.request("GET", path)
        return self.body()

    def body(self):
        answer = self.getresponse()
        body = answer.read()
        if answer.status != 200:
            raise ValueError(f"nginx answers {answer.status} {body[:200]}")
        return body


class Upload:
    def __init__(self, connection):
        self._connection = connection
        self._contents = b""
        self.count = 0
        self.begin()

    def begin(self):
        self.count += 1
        self._contents = pattern(f"upload {self.count}", UPLOAD)
        self._connection.putrequest("POST", "/upload")
        self._connection.putheader("Content-Length", str(UPLOAD))
        self._connection.endheaders()
        self._connection.send(self._contents[: UPLOAD // 2])

    def is_right(self):
        self._connection.send(self._contents[UPLOAD // 2 :])
        return self._connection.body().decode() == hashlib.sha256(self._contents).hexdigest()


class Download:
    def __init__(self, connection):
        self._connection = connection
        self._answer, self._start = None, b""

    def begin(self):
        self._connection.request("GET", "/download")
        self._answer = self._connection.getresponse()
        self._start = self._answer.read(1000)

    def is_right(self):
        return self._start + self._answer.read() == pattern("download", DOWNLOAD)


class Load:
    def __init__(self, tcp):
        self.gate = Gate()
        self.clients = [Connection(tcp) for _ in range(CLIENTS)]
        self.counts = [0] * CLIENTS
        self.upload = Upload(Connection(tcp))
        self.download = Download(Connection(tcp))
        self.download.begin()
        for number in range(CLIENTS):
            self.gate.worker(lambda number=number: self.step(number))

    def step(self, number):
        path = f"/{number}/{self.counts[number]}"
        if self.clients[number].get(path) != path.encode():
            raise ValueError(f"{path} is answered by something else")
        cached = f"/cached/{self.counts[number] % 50}"
        if self.clients[number].get(cached) != cached.encode():
            raise ValueError(f"{cached} is answered by something else")
        self.counts[number] += 1
        pause(0.005)

    def holds_nameless_files(self):
        """Whether nginx has put the upload and the download into files: it says so. (Root of the
        container may not see what processes of others have open.)"""
        with open(f"{DIR}/error.log", encoding="utf-8") as log:
            text = log.read()
        kinds = ("a client request body is buffered", "an upstream response is buffered")
        return all(text.count(kind) >= self.upload.count for kind in kinds)

    def check(self):
        with self.gate.closed():
            problems = []
            if not self.upload.is_right():
                problems.append("an upload has arrived as something else")
            if not self.download.is_right():
                problems.append("a download has arrived as something else")
            twice = [path for path, count in Back.asked.items() if "/cached/" in path and count > 1]
            # Two clients may ask at the same time; but not again and again.
            if any(Back.asked[path] > CLIENTS for path in twice):
                problems.append(f"the cache has lost {twice}")
            with open(f"{DIR}/access.log", encoding="utf-8") as log:
                logged = sum(1 for line in log)
            done = 2 * sum(self.counts)
            if logged < done:
                problems.append(f"{logged} requests are in the log, and {done} were made")
            self.upload.begin()
            self.download.begin()
            wait_until(self.holds_nameless_files, "nginx does not use its temporary files")
        return problems


def start(tcp):
    for folder in (DIR, "/var/lib/nginx", "/var/log/nginx"):
        os.makedirs(folder, exist_ok=True)
    listen = f"127.0.0.1:{PORT}" if tcp else f"unix:{FRONT}"
    with open("/etc/nginx.conf", "w", encoding="utf-8") as file:
        file.write(CONFIGURATION.replace("LISTEN", listen))
    back = BackServer(BACK, Back)
    os.chmod(BACK, 0o777)
    threading.Thread(target=back.serve_forever, daemon=True).start()
    command = ["nginx", "-c", "/etc/nginx.conf"]
    process = subprocess.Popen(command, stdin=subprocess.DEVNULL)

    def answers():
        if process.poll() is not None:
            raise ChildProcessError(f"nginx has ended: {process.returncode}")
        try:
            Connection(tcp).close()
        except OSError:
            return False
        return True

    wait_until(answers, "nginx does not start")


def run(*arguments):
    tcp = "tcp" in arguments
    start(tcp)
    load = Load(tcp)
    wait_until(load.holds_nameless_files, "nginx does not use its temporary files")
    keep_on("nginx", lambda: sum(load.counts), load.check)
