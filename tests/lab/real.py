"""Real programs in place of the scripts: curl, nginx, and behind nginx a scripted program whose log says when it had the
request and when it answered; openssl's s_client and s_server. Offsets come from the wire's log, by the times in that log.
"""
import json
import os
import subprocess
import time

NGINX = """
daemon off;
worker_processes 1;
pid {folder}/nginx.pid;
error_log {folder}/nginx.log;
events {{ }}
http {{
    access_log off;
    client_body_temp_path {folder}; proxy_temp_path {folder}; fastcgi_temp_path {folder};
    uwsgi_temp_path {folder}; scgi_temp_path {folder};
    ssl_certificate {folder}/lab.crt;
    ssl_certificate_key {folder}/lab.key;
    ssl_protocols TLSv1.3;
    keepalive_timeout 60s;
    server {{
        listen {address}:{port}{ssl};
        location / {{
            proxy_http_version 1.1;
            proxy_buffering off;
            proxy_pass http://127.0.0.1:{backend_port};
        }}
    }}
}}
"""
BACKEND_PORT = 9000
READY_TIMEOUT_S = 10
FAR_FUTURE_NS = 1 << 62


def make_certificate(folder):
    subprocess.run(("openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-keyout", "lab.key", "-out", "lab.crt",
                    "-days", "2", "-subj", "/CN=lab.example"), cwd=folder, capture_output=True, check=True,
                   timeout=READY_TIMEOUT_S)


def wait_until_listening(namespace, port):
    deadline = time.monotonic() + READY_TIMEOUT_S
    while time.monotonic() < deadline:
        found = subprocess.run(namespace.inside("ss", "-ltnH", f"sport = :{port}"), capture_output=True, text=True,
                               timeout=READY_TIMEOUT_S, check=False)
        if found.stdout.strip():
            return
        time.sleep(0.02)
    raise OSError(f"nobody listens on port {port}")


class CurlAndNginx:
    """Requests over one connection with HTTP keep-alive, each for a backend that thinks for a time."""

    def __init__(self, thinks_s, sizes, tls):
        self.thinks_s, self.sizes, self.tls = thinks_s, sizes, tls
        self.port = 443 if tls else 80

    def start_server(self, processes, namespace, address):
        folder = processes.folder
        with open(os.path.join(folder, "nginx.conf"), "w", encoding="utf-8") as file:
            file.write(NGINX.format(folder=folder, address=address, port=self.port, backend_port=BACKEND_PORT,
                                    ssl=" ssl" if self.tls else ""))
        make_certificate(folder)
        backend = ["listen:16"]
        for think_s, size in zip(self.thinks_s, self.sizes):
            # nginx opens a connection for each request.
            backend += ["accept", "recvhead", f"sleep:{think_s:.3f}s", f"status:{size}", f"send:{size}", "close"]
        processes.start(namespace.inside(os.path.join(processes.programs, "peer"), "server", "127.0.0.1", str(BACKEND_PORT), *backend),
                        log="backend.jsonl", ready_on="stderr")
        processes.start(namespace.inside("nginx", "-p", folder, "-c", os.path.join(folder, "nginx.conf")))
        wait_until_listening(namespace, self.port)

    def start_client(self, processes, namespace, address, client_port):
        scheme = "https" if self.tls else "http"
        urls = [f"{scheme}://lab.example:{self.port}/page/{number}" for number in range(len(self.thinks_s))]
        outputs = ["-o", "/dev/null"] * len(urls)
        return processes.start(namespace.inside(
            "curl", "-s", "-k", "--http1.1", "--max-time", "100", "--local-port", str(client_port),
            "--resolve", f"lab.example:{self.port}:{address}", "-w", "%{json}\\n", *outputs, *urls), log="curl.jsonl")

    def read_logs(self, folder, packets, connection):
        """Programs' logs in offsets of the connection, and the connection's transactions, from times and packets."""
        from scenarios import Transaction
        own = [p for p in packets if p.get("client_port") == connection.client_port]
        sent = sorted((p for p in own if p["dir"] == "c2s" and p["len"] > 0), key=lambda p: p["times_ns"][0])
        answers = sorted((p for p in own if p["dir"] == "s2c" and p["len"] > 0), key=lambda p: p["times_ns"][0])
        with open(os.path.join(folder, "curl.jsonl"), encoding="utf-8") as file:
            curl = [json.loads(line) for line in file]
        with open(os.path.join(folder, "backend.jsonl"), encoding="utf-8") as file:
            backend = [json.loads(line) for line in file]
        if len(curl) != len(self.thinks_s) or any(result["exitcode"] != 0 for result in curl):
            raise OSError(f"curl: {[result['errormsg'] for result in curl]}")
        heads = [step["last_ns"] for step in backend if step["step"] == "recvhead"]
        replies = [step["start_ns"] for step in backend if step["step"].startswith("status")]
        syn = next(p for p in own if p["dir"] == "c2s" and p["flags"] & 2)
        began = syn["times_ns"][0]
        # curl counts from its own start; its connect time is the handshake's end.
        connected = next(p["times_ns"][0] for p in own if p["dir"] == "c2s" and p["flags"] & 16)
        client = [{"step": "connect", "start_ns": began, "end_ns": connected}]
        server = [{"step": "accept", "start_ns": began, "end_ns": connected}]
        connection.transactions = [Transaction("connect", None, None)]

        def end_of(stream, before_ns, place):
            return max((p["offset"] + p["len"] for p in stream if 0 < p["times_ns"][place] < before_ns), default=0)

        def arrival(stream, offset):
            return min(p["times_ns"][2] for p in stream if p["offset"] <= offset < p["offset"] + p["len"] and p["times_ns"][2])

        def exchange(kind, a, b, c, d, ready, spoke, **more):
            first = next(p["times_ns"][0] for p in sent if p["offset"] <= a < p["offset"] + p["len"])
            complete = max(arrival(answers, p["offset"]) for p in answers if c <= p["offset"] < d)
            client.append({"step": "send", "start_ns": first, "end_ns": first, "sent": [a, b]})
            client.append({"step": "recv", "start_ns": first, "end_ns": complete, "received": [c, d], "first_ns": complete,
                           "last_ns": complete})
            server.append({"step": "recv", "start_ns": first, "end_ns": ready, "received": [a, b], "first_ns": ready,
                           "last_ns": ready})
            server.append({"step": "send", "start_ns": spoke, "end_ns": spoke, "sent": [c, d]})
            connection.transactions.append(Transaction(kind, (a, b), (c, d), **more))

        c2s_end = s2c_end = 0
        if self.tls:
            # ClientHello; then all the server says before the client speaks again.
            a, b = 0, sent[0]["offset"] + sent[0]["len"]
            again = next(p["times_ns"][0] for p in sent if p["offset"] >= b)
            d = end_of(answers, again, 2)
            ready, spoke = sent[0]["times_ns"][2], answers[0]["times_ns"][0]
            exchange("tls-handshake", a, b, 0, d, ready or spoke, spoke)
            c2s_end, s2c_end = b, d
        for ready, spoke in zip(heads, replies):
            b = end_of(sent, ready, 2)
            after = next((p["times_ns"][0] for p in sent if p["offset"] >= b), FAR_FUTURE_NS)
            c = max(s2c_end, end_of(answers, spoke, 0))
            d = end_of(answers, after, 2)
            # The server is nginx and its backend together.
            ready = min(p["times_ns"][2] for p in sent if p["offset"] < b <= p["offset"] + p["len"] and p["times_ns"][2])
            spoke = next(p["times_ns"][0] for p in answers if p["offset"] <= c < p["offset"] + p["len"])
            exchange("request", c2s_end, b, c, d, ready, spoke)
            c2s_end, s2c_end = b, d
        return {"client": client, "server": server}


class OpenSSL:
    """A line after each pause; s_server answers with the line reversed. It is stopped before one of them and goes on later:
    its TCP lives, its program is silent."""
    port = 4433
    STOPPED_BEFORE_S = 0.1  # the line that finds it stopped

    def __init__(self, pauses_s, stopped_line, stopped_s):
        self.pauses_s, self.stopped_line, self.stopped_s = pauses_s, stopped_line, stopped_s
        self.server = None

    def start_server(self, processes, namespace, address):
        make_certificate(processes.folder)
        accept = f"[{address}]:{self.port}" if ":" in address else f"{address}:{self.port}"
        serve = f"exec openssl s_server -quiet -rev -cert lab.crt -key lab.key -tls1_3 -accept {accept} 2> server.err"
        self.server = processes.start(namespace.inside("sh", "-c", serve))
        wait_until_listening(namespace, self.port)

    def start_client(self, processes, namespace, address, client_port):
        """A shell says each line in its time and logs when; another stops the server meanwhile."""
        say, stop_after_s = "", 0.0
        for number, pause_s in enumerate(self.pauses_s):
            stop_after_s += pause_s if number <= self.stopped_line else 0
            waits_s = self.stopped_s if number == self.stopped_line + 1 else 0  # for the answer, as people do
            say += f"sleep {pause_s + waits_s:.3f}; date +%s%N >> lines.log; echo line {number} {'x' * 60};"
        say += f"sleep {self.stopped_s + 1:.3f}"
        processes.start(("sh", "-c", f"sleep {stop_after_s - self.STOPPED_BEFORE_S:.3f}; kill -STOP {self.server.pid};"
                                     f"sleep {self.stopped_s + self.STOPPED_BEFORE_S:.3f}; date +%s%N > continued.log;"
                                     f"kill -CONT {self.server.pid}"))
        connect = f"openssl s_client -quiet -tls1_3 -bind 0.0.0.0:{client_port} -connect {address}:{self.port} 2> client.err"
        return processes.start(namespace.inside("sh", "-c", f"({say}) | {connect}"), log="answers.txt")

    def read_logs(self, folder, packets, connection):
        from scenarios import Transaction
        own = [p for p in packets if p.get("client_port") == connection.client_port]
        sent = sorted((p for p in own if p["dir"] == "c2s" and p["len"] > 0), key=lambda p: p["times_ns"][0])
        answers = sorted((p for p in own if p["dir"] == "s2c" and p["len"] > 0), key=lambda p: p["times_ns"][0])
        with open(os.path.join(folder, "lines.log"), encoding="utf-8") as file:
            said = [int(line) for line in file]
        with open(os.path.join(folder, "answers.txt"), encoding="utf-8") as file:
            answered = [line for line in file if line.strip()]
        if len(said) != len(self.pauses_s) or len(answered) != len(said):
            with open(os.path.join(folder, "client.err"), encoding="utf-8") as file:
                raise OSError(f"openssl: {len(said)} lines, {len(answered)} answers; {file.read()}")
        syn = next(p for p in own if p["dir"] == "c2s" and p["flags"] & 2)
        connected = next(p["times_ns"][0] for p in own if p["dir"] == "c2s" and p["flags"] & 16)
        began = syn["times_ns"][0]
        client = [{"step": "connect", "start_ns": began, "end_ns": connected}]
        server = [{"step": "accept", "start_ns": began, "end_ns": connected}]
        connection.transactions = [Transaction("connect", None, None)]

        def first(stream, from_ns):
            return next(p for p in stream if p["times_ns"][0] >= from_ns)

        def add(kind, request, answer):
            a, b = request["offset"], request["offset"] + request["len"]
            c, d = answer["offset"], answer["offset"] + answer["len"]
            ready, spoke, arrived = request["times_ns"][2], answer["times_ns"][0], answer["times_ns"][2]
            client.append({"step": "send", "start_ns": request["times_ns"][0], "end_ns": request["times_ns"][0], "sent": [a, b]})
            client.append({"step": "recv", "start_ns": request["times_ns"][0], "end_ns": arrived, "received": [c, d],
                           "first_ns": arrived, "last_ns": arrived})
            server.append({"step": "recv", "start_ns": ready, "end_ns": ready, "received": [a, b], "first_ns": ready,
                           "last_ns": ready})
            server.append({"step": "send", "start_ns": spoke, "end_ns": spoke, "sent": [c, d]})
            connection.transactions.append(Transaction(kind, (a, b), (c, d)))

        for said_ns in said:
            request = first(sent, said_ns)
            add("request", request, first(answers, request["times_ns"][2]))
        return {"client": client, "server": server}
