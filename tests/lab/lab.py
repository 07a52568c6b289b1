#!/usr/bin/env python3
"""The lab: captures whose culprit is known because it was caused.

For each scenario and seed: two network namespaces, the wire between them, a scripted client and server (or real ones),
and a capture at the client, in the middle and at the server, each with what is true of it. Needs root, /dev/net/tun,
iproute2 and nsenter; leaves nothing behind.
"""
import argparse
import concurrent.futures
import itertools
import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time

import scenarios
import simulate
import truth

READY_TIMEOUT_S = 10
CLIENT_ADDRESS, SERVER_ADDRESS = "10.0.0.42", "10.0.0.5"
CLIENT_ADDRESS6, SERVER_ADDRESS6 = "fd00::42", "fd00::5"

# A new namespace takes the machine's settings; a capture must not depend on them.
SYSCTLS = {
    "net.ipv4.tcp_no_metrics_save": "1",
    "net.ipv4.tcp_rmem": "4096 131072 6291456",
    "net.ipv4.tcp_wmem": "4096 16384 4194304",
    "net.ipv6.conf.all.accept_ra": "0",
    "net.ipv6.conf.all.router_solicitations": "0",
}


# On a busy machine the wire can be late; such a run is made again, with fewer beside it.
PASSES = 4


class LabError(Exception):
    """The lab itself failed: no capture, no truth."""


class LateError(LabError):
    """The machine was too busy for the wire to keep its delays."""


def run(*command, text=None):
    done = subprocess.run(command, input=text, capture_output=True, text=True, timeout=READY_TIMEOUT_S, check=False)
    if done.returncode != 0:
        raise LabError(f"{' '.join(command)}: {done.stderr.strip()}")


class Namespace:
    """A network namespace with an end of the wire in it."""
    numbers = itertools.count()

    def __init__(self):
        self.name = f"lab{os.getpid()}.{next(self.numbers)}"
        self.stack = ()  # the program whose TCP it has, and its address, if not the kernel's
        run("ip", "netns", "add", self.name)

    def configure(self, address, address6, mtu, sysctls, congestion, stack=None):
        """Once the wire has made the device. The route says which congestion control connections get. stack: the address is
        that of the program, not the kernel's."""
        if stack:
            self.stack = (stack, address)
            run("ip", "-n", self.name, "link", "set", "lab0", "mtu", str(mtu), "up")
            return
        settings = "".join(f"{name}={value}\n" for name, value in {**SYSCTLS, **sysctls}.items())
        run(*self.inside("sysctl", "-q", "-p", "-"), text=settings)
        run("ip", "-n", self.name, "-batch", "-",
            text=f"link set lo up\naddr add {address}/32 dev lab0\naddr add {address6}/128 dev lab0 nodad\n"
                 f"link set lab0 mtu {mtu} up\nroute add default dev lab0 congctl {congestion}\n"
                 f"route add ::/0 dev lab0 congctl {congestion}\n")

    def inside(self, *command):
        return ("nsenter", f"--net=/run/netns/{self.name}", *command)

    def peer(self, programs, *arguments):
        """The command of a scripted end, on the kernel's TCP or on its program's."""
        program = self.stack or ("peer",)
        return self.inside(os.path.join(programs, program[0]), *program[1:], *arguments)

    def remove(self):
        subprocess.run(("ip", "netns", "del", self.name), capture_output=True, timeout=READY_TIMEOUT_S, check=False)


class Processes:
    """What a run started; ends all of it, whatever happens."""
    running = set()
    interrupted = False

    def __init__(self, folder, programs):
        self.folder, self.programs = folder, programs
        self.started = []
        self.running.add(self)

    @classmethod
    def interrupt(cls, _signal, _frame):
        """All runs fail and clean up after themselves; no other begins."""
        cls.interrupted = True
        for processes in list(cls.running):
            for process in list(processes.started):
                process.kill()

    def start(self, command, log=None, ready_on=None):
        """log: where standard output goes; ready_on: 'stdout' or 'stderr', on which it says when it is ready."""
        if self.interrupted:
            raise LabError("interrupted")
        with open(os.path.join(self.folder, log or os.devnull), "wb") as out:
            process = subprocess.Popen(command, stdin=subprocess.DEVNULL,
                                       stdout=subprocess.PIPE if ready_on == "stdout" else out,
                                       stderr=subprocess.PIPE if ready_on == "stderr" else None, cwd=self.folder)
        self.started.append(process)
        if ready_on:
            # A process that never gets ready is killed, which ends the line.
            timer = threading.Timer(READY_TIMEOUT_S, process.kill)
            timer.start()
            line = (process.stdout if ready_on == "stdout" else process.stderr).readline()
            timer.cancel()
            if line.strip() != b"ready":
                raise LabError(f"{command}: not ready: {line!r}")
        return process

    def end(self):
        self.running.discard(self)
        for process in self.started:
            if process.poll() is None:
                process.kill()
            process.wait()
            for pipe in (process.stdout, process.stderr):
                if pipe:
                    pipe.close()


def read_jsonl(path):
    with open(path, encoding="utf-8") as file:
        return [json.loads(line) for line in file if line.endswith("}\n")]


def wait_for(processes, deadline):
    for process in processes:
        try:
            process.wait(max(0.0, deadline - time.monotonic()))
        except subprocess.TimeoutExpired:
            process.send_signal(signal.SIGTERM)
            process.wait(READY_TIMEOUT_S)


def accepted_in_turn(scenario, connection):
    """The connections that a server program accepts, first to last."""
    return [connection] + [other for other in scenario.connections if other.behind is connection]


def converse(scenario, processes, client, server):
    """Runs all connections of a scenario to their end."""
    address = SERVER_ADDRESS6 if scenario.ipv6 else SERVER_ADDRESS
    clients, servers = [], []
    for number, connection in enumerate(scenario.connections):
        if connection.program:
            connection.program.start_server(processes, server, address)
        elif connection.server_steps and connection.behind is None:
            steps = itertools.chain.from_iterable(c.server_steps for c in accepted_in_turn(scenario, connection))
            servers.append(processes.start(
                server.peer(processes.programs, "server", address, str(connection.server_port), *steps),
                log=f"server.{number}.jsonl", ready_on="stderr"))
    began = time.monotonic()
    for number, connection in sorted(enumerate(scenario.connections), key=lambda item: item[1].start_s):
        time.sleep(max(0.0, began + connection.start_s - time.monotonic()))
        if connection.program:
            clients.append(connection.program.start_client(processes, client, address, connection.client_port))
        else:
            clients.append(processes.start(
                client.peer(processes.programs, "client", address, str(connection.server_port), *connection.client_steps),
                log=f"client.{number}.jsonl"))
    deadline = began + scenario.timeout_s
    wait_for(clients, deadline)
    wait_for(servers, min(deadline, time.monotonic() + scenario.server_grace_s))


def read_logs(scenario, folder, packets):
    """Each connection's programs' logs; a server's that accepted several is divided among them."""
    logs = [{"client": [], "server": []} for _ in scenario.connections]
    for number, connection in enumerate(scenario.connections):
        if connection.program:
            logs[number] = connection.program.read_logs(folder, packets, connection)
            continue
        logs[number]["client"] = read_jsonl(os.path.join(folder, f"client.{number}.jsonl"))
        path = os.path.join(folder, f"server.{number}.jsonl")
        turn = -1
        for step in read_jsonl(path) if os.path.exists(path) else []:
            turn += step["step"] == "accept"
            accepted = accepted_in_turn(scenario, connection)[max(turn, 0)]
            logs[scenario.connections.index(accepted)]["server"].append(step)
    return logs


def carry_out(scenario, name, folder, programs):
    """One scenario between two namespaces: the folder gets the captures and the logs."""
    processes = Processes(folder, programs)
    namespaces = []
    try:
        for _ in ("client", "server"):
            namespaces.append(Namespace())
        client, server = namespaces
        the_wire = processes.start((os.path.join(programs, "wire"), "--client", client.name, "--server", server.name,
                                    "--out", "run", "--seed", str(scenario.seed), *scenario.wire_options(),
                                    *scenario.wire_settings()),
                                   ready_on="stdout")
        client.configure(CLIENT_ADDRESS, CLIENT_ADDRESS6, scenario.mtu, scenario.client_sysctls, scenario.congestion,
                         scenario.stacks.get("client"))
        server.configure(SERVER_ADDRESS, SERVER_ADDRESS6, scenario.mtu, scenario.server_sysctls, scenario.congestion,
                         scenario.stacks.get("server"))
        converse(scenario, processes, client, server)
        time.sleep(0.2 + 2 * scenario.rtt_ms / 1000)  # what is still on the wire arrives
        the_wire.send_signal(signal.SIGTERM)
        if the_wire.wait(READY_TIMEOUT_S) != 0:
            raise LabError(f"{name}: the wire failed")
    finally:
        processes.end()
        for namespace in namespaces:
            namespace.remove()


def run_once(scenario, name, out, build, keep_logs, late_limit_ms):
    """One scenario, one seed: three captures and their truth in the folder out."""
    programs = os.path.abspath(build)
    folder = tempfile.mkdtemp(prefix="lab.")
    try:
        if scenario.attributes:
            simulate.converse(scenario, folder, programs)
        else:
            carry_out(scenario, name, folder, programs)
        packets = read_jsonl(os.path.join(folder, "run.wire.jsonl"))
        if packets[-1]["late_max_ns"] > late_limit_ms * 1e6:
            raise LateError(f"the wire was {packets[-1]['late_max_ns'] / 1e6:.1f} ms late")
        logs = read_logs(scenario, folder, packets)
        if scenario.attributes:
            simulate.check_ended(scenario, logs)
        for vantage in truth.VANTAGES:
            base = os.path.join(out, f"{name}-{vantage}")
            shutil.copyfile(os.path.join(folder, f"run-{vantage}.pcap"), base + ".pcap")
            facts = truth.of_capture(scenario, logs, packets, vantage, os.path.basename(base) + ".pcap")
            with open(base + ".truth.json", "w", encoding="utf-8") as file:
                json.dump(facts, file, indent=1)
                file.write("\n")
        if keep_logs:
            shutil.copytree(folder, os.path.join(out, name + ".logs"), dirs_exist_ok=True)
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def label(name, seed, stack):
    """What the files of a run are called."""
    return f"{name}.{seed}" if stack == "linux" else f"{name}.{stack}.{seed}"


def run_all(runs, args):
    """Returns the runs that failed, each with its error."""
    failed = []
    for number in range(PASSES):
        late = []
        with concurrent.futures.ThreadPoolExecutor(max(1, args.jobs >> number)) as pool:
            futures = {pool.submit(run_once, scenarios.make(name, seed, args.snaplen, stack), label(name, seed, stack),
                                   os.path.abspath(args.out), args.build, args.keep_logs,
                                   args.late_limit): (name, seed, stack)
                       for name, seed, stack in runs}
            for future in concurrent.futures.as_completed(futures):
                drawn = futures[future]
                try:
                    future.result()
                except LateError as error:
                    late.append((*drawn, error))
                except simulate.SimulatorError as error:
                    print(f"{label(*drawn)}: not made: {error}")
                except (LabError, truth.TruthError, OSError, subprocess.SubprocessError) as error:
                    failed.append((label(*drawn), error))
        runs = [run for *run, _ in late]
        if not runs:
            break
    return failed + [(label(*run), error) for *run, error in late]


def main():
    parser = argparse.ArgumentParser(description="Makes captures whose culprit is known (root).")
    parser.add_argument("--out", help="folder for captures and truth")
    parser.add_argument("--build", default="build/lab", help="folder of the programs wire and peer (%(default)s)")
    parser.add_argument("--seeds", type=int, default=1, help="runs of each scenario (%(default)s)")
    parser.add_argument("--first-seed", type=int, default=1, help="(%(default)s)")
    parser.add_argument("--only", action="append", help="this scenario; may be repeated")
    parser.add_argument("--stack", action="append", choices=scenarios.STACKS,
                        help="which ends have lwIP's or netstack's TCP, or ns3: all is simulated; may be repeated (linux: none)")
    parser.add_argument("--snaplen", type=int, help="bytes of each frame; all by default")
    parser.add_argument("--slow", action="store_true", help="also those that take minutes")
    parser.add_argument("-j", "--jobs", type=int, default=6, help="runs at once (%(default)s)")
    parser.add_argument("--late-limit", type=float, default=3, metavar="MS",
                        help="a run whose wire was later is made again (%(default)s)")
    parser.add_argument("--keep-logs", action="store_true", help="keep the programs' and the wire's logs beside the captures")
    parser.add_argument("--list", action="store_true", help="print the scenarios")
    args = parser.parse_args()
    if args.list:
        for name, make in scenarios.TABLE.items():
            print(f"{name:28}{make.__doc__}")
        return 0
    if not args.out:
        parser.error("--out is missing")
    stacks = args.stack or ["linux"]
    names = args.only or list(scenarios.TABLE)
    unknown = [n for n in names if n not in scenarios.TABLE]
    if unknown:
        parser.error(f"no scenario {', '.join(unknown)}")
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, Processes.interrupt)
    os.makedirs(args.out, exist_ok=True)
    runs = [(name, seed, stack) for seed in range(args.first_seed, args.first_seed + args.seeds) for stack in stacks
            for name in names if scenarios.is_possible(name, stack) and
            (args.only or args.slow or not scenarios.takes_minutes_with(name, stack))]
    failed = run_all(runs, args)
    print(f"{len(runs) - len(failed)} of {len(runs)} runs in {args.out}")
    for run_name, error in failed:
        print(f"{run_name}: {error}", file=sys.stderr)
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
