"""One end of a scripted connection: does its steps and logs when, in CLOCK_REALTIME nanoseconds, as JSON Lines.

peer.py client ADDRESS PORT LOG STEP ...      peer.py server PORT LOG STEP ...

Steps: connect, accept, send:N, recv:N, sleep:S, think:S, pause:S, upto:EOF, shutdown, close, rst,
trickle:CHUNK:TIMES:S, slowrecv:TOTAL:CHUNK:S, http:PATH:N (a request of N bytes), reply:N (an HTTP answer of N bytes),
opt:NAME:VALUE (rcvbuf sndbuf nodelay keepidle keepintvl quickack maxseg), tls (from here on).
"""
import json
import socket
import ssl
import struct
import sys
import time

OPTIONS = {
    "rcvbuf": (socket.SOL_SOCKET, socket.SO_RCVBUF), "sndbuf": (socket.SOL_SOCKET, socket.SO_SNDBUF),
    "nodelay": (socket.IPPROTO_TCP, socket.TCP_NODELAY), "keepidle": (socket.IPPROTO_TCP, socket.TCP_KEEPIDLE),
    "keepintvl": (socket.IPPROTO_TCP, socket.TCP_KEEPINTVL), "quickack": (socket.IPPROTO_TCP, socket.TCP_QUICKACK),
    "maxseg": (socket.IPPROTO_TCP, socket.TCP_MAXSEG),
}


class Peer:
    def __init__(self, role, target, log, cert):
        self.role, self.target, self.cert = role, target, cert
        self.log = open(log, "w", buffering=1)
        self.listener = None
        family = socket.AF_INET6 if ":" in target[0] else socket.AF_INET
        self.plain = socket.socket(family, socket.SOCK_STREAM)
        if role == "server":
            self.listener = self.plain
            self.listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        self.sock = self.plain

    def run(self, steps):
        options = [s for s in steps if s.startswith("opt:") and s.split(":")[1] in ("rcvbuf", "maxseg")]
        for step in options:  # these bind the handshake
            self.opt(*step.split(":")[1:])
        if self.listener:
            self.listener.bind(self.target)
            self.listener.listen(16)
            print("ready", flush=True)
        for step in steps:
            name, *args = step.split(":")
            start = time.time_ns()
            first = None
            error = None
            try:
                first = getattr(self, name)(*args)
            except OSError as e:
                error = type(e).__name__
            entry = {"step": step, "start_ns": start, "end_ns": time.time_ns()}
            if first is not None:
                entry["first_ns"] = first
            if error:
                entry["error"] = error
            self.log.write(json.dumps(entry) + "\n")
            if error:
                break

    def opt(self, name, value):
        if name.startswith("keep"):
            self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
        self.sock.setsockopt(*OPTIONS[name], int(value))

    def connect(self):
        self.sock.settimeout(300)
        self.sock.connect(self.target)

    def accept(self):
        self.sock, _ = self.listener.accept()
        self.sock.settimeout(300)

    def tls(self):
        if self.role == "server":
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            context.load_cert_chain(self.cert)
            self.sock = context.wrap_socket(self.sock, server_side=True)
        else:
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
            context.check_hostname = False
            context.verify_mode = ssl.CERT_NONE
            self.sock = context.wrap_socket(self.sock, server_hostname="lab.example")

    def send(self, n):
        self.sock.sendall(bytes(i % 251 for i in range(int(n))) if int(n) < 4096 else b"x" * int(n))

    def http(self, path, n):
        head = f"GET {path} HTTP/1.1\r\nHost: lab.example\r\nX-Pad: ".encode()
        self.sock.sendall(head + b"p" * max(0, int(n) - len(head) - 4) + b"\r\n\r\n")

    def reply(self, n):
        head = f"HTTP/1.1 200 OK\r\nContent-Length: {int(n)}\r\n\r\n".encode()
        self.sock.sendall(head + b"y" * (int(n) - len(head)))

    def recv(self, n):
        return self.slowrecv(n, n, 0)

    def slowrecv(self, total, chunk, seconds):
        first, left = None, int(total)
        while left > 0:
            data = self.sock.recv(min(left, int(chunk)))
            if not data:
                raise ConnectionError("end of data")
            first = first or time.time_ns()
            left -= len(data)
            if float(seconds):
                time.sleep(float(seconds))
        return first

    def upto(self, _eof="EOF"):
        while self.sock.recv(65536):
            pass

    def trickle(self, chunk, times, seconds):
        for i in range(int(times)):
            self.send(chunk)
            if i + 1 < int(times):
                time.sleep(float(seconds))

    def sleep(self, seconds):
        time.sleep(float(seconds))

    think = pause = sleep

    def shutdown(self):
        self.sock.shutdown(socket.SHUT_WR)

    def close(self):
        self.sock.close()

    def rst(self):
        self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.sock.close()


def main():
    role = sys.argv[1]
    if role == "client":
        target, log, cert, steps = (sys.argv[2], int(sys.argv[3])), sys.argv[4], sys.argv[5], sys.argv[6:]
    else:
        target, log, cert, steps = ("0.0.0.0", int(sys.argv[2])), sys.argv[3], sys.argv[4], sys.argv[5:]
    Peer(role, target, log, cert).run(steps)


main()
