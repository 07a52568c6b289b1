"""Real programs in place of the scripts: curl, nginx, and behind nginx a scripted program whose log says when it had the
request and when it answered. Offsets come from the wire's log, by the times in that log.
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
        subprocess.run(("openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-keyout", "lab.key", "-out", "lab.crt",
                        "-days", "2", "-subj", "/CN=lab.example"), cwd=folder, capture_output=True, check=True,
                       timeout=READY_TIMEOUT_S)
        backend = ["listen:16"]
        for think_s, size in zip(self.thinks_s, self.sizes):
            # nginx opens a connection for each request.
            backend += ["accept", "recvhead", f"sleep:{think_s:.3f}s", f"status:{size}", f"send:{size}", "close"]
        processes.start(namespace.inside(processes.peer, "server", "127.0.0.1", str(BACKEND_PORT), *backend),
                        log="backend.jsonl", ready_on="stderr")
        processes.start(namespace.inside("nginx", "-p", folder, "-c", os.path.join(folder, "nginx.conf")))
        self.wait_until_listening(namespace)

    def wait_until_listening(self, namespace):
        deadline = time.monotonic() + READY_TIMEOUT_S
        while time.monotonic() < deadline:
            found = subprocess.run(namespace.inside("ss", "-ltnH", f"sport = :{self.port}"), capture_output=True, text=True,
                                   timeout=READY_TIMEOUT_S, check=False)
            if found.stdout.strip():
                return
            time.sleep(0.02)
        raise OSError("nginx does not listen")

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

        def exchange(kind, a, b, c, d, ready, spoke, **more):
            first = next(p["times_ns"][0] for p in sent if p["offset"] <= a < p["offset"] + p["len"])
            complete = min(p["times_ns"][2] for p in answers if p["offset"] < d <= p["offset"] + p["len"] and p["times_ns"][2])
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
