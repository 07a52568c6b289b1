"""Runs in simulated time: ns3.cc does what the namespaces, the wire and the scripted programs do elsewhere.

Its TCP's attributes are drawn from the seed too, each end's own, so that each seed is another stack. Nagle's algorithm is
off, as ns-3 has it, where a scenario does not ask for it: it keeps a lost small segment from being sent again.
"""
import os
import random
import signal
import subprocess

TIMEOUT_S = 120
STOP_S = 900  # of simulated time
ROLES = ("client", "server")
# What wire's options are there. It has no segmentation by the card.
OPTIONS = {"--snaplen": "snaplen", "--microseconds": "microseconds"}


class SimulatorError(Exception):
    """ns-3's own TCP failed at it."""


class Attributes:
    """What a seed draws of ns-3."""

    def __init__(self, name, seed):
        rng = random.Random(f"ns3 {name} {seed}")
        pick = rng.choice
        self.congestion = pick(("TcpNewReno", "TcpNewReno", "TcpCubic", "TcpBbr", "TcpLinuxReno"))
        self.links = {point: pick(("ppp", "ethernet")) for point in ("client", "middle", "server")}
        self.epoch_s = pick((0, 1700000000))
        self.host = pick(("0us", "20us", "200us"))  # a program's time between steps; 0: within its socket's callback
        self.checksums = pick(("true", "false"))
        self.of = {role: {
            "SegmentSize": pick((536, 1400, 1448, 1448)),
            "InitialCwnd": pick((2, 4, 10, 10)),
            "DelAckCount": pick((1, 2, 2)),
            "DelAckTimeout": pick(("40ms", "200ms", "200ms")),
            "MinRto": pick(("200ms", "1s")),
            "ConnTimeout": pick(("1s", "3s")),
            "PersistTimeout": pick(("1s", "6s")),
            "RcvBufSize": pick((65535, 131072, 1000000)),
            "SndBufSize": pick((131072, 1000000)),
            "Sack": pick(("true", "true", "false")),
            "Timestamp": pick(("true", "true", "false")),
            "WindowScaling": pick(("true", "true", "false")),
        } for role in ROLES}

    def has_timestamps(self):
        return all(self.of[role]["Timestamp"] == "true" for role in ROLES)

    def full_segment(self, role):
        return self.of[role]["SegmentSize"]


def script(scenario):
    """The input of the program."""
    drawn = scenario.attributes
    lines = [f"seed {scenario.seed}", f"epoch {drawn.epoch_s}", f"host {drawn.host}", f"stop {STOP_S}s",
             f"linger {200 + 2 * scenario.rtt_ms}ms", f"global ChecksumEnabled={drawn.checksums}",
             f"congestion ns3::{drawn.congestion}"]
    options = iter(scenario.wire_options())
    for option in options:
        if option == "--ethernet":
            drawn.links = dict.fromkeys(drawn.links, "ethernet")
        else:
            lines.append(OPTIONS[option] + (f" {next(options)}" if option == "--snaplen" else ""))
    lines += [f"link {point} {kind}" for point, kind in drawn.links.items()]
    for role, sysctls in (("client", scenario.client_sysctls), ("server", scenario.server_sysctls)):
        attributes = dict(drawn.of[role])
        if sysctls.get("net.ipv4.tcp_window_scaling") == "0":
            attributes["WindowScaling"] = "false"
        lines += [f"attribute {role} {name}={value}" for name, value in attributes.items()]
    lines += [f"set {setting}" for setting in scenario.wire_settings()]
    for connection in scenario.connections:
        behind = scenario.connections.index(connection.behind) if connection.behind else "-"
        lines.append(f"connection {connection.client_port} {connection.server_port} {connection.start_s}s {behind}")
        lines += [f"client {step}" for step in connection.client_steps]
        lines += [f"server {step}" for step in connection.server_steps]
    return "\n".join(lines) + "\n"


def converse(scenario, folder, programs):
    """Runs all of a scenario; what it writes is named as the wire's and the peers'."""
    done = subprocess.run((os.path.join(programs, "ns3"), folder), input=script(scenario), capture_output=True, text=True,
                          timeout=TIMEOUT_S, check=False)
    if done.returncode == -signal.SIGSEGV:  # its TcpRateLinux reads a segment that is not there, after some losses
        raise SimulatorError("it fell over")
    if done.returncode != 0:
        raise subprocess.SubprocessError(f"ns3: exit {done.returncode}: {done.stderr.strip()}")


def check_ended(scenario, logs):
    """A client that waits for ever for its answer has met what no other TCP does: less window than a segment, and no probe."""
    for connection, log in zip(scenario.connections, logs):
        done = [step["step"] for step in log["client"]]
        if "shutdown" in connection.client_steps and "shutdown" not in done and not any("error" in s for s in log["client"]):
            raise SimulatorError("a client waited for ever")
