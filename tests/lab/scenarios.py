"""What the lab causes: a table of scenarios, each drawn from a seed.

A scenario says what the programs and the wire do. It does not say who is to blame: that follows from what the logs say
happened (truth.py). What a scenario may add is which other verdicts are defensible, and what it was made for, which
truth.py holds against the logs.
"""
import random

import real
import simulate

TABLE = {}
TAKES_MINUTES = set()
MSS = 1448  # MTU 1500 with timestamps


class Transaction:
    """A request and its answer, as ranges of offsets in the two streams.

    acceptable: other causes that are defensible. optional: no verdict of its own is fine. told: (party, cause), where no
    time tells it, as of a refusal.
    """

    def __init__(self, kind, request, response, acceptable=(), optional=False, told=None):
        self.kind = kind
        self.request = request
        self.response = response
        self.acceptable = list(acceptable)
        self.optional = optional
        self.told = told


def status_len(length):
    return len(f"HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: {length}\r\n\r\n")


def bytes_of(step):
    """How many bytes a step sends."""
    name, *arguments = step.split(":")
    if name == "send":
        return int(arguments[0])
    if name == "trickle":
        return int(arguments[0]) * int(arguments[1])
    if name == "get":
        return int(arguments[1])
    if name == "status":
        return status_len(int(arguments[0]))
    return 0


class Connection:
    """The two scripts of a connection."""
    program = None  # a real one in place of the scripts

    def __init__(self, client_port, server_port, start_s=0.0, behind=None):
        """behind: the connection that this one's server accepts first, with the same program."""
        self.client_port, self.server_port, self.start_s, self.behind = client_port, server_port, start_s, behind
        self.client_steps = [f"bind:{client_port}"]
        self.server_steps = []
        self.transactions = []
        self.offsets = {"c2s": 0, "s2c": 0}

    def connect(self, *options, server=(), listen=(), after=0.02, backlog=16, **more):
        """Options are set before connecting, server's after accepting, listen's before. after: until the first request."""
        self.client_steps += [f"option:{option}" for option in options] + ["connect"]
        if self.behind is None:
            self.server_steps += [f"option:{option}" for option in listen] + [f"listen:{backlog}"]
        self.server_steps += ["accept"] + [f"option:{option}" for option in server]
        self.client_steps += [f"sleep:{after:.3f}s"] if after else []
        self.transactions.append(Transaction("connect", None, None, **more))
        return self

    def _advance(self, direction, n):
        start = self.offsets[direction]
        self.offsets[direction] += n
        return start, start + n

    def request(self, send, answer, read=None, server_read=None, kind="request", **more):
        """send and answer are the steps that send; read and server_read replace the steps that receive."""
        n_request, n_answer = sum(map(bytes_of, send)), sum(map(bytes_of, answer))
        self.client_steps += list(send) + (read if read is not None else [f"recv:{n_answer}"] if n_answer else [])
        self.server_steps += (server_read if server_read is not None else [f"recv:{n_request}"] if n_request else []) + list(answer)
        self.transactions.append(Transaction(kind, self._advance("c2s", n_request), self._advance("s2c", n_answer), **more))
        return self

    def greeting(self, answer):
        return self.request([], answer, kind="greeting")

    def do(self, client=(), server=()):
        """Steps that are no part of a transaction."""
        self.client_steps += client
        self.server_steps += server
        return self

    def think_time(self, seconds):
        """The user's: between transactions, nobody's fault."""
        self.client_steps.append(f"sleep:{seconds:.3f}s")
        return self

    def close(self):
        self.client_steps += ["shutdown", "recvall", "close"]
        self.server_steps += ["recvall", "close"]
        return self


class Scenario:
    """What one run does."""

    def __init__(self, name, seed):
        self.name, self.seed = name, seed
        self.rng = random.Random(f"{name} {seed}")
        self.rtt_ms = self.rng.choice((2, 8, 20, 35, 60, 97, 140))
        self.split = self.rng.choice((0.1, 0.3, 0.5, 0.7, 0.9))  # of the path, before the middle
        self.settings = []
        self.options = []
        self.connections = []
        self.client_sysctls, self.server_sysctls = {}, {}
        self.mtu = 1500
        self.congestion = self.rng.choice(("cubic", "cubic", "reno", "bbr"))
        self.ipv6 = False
        self.stacks = {}          # {end: program}, where its TCP is not the kernel's
        self.attributes = None    # of the simulator, where all of it is simulated
        self.expect = None        # (transaction's index, cause): what it was made for
        self.slow_ms = 150
        self.timeout_s = 60
        self.server_grace_s = 5

    def wire_settings(self):
        """The path's delay, and what else the scenario sets."""
        half_ms = self.rtt_ms / 2
        near = half_ms * self.split
        return [f"c2s.before.delay={near:.4f}ms", f"c2s.after.delay={half_ms - near:.4f}ms",
                f"s2c.before.delay={half_ms - near:.4f}ms", f"s2c.after.delay={near:.4f}ms"] + self.settings

    def wire_options(self):
        return self.options

    def has_timestamps(self):
        if self.attributes:
            return self.attributes.has_timestamps()
        return "lwip" not in self.stacks.values()

    def full_segment(self, role):
        """Bytes that an end's segments hold at most, with the most options that its stack sends, or leaves room for."""
        if self.attributes:
            return self.attributes.full_segment(role)
        return self.mtu - (80 if self.stacks.get(role) == "netstack" else 52)

    def whole(self, size, sender):
        """A size for a sender's window. ns-3's waits for ever where less than a segment is left of it: whole ones there."""
        if not self.attributes:
            return size
        segment = self.full_segment(sender)
        return max(1, round(size / segment)) * segment

    def uniform(self, low, high):
        return self.rng.uniform(low, high)

    def size(self, low, high):
        """Small ones are as likely as large ones."""
        return int(low * (high / low) ** self.rng.random())

    def seconds(self, low, high):
        return round(low * (high / low) ** self.rng.random(), 3)

    def hop(self):
        return self.rng.choice(("before", "after"))

    def everywhere(self, setting):
        """A setting of all three captures."""
        self.set(*(f"{point}.{setting}" for point in ("client", "middle", "server")))

    def connection(self, start_s=0.0, server_port=None, behind=None):
        number = len(self.connections)
        port = server_port or self.rng.choice((80, 3306, 5432, 6379, 8080)) + 10000 * number
        connection = Connection(40000 + self.seed % 1000 * 20 + number, behind.server_port if behind else port, start_s, behind)
        self.connections.append(connection)
        return connection

    def set(self, *settings):
        self.settings += settings


def scenario(function):
    TABLE[function.__name__.replace("_", "-")] = function
    return function


def takes_minutes(function):
    TAKES_MINUTES.add(function.__name__.replace("_", "-"))
    return function


# Which ends have a program's TCP: lwip.c's or netstack.go's. ns3.cc's has no other beside it.
STACKS = {"linux": {}, "ns3": {"client": "ns3", "server": "ns3"}}
for program in ("lwip", "netstack"):
    STACKS.update({f"{program}-client": {"client": program}, f"{program}-server": {"server": program},
                   program: {"client": program, "server": program}})


def make(name, seed, snaplen=None, stack="linux"):
    """The scenario that this seed draws. stack: a name of STACKS."""
    made = Scenario(name, seed)
    if stack == "ns3":
        made.attributes = simulate.Attributes(name, seed)
    TABLE[name](made)
    if STACKS[stack]:
        made.name = f"{name} {stack}"
        made.stacks = STACKS[stack]
        made.expect = None  # an option that it lacks, or another timer, may make it another's fault: the logs say whose
    if snaplen and "--snaplen" not in made.options:
        made.options += ["--snaplen", str(snaplen)]
    return made


# What these stacks do without: path MTU discovery, segmentation by the card, an option for how often to try to connect,
# giving up on an ICMP error.
NOT_WITHOUT_LINUX = ("mtu-black-hole", "mtu-black-hole-for-good", "mtu-told", "offload", "unanswered")
NOT_WITH = {"lwip": NOT_WITHOUT_LINUX, "netstack": (*NOT_WITHOUT_LINUX, "prohibited"),
            "ns3": (*(n for n in NOT_WITHOUT_LINUX if n != "unanswered"), "prohibited", "backlog-full")}


def takes_minutes_with(name, stack):
    return name in TAKES_MINUTES and stack != "ns3"  # simulated time costs nothing


def is_possible(name, stack):
    """A process is a host here, so it has one connection a scenario; where nobody listens, no host would refuse."""
    made = make(name, 1, stack=stack)
    if not made.stacks:
        return True
    if made.ipv6 or any(c.program for c in made.connections) or any(name in NOT_WITH[p] for p in made.stacks.values()):
        return False
    return made.attributes is not None or (len(made.connections) == 1 and
                                           ("server" not in made.stacks or made.connections[0].server_steps != []))


@takes_minutes
@scenario
def reference(s):
    """The case of the TCP analysis lesson: acknowledged at once, keep-alives at 45 s and 90 s, an answer after 108 s."""
    s.rtt_ms, s.split, s.timeout_s = 97, 0.5, 130
    c = s.connection(server_port=5432)
    # Not acknowledging the first of the two segments on its own takes a server that delays its ACKs.
    c.connect("keepalive:1", "keepidle:45", "keepintvl:45", server=["quickack:0"])
    c.request(["send:1495"], ["sleep:108s", "send:512"])
    c.close()
    s.expect = (1, "server.think")


@scenario
def all_fast(s):
    """Several requests, answered at once."""
    s.rtt_ms = s.rng.choice((2, 8, 20, 35))
    c = s.connection().connect()
    for i in range(s.rng.randint(2, 6)):
        c.request([f"get:/item/{i}:{s.size(120, 1200)}"], [f"send:{s.size(100, 12000)}"])
        c.think_time(s.uniform(0.05, 0.5))
    c.close()
    s.expect = (1, "none")


@scenario
def server_thinks(s):
    """The server has the request and is silent before its answer."""
    c = s.connection().connect()
    c.request([f"get:/report:{s.size(120, 3000)}"], [f"sleep:{s.seconds(0.2, 4)}s", f"send:{s.size(100, 40000)}"])
    c.close()
    s.expect = (1, "server.think")


@scenario
def server_pauses(s):
    """The server stops in mid-answer, with nothing on the way."""
    c = s.connection().connect()
    n = s.size(2000, 13000)
    c.request([f"get:/page:{s.size(120, 1200)}"], [f"send:{n}", f"sleep:{s.rtt_ms / 1000 + s.seconds(0.3, 2):.3f}s", f"send:{n}"])
    c.close()
    s.expect = (1, "server.pause")


@scenario
def request_lost(s):
    """The request's only segment is lost, once or twice."""
    n = s.rng.choice((1, 1, 2))
    s.set(f"c2s.{s.hop()}.drop=byte:0,1,{n}")
    c = s.connection().connect()
    c.request([f"get:/lost:{s.size(120, 1200)}"], [f"send:{s.size(100, 4000)}"])
    c.close()
    s.expect = (1, "network.loss")


@scenario
def syn_lost(s):
    """The first SYN is lost, or two."""
    s.set(f"c2s.{s.hop()}.drop=syn,1,{s.rng.choice((1, 1, 2))}")
    c = s.connection().connect()
    c.request(["send:300"], ["send:900"])
    c.close()
    s.expect = (0, "network.connect")


@scenario
def lossy_download(s):
    """Segments of a long answer are lost at random."""
    s.rtt_ms = s.rng.choice((35, 60, 97))
    s.set(f"s2c.{s.hop()}.loss={s.uniform(0.02, 0.06):.3f}")
    c = s.connection().connect()
    c.request([f"get:/archive:{s.size(120, 1200)}"], [f"send:{s.size(150000, 600000)}"], acceptable=["network.transfer"])
    c.close()
    s.expect = (1, "network.loss")


@scenario
def client_window(s):
    """The client's program stops reading; its window closes while the server has more."""
    n, first = 250000, s.whole(1000, "server")
    c = s.connection().connect(f"rcvbuf:{s.whole(16384, 'server')}")
    c.request(["get:/export:400"], [f"send:{n}"],
              read=[f"recv:{first}", f"sleep:{s.seconds(0.6, 2)}s", f"recv:{n - first}"])
    c.close()
    s.expect = (1, "client.window")


@scenario
def client_pauses(s):
    """The client stops in the middle of its upload."""
    c = s.connection().connect()
    n = s.size(1000, 12000)
    c.request([f"send:{n}", f"sleep:{s.rtt_ms / 1000 + s.seconds(0.3, 2):.3f}s", f"send:{n}"], ["send:300"])
    c.close()
    s.expect = (1, "client.pause")


def one_request(s, send, answer, cause, connect=(), **more):
    """The plainest conversation: a connection with one request."""
    c = s.connection().connect(*connect)
    c.request(send, answer, **more)
    c.close()
    s.expect = (1, cause) if cause else None
    return c


@scenario
def server_thinks_later(s):
    """The third request of a connection, after idle time, waits for the server."""
    c = s.connection().connect()
    for _ in range(2):
        c.request([f"send:{s.size(60, 1200)}"], [f"send:{s.size(100, 4000)}"])
        c.think_time(s.seconds(0.1, 2))
    c.request([f"send:{s.size(60, 1200)}"], [f"sleep:{s.seconds(0.3, 3)}s", f"send:{s.size(100, 4000)}"])
    c.think_time(s.seconds(0.1, 1))
    c.request(["send:200"], ["send:300"])
    c.close()
    s.expect = (3, "server.think")


@scenario
def server_thinks_briefly(s):
    """Think times around the threshold of what is slow."""
    one_request(s, ["send:300"], [f"sleep:{s.seconds(0.05, 0.3)}s", "send:900"], "server.think",
                acceptable=["none", "server.think"])


@takes_minutes
@scenario
def server_thinks_minutes(s):
    """The server has the request and is silent for more than a minute."""
    s.timeout_s = 200
    one_request(s, ["send:300"], [f"sleep:{s.seconds(60, 120)}s", "send:900"], "server.think")


@scenario
def keep_alives(s):
    """The server thinks, and the client's TCP asks whether it is still there."""
    s.server_grace_s = 8
    one_request(s, ["send:700"], [f"sleep:{s.seconds(2.5, 5)}s", "send:900"], "server.think",
                connect=("keepalive:1", "keepidle:1", "keepintvl:1"))


@scenario
def many_connections(s):
    """A connection for each request, one after another, some slow."""
    first = None
    for i in range(6):
        c = s.connection(start_s=0.7 * i, behind=first).connect()
        first = first or c
        c.request([f"get:/order/{i}:300"], ([f"sleep:{s.seconds(0.2, 0.5)}s"] if i % 2 else []) + ["send:900"])
        c.close()
    s.rtt_ms = min(s.rtt_ms, 35)


@scenario
def server_trickles(s):
    """The answer comes in small pieces with pauses between."""
    gap = s.rtt_ms / 1000 + s.seconds(0.06, 0.2)
    one_request(s, ["send:400"], [f"trickle:{s.rng.randint(80, 900)}:{s.rng.randint(6, 15)}:{gap:.3f}s"], "server.pause")


@scenario
def client_trickles(s):
    """The request comes in small pieces with pauses between."""
    gap = s.rtt_ms / 1000 + s.seconds(0.06, 0.2)
    one_request(s, [f"trickle:{s.rng.randint(80, 900)}:{s.rng.randint(6, 15)}:{gap:.3f}s"], ["send:400"], "client.pause")


@scenario
def client_reads_slowly(s):
    """The client's program reads a little at a time."""
    n, chunk = 200000, s.whole(8000, "server")
    gap = s.seconds(0.03, 0.08)
    one_request(s, ["send:300"], [f"send:{n}"], "client.window", connect=(f"rcvbuf:{s.whole(16384, 'server')}",),
                read=[f"recvslow:{n}:{chunk}:{gap}s"])


@scenario
def client_small_window(s):
    """The client's window is never closed, but smaller than the path."""
    s.rtt_ms = s.rng.choice((35, 60, 97, 140))
    one_request(s, ["send:300"], [f"send:{s.size(50000, 100000)}"], "client.window", connect=(f"rcvbuf:{s.whole(8192, 'server')}",))


@scenario
def client_no_scaling(s):
    """Without window scaling a long fast path is not filled."""
    s.rtt_ms = s.rng.choice((97, 140))
    s.congestion = "cubic"
    s.client_sysctls["net.ipv4.tcp_window_scaling"] = "0"
    one_request(s, ["send:300"], [f"send:{s.size(800000, 1200000)}"], "client.window",
                acceptable=["network.transfer"])


@scenario
def server_window(s):
    """The server's program stops reading an upload; its window closes."""
    n, first = 250000, s.whole(1000, "client")
    c = s.connection().connect(listen=(f"rcvbuf:{s.whole(16384, 'client')}",))
    c.request([f"send:{n}"], ["send:300"],
              server_read=[f"recv:{first}", f"sleep:{s.seconds(0.6, 2)}s", f"recv:{n - first}"])
    c.close()
    s.expect = (1, "server.window")


@scenario
def server_small_window(s):
    """The server's window is smaller than the path of an upload."""
    s.rtt_ms = s.rng.choice((35, 60, 97, 140))
    c = s.connection().connect(listen=(f"rcvbuf:{s.whole(8192, 'client')}",))
    c.request([f"send:{s.size(50000, 100000)}"], ["send:300"])
    c.close()
    s.expect = (1, "server.window")


@scenario
def syn_ack_lost(s):
    """The SYN-ACK is lost."""
    s.set(f"s2c.{s.hop()}.drop=synack,1,1")
    c = s.connection().connect()
    c.request(["send:300"], ["send:900"])
    c.close()
    s.expect = (0, "network.connect")


@scenario
def answer_lost(s):
    """The answer's only segment is lost, once or twice."""
    s.set(f"s2c.{s.hop()}.drop=byte:0,1,{s.rng.choice((1, 1, 2))}")
    one_request(s, ["send:300"], [f"send:{s.size(100, 1200)}"], "network.loss")


@scenario
def tail_lost(s):
    """The last segment of a long answer is lost."""
    s.rtt_ms = s.rng.choice((60, 97, 140))
    n = s.rng.randint(3, 9) * MSS
    s.set(f"s2c.{s.hop()}.drop=byte:{n - 1},1,{s.rng.choice((1, 2))}")
    one_request(s, ["send:300"], [f"send:{n}"], "network.loss")


@scenario
def run_lost(s):
    """Several segments in a row are lost in mid-answer."""
    s.rtt_ms = s.rng.choice((60, 97, 140))
    s.set(f"s2c.{s.hop()}.drop=data,{s.rng.randint(5, 12)},{s.rng.randint(3, 6)}")
    one_request(s, ["send:300"], [f"send:{s.size(30000, 60000)}"], None, acceptable=["network.loss", "network.transfer"])


@scenario
def lossy_upload(s):
    """Segments of a long request are lost at random."""
    s.rtt_ms = s.rng.choice((35, 60, 97))
    s.set(f"c2s.{s.hop()}.loss={s.uniform(0.02, 0.06):.3f}")
    one_request(s, [f"send:{s.size(150000, 400000)}"], ["send:300"], "network.loss", acceptable=["network.transfer"])


@scenario
def burst_loss(s):
    """Runs of segments are lost, as by a full buffer or a bad radio link."""
    s.rtt_ms = s.rng.choice((35, 60, 97))
    s.set(f"s2c.{s.hop()}.burst=0.01,0.3")
    one_request(s, ["send:300"], [f"send:{s.size(150000, 400000)}"], None, acceptable=["network.loss", "network.transfer"])


@scenario
def outage(s):
    """For a while nothing gets through in either direction."""
    s.rtt_ms = s.rng.choice((20, 35))
    start = s.uniform(0.3, 0.5)
    end = start + s.uniform(0.4, 1.2)
    s.set("s2c.before.rate=10M", "s2c.before.queue=200k",
          *(f"{direction}.after.outage={start:.3f}s,{end:.3f}s" for direction in ("c2s", "s2c")))
    one_request(s, ["send:300"], ["send:1000000"], "network.loss", acceptable=["network.transfer"])


@scenario
def narrow_link_short_queue(s):
    """A bottleneck with little room: it drops."""
    s.rtt_ms = s.rng.choice((20, 35, 60))
    hop = s.hop()
    s.set(f"s2c.{hop}.rate={s.rng.choice((1, 2, 4))}M", f"s2c.{hop}.queue=15k")
    one_request(s, ["send:300"], ["send:300000"], "network.transfer", acceptable=["network.loss"])


@scenario
def narrow_link_bloated_queue(s):
    """A bottleneck that queues for long rather than drop."""
    s.rtt_ms = s.rng.choice((20, 35, 60))
    hop = s.hop()
    s.set(f"s2c.{hop}.rate={s.rng.choice((1, 2, 4))}M", f"s2c.{hop}.queue=1M")
    one_request(s, ["send:300"], ["send:300000"], "network.transfer")


@scenario
def narrow_uplink(s):
    """A bottleneck on an upload's way."""
    s.rtt_ms = s.rng.choice((20, 35, 60))
    hop = s.hop()
    s.set(f"c2s.{hop}.rate={s.rng.choice((1, 2))}M", f"c2s.{hop}.queue=300k")
    one_request(s, ["send:150000"], ["send:300"], "network.transfer")


@scenario
def long_path(s):
    """Far away, and nothing wrong."""
    s.rtt_ms = s.rng.choice((300, 450, 600))
    one_request(s, ["send:300"], ["send:900"], "none", acceptable=["network.rtt"])


@scenario
def reordering(s):
    """Segments overtake each other."""
    s.rtt_ms = s.rng.choice((8, 20))
    s.set(f"s2c.{s.hop()}.reorder=0.1,{s.uniform(0.5, 2):.2f}ms")
    one_request(s, ["send:300"], ["send:60000"], "none")


@scenario
def duplication(s):
    """The network delivers some packets twice."""
    s.rtt_ms = s.rng.choice((8, 20))
    s.set(f"s2c.{s.hop()}.duplicate=0.1", f"c2s.{s.hop()}.duplicate=0.1")
    one_request(s, ["send:300"], ["send:60000"], "none")


@scenario
def jitter(s):
    """The round trip varies."""
    s.rtt_ms = s.rng.choice((8, 20))
    s.set(f"s2c.{s.hop()}.jitter=8ms", f"c2s.{s.hop()}.jitter=8ms")
    c = s.connection().connect()
    for _ in range(4):
        c.request(["send:300"], ["send:9000"])
        c.think_time(0.1)
    c.close()
    s.expect = (1, "none")


def small_writes(n):
    """Each but the first of a pair is held by Nagle's algorithm; the program waits for the ACK of both."""
    return ["send:200", "send:200", "drain"] * n


def delayed_reads(n):
    """Linux delays one ACK, by 40 ms, and then acknowledges at once again, until told to delay before the next segment."""
    return ["recv:200", "sleep:45ms", "option:quickack:0"] * 2 * n


@scenario
def client_delays_acks(s):
    """Nagle's algorithm holds the server's small segments for the ACKs that the client delays."""
    s.rtt_ms, n = 20, s.rng.randint(3, 6)
    c = s.connection().connect("quickack:0", server=("nodelay:0",))
    c.request(["send:300"], small_writes(n), read=["option:quickack:0"] + delayed_reads(n))
    c.close()
    s.expect = (1, "client.delayed_ack")


@scenario
def server_delays_acks(s):
    """Nagle's algorithm holds the client's small segments for the ACKs that the server delays."""
    s.rtt_ms, n = 20, s.rng.randint(3, 6)
    c = s.connection().connect("nodelay:0", server=("quickack:0",))
    c.request(small_writes(n), ["send:300"], server_read=delayed_reads(n)[:-2])
    c.close()
    s.expect = (1, "server.delayed_ack")


@scenario
def nagle_once(s):
    """A request in two small writes: the second waits for the ACK that the server delays once."""
    s.rtt_ms, s.slow_ms = 2, 30
    c = s.connection().connect("nodelay:0", server=("quickack:0",))
    c.request(["send:200", "send:200"], ["send:300"])
    c.close()
    s.expect = (1, "server.delayed_ack")


@scenario
def refused(s):
    """Nobody listens on the port."""
    c = s.connection()
    c.connect(after=0, told=("none", "none"), acceptable=["server.connect"])
    c.server_steps = []


@scenario
def unanswered(s):
    """All SYNs are lost, until the client gives up."""
    s.set(f"c2s.{s.hop()}.drop=syn,1,9")
    c = s.connection()
    c.connect("syncnt:2", after=0, told=("network", "network.connect"), acceptable=["unknown.capture", "none"])
    c.server_steps = []


@scenario
def prohibited(s):
    """A router answers the SYN: administratively prohibited."""
    s.set(f"c2s.{s.hop()}.prohibit=1")
    c = s.connection()
    c.connect(after=0, told=("network", "network.connect"), acceptable=["none"])
    c.server_steps = []


@scenario
def server_resets(s):
    """The server thinks, and then resets the connection."""
    c = s.connection().connect()
    c.request(["send:300"], [f"sleep:{s.seconds(0.4, 1.5)}s", "reset", "send:1"], acceptable=["none"])
    c.server_steps.pop()
    s.expect = (1, "server.think")


@scenario
def mtu_black_hole(s):
    """Large segments vanish, until the server's TCP tries smaller ones."""
    s.rtt_ms = s.rng.choice((20, 35, 60))
    s.set(f"s2c.{s.hop()}.mtu={s.rng.choice((1280, 1400))}")
    s.server_sysctls["net.ipv4.tcp_mtu_probing"] = "1"
    one_request(s, ["send:300"], ["send:20000"], "network.mtu")


@scenario
def mtu_black_hole_for_good(s):
    """Large segments vanish, and the client gives up."""
    s.rtt_ms = s.rng.choice((20, 35, 60))
    s.set(f"s2c.{s.hop()}.mtu=1400")
    c = s.connection().connect()
    c.do(client=[f"timeout:{s.seconds(2, 4)}s"])
    c.request(["send:300"], ["send:20000"])
    s.server_grace_s = 0.5
    s.expect = (1, "network.mtu")


@scenario
def mtu_told(s):
    """A router says that the segments are too large; the server obeys at once."""
    s.rtt_ms = s.rng.choice((8, 20))
    s.set(f"s2c.{s.hop()}.mtu=1400", "s2c.before.mtu-icmp=1", "s2c.after.mtu-icmp=1")
    one_request(s, ["send:300"], ["send:20000"], "none")


@scenario
def greeting(s):
    """The server speaks first, after a while."""
    c = s.connection(server_port=s.rng.choice((25, 3306))).connect(after=0)
    c.greeting([f"sleep:{s.seconds(0.3, 2)}s", "send:80"])
    c.request(["send:120"], ["send:60"])
    c.close()
    s.expect = (1, "server.think")


@scenario
def pipelined(s):
    """Three requests at once, answered one after another."""
    c = s.connection().connect("nodelay:1", server=("nodelay:1",))
    c.request(["send:300"], [f"sleep:{s.seconds(0.3, 1)}s", "send:400"], read=[])
    c.request(["send:300"], ["send:500"], read=[], optional=True, acceptable=["server.think", "none"])
    c.request(["send:300"], ["send:600"], read=["recv:400", "recv:500", "recv:600"], optional=True,
              acceptable=["server.think", "none"])
    c.close()
    s.expect = (1, "server.think")


@scenario
def long_poll(s):
    """The client itself ends its wait: it asked for that."""
    c = s.connection().connect()
    c.request([f"get:/events:{s.size(120, 600)}"], [], told=("none", "none"))
    c.do(client=[f"sleep:{s.seconds(1, 4)}s", "shutdown", "recvall", "close"], server=["recvall", "close"])


@scenario
def idle(s):
    """A connection on which nothing happens for a while, between fast answers."""
    c = s.connection().connect("keepalive:1", "keepidle:1", "keepintvl:1")
    c.request(["send:300"], ["send:900"])
    c.think_time(s.seconds(2, 5))
    c.request(["send:300"], ["send:900"])
    c.close()
    s.rtt_ms = min(s.rtt_ms, 97)
    s.expect = (2, "none")


@scenario
def backlog_full(s):
    """The server's kernel drops a SYN because its program doesn't accept."""
    first = s.connection().connect(backlog=0, after=0)
    first.request(["send:300"], ["send:900"])
    first.client_steps += ["close"]
    first.server_steps.insert(1, "sleep:1.5s")
    first.server_steps.append("close")
    filler = s.connection(start_s=0.2, behind=first).connect(after=0)
    filler.request(["send:300"], ["send:900"])
    filler.client_steps += ["close"]
    filler.server_steps.append("close")


@scenario
def think_then_loss(s):
    """The server thinks for long, and a segment of its answer is lost."""
    s.rtt_ms = s.rng.choice((20, 35, 60))
    s.set(f"s2c.{s.hop()}.drop=data,{s.rng.randint(4, 8)},1")
    one_request(s, ["send:300"], [f"sleep:{s.seconds(1.5, 3)}s", "send:40000"], "server.think")


@scenario
def loss_then_think(s):
    """The request is lost twice; the server thinks briefly."""
    s.set(f"c2s.{s.hop()}.drop=byte:0,1,2")
    one_request(s, ["send:300"], [f"sleep:{s.seconds(0.05, 0.1)}s", "send:900"], "network.loss")


@scenario
def pause_and_window(s):
    """The server pauses in mid-answer, the client reads slowly: two culprits."""
    c = s.connection().connect(f"rcvbuf:{s.whole(16384, 'server')}")
    c.request(["send:300"], ["send:60000", f"sleep:{s.seconds(0.5, 2)}s", "send:60000"],
              read=[f"recvslow:120000:{s.whole(8000, 'server')}:{s.seconds(0.03, 0.1)}s"])
    c.close()


@scenario
def mixed_connections(s):
    """Several connections at once, each with another trouble."""
    s.rtt_ms = s.rng.choice((20, 35, 60))
    c = s.connection().connect()
    c.request(["get:/think:300"], [f"sleep:{s.seconds(0.5, 2)}s", "send:5000"]).close()
    c = s.connection(start_s=0.1).connect()
    c.request(["get:/pause:300"], ["send:9000", f"sleep:{s.seconds(0.5, 2)}s", "send:9000"]).close()
    c = s.connection(start_s=0.2).connect()
    c.request(["send:3000", f"sleep:{s.seconds(0.5, 2)}s", "send:3000"], ["send:300"]).close()
    c = s.connection(start_s=0.3).connect()
    c.request(["get:/fast:300"], ["send:3000"]).close()
    c = s.connection(start_s=0.4).connect()
    s.set(f"s2c.after.drop=byte:0,1,1,{c.client_port}")
    c.request(["get:/lost:300"], ["send:700"]).close()


@scenario
def capture_misses(s):
    """The captures lack packets that the wire carried."""
    s.everywhere("miss=0.03")
    one_request(s, ["send:300"], [f"sleep:{s.seconds(0.5, 1)}s", f"send:{s.size(30000, 90000)}"], "server.think",
                acceptable=["unknown.capture", "none"])


@scenario
def capture_misses_fast(s):
    """Fast answers in captures that lack packets."""
    s.rtt_ms = s.rng.choice((2, 8, 20))
    s.everywhere("miss=0.05")
    c = s.connection().connect()
    for _ in range(6):
        c.request(["send:300"], ["send:9000"], optional=True)
        c.think_time(s.uniform(0.05, 0.5))
    c.close()
    s.expect = (1, "none")


@scenario
def mirrored_twice(s):
    """A mirror port delivers each frame twice."""
    s.everywhere("mirror=1,15us")
    one_request(s, ["send:300"], [f"sleep:{s.seconds(0.3, 1)}s", "send:9000"], "server.think")


@scenario
def snaplen_96(s):
    """Headers only, in Ethernet frames with microseconds."""
    s.options += ["--snaplen", "96", "--ethernet", "--microseconds"]
    one_request(s, ["get:/long:3000"], [f"sleep:{s.seconds(0.3, 1)}s", "send:9000"], "server.think")


@scenario
def offload(s):
    """Segments larger than the MSS, as captured where the network card divides them."""
    s.options.append("--offload")
    one_request(s, ["send:3000"], [f"sleep:{s.seconds(0.3, 1)}s", f"send:{s.size(30000, 300000)}"], "server.think",
                acceptable=["network.transfer"] if s.rtt_ms > 60 else [])


@scenario
def no_handshake(s):
    """The capture starts in mid-connection."""
    s.everywhere("from=4")
    c = s.connection().connect()
    for _ in range(3):
        c.request(["send:300"], ["send:900"])
        c.think_time(0.1)
    c.request(["send:300"], [f"sleep:{s.seconds(0.5, 1.5)}s", "send:900"])
    c.close()
    del c.transactions[0]
    s.expect = (3, "server.think")


@scenario
def ipv6(s):
    """The same over IPv6: a pause in mid-answer and a lost segment."""
    s.ipv6 = True
    s.set(f"s2c.{s.hop()}.drop=byte:0,1,1")
    c = s.connection().connect()
    c.request(["send:300"], ["send:900"])
    c.request(["send:300"], ["send:900", f"sleep:{s.rtt_ms / 1000 + s.seconds(0.3, 1):.3f}s", "send:900"])
    c.close()
    s.expect = (2, "server.pause")


@scenario
def ipv6_prohibited(s):
    """A router answers the SYN over IPv6: administratively prohibited."""
    s.ipv6 = True
    prohibited(s)


@scenario
def ipv6_mtu_told(s):
    """ICMPv6 says that the segments are too big; the server obeys at once."""
    s.ipv6 = True
    mtu_told(s)


def curl_and_nginx(s, tls):
    n = s.rng.randint(2, 4)
    thinks = [s.rng.choice((0, 0, s.seconds(0.3, 1.5))) for _ in range(n)]
    c = s.connection(server_port=443 if tls else 80)
    c.client_steps, c.server_steps = [], []
    c.program = real.CurlAndNginx(thinks, [s.size(300, 30000) for _ in range(n)], tls)


@scenario
def http(s):
    """curl and nginx, several requests over one connection."""
    curl_and_nginx(s, tls=False)


@scenario
def tls(s):
    """The same with TLS 1.3 and its session tickets."""
    curl_and_nginx(s, tls=True)


@scenario
def tls_hello_lost(s):
    """The server's half of the TLS handshake is lost."""
    s.set(f"s2c.{s.hop()}.drop=byte:0,1,1")
    curl_and_nginx(s, tls=True)


@scenario
def tls_lossy(s):
    """TLS 1.3 over a lossy path."""
    s.set(f"s2c.{s.hop()}.loss=0.03", f"c2s.{s.hop()}.loss=0.03")
    curl_and_nginx(s, tls=True)


@scenario
def tls_openssl(s):
    """openssl's s_client and s_server, TLS 1.3 with session tickets: lines, and a server process that is stopped for a time."""
    c = s.connection(server_port=4433)
    c.client_steps, c.server_steps = [], []
    n = s.rng.randint(2, 4)
    c.program = real.OpenSSL([s.seconds(0.4, 0.8) for _ in range(n)], s.rng.randrange(n), s.seconds(0.3, 1.5))
    s.slow_ms = 250
