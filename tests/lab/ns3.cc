/*
 * A whole lab in simulated time, on ns-3's TCP: both scripted ends and the wire
 * between them. What peer.c and wire.c are told, it is told; what they log, it
 * logs, from its programs' steps and from the simulator's trace sources.
 *
 *     client -- r1 ==before/after== r2 -- r3 ==after/before== r4 -- server
 *
 * Each hop of wire.c is a point-to-point link with its rate, its drop-tail queue
 * and an error model; the links beside the captures are fast ones, PPP or
 * Ethernet (CSMA). A capture has the frames of its link: at the client's device,
 * at r2's towards r3, at the server's. A packet waits before a bottleneck, and is
 * lost at the end of a link.
 *
 * ns-3's TCP shares nothing with the others here: no MSS option, sequence numbers
 * from 0, no PSH; no ACK tells that a closed window opened, the sender's probes
 * find out; timers of its own.
 *
 *     ns3 FOLDER < SCRIPT     writes run-{client,middle,server}.pcap, run.wire.jsonl, {client,server}.N.jsonl there
 *
 * A line of the script is one of (settings are wire.c's, steps peer.c's):
 *     seed N | snaplen N | microseconds | epoch S | host TIME | stop TIME
 *     link client|middle|server ppp|ethernet
 *     global NAME=VALUE | default NAME=VALUE | congestion TYPE
 *     attribute client|server NAME=VALUE      of each socket there
 *     set SETTING
 *     connection CLIENT-PORT SERVER-PORT START BEHIND|-
 *     client STEP | server STEP               of that connection
 */
#include <ns3/core-module.h>
#include <ns3/csma-module.h>
#include <ns3/internet-module.h>
#include <ns3/network-module.h>
#include <ns3/point-to-point-module.h>

#include <cinttypes>
#include <cstdio>
#include <deque>
#include <functional>
#include <iostream>
#include <map>
#include <memory>
#include <sstream>
#include <string>
#include <unistd.h>
#include <vector>

using namespace ns3;

namespace
{
enum { FIN = 1, SYN = 2, RST = 4, ACK = 16 };
enum { C2S, S2C, N_DIRS };
enum { BEFORE, AFTER, N_HOPS };
enum { CLIENT, MIDDLE, SERVER, N_POINTS };
enum { N_NODES = 6, IO_CAP = 1 << 16, PPP_PROTOCOL_IPV4 = 0x0021 };

const char *const dir_name[] = {"c2s", "s2c"};
const char *const hop_name[] = {"before", "after"};
const char *const point_name[] = {"client", "middle", "server"};
const char *const role_name[] = {"client", "server"};
const char server_address[] = "10.0.6.5";

[[noreturn]] void Refuse(const std::string &what)
{
	std::cerr << "ns3: " << what << '\n';
	std::exit(2);
}

std::vector<std::string> Split(const std::string &text, char by)
{
	std::vector<std::string> parts;
	std::stringstream stream(text);
	for (std::string part; std::getline(stream, part, by);) {
		parts.push_back(part);
	}
	return parts;
}

/* A number and its unit: ns, us, ms, s, or k, M, G. */
double Number(const std::string &text)
{
	static const std::map<std::string, double> units = {{"", 1},   {"k", 1e3},  {"M", 1e6},  {"G", 1e9},
	                                                    {"ns", 1}, {"us", 1e3}, {"ms", 1e6}, {"s", 1e9}};
	char *end;
	double value = std::strtod(text.c_str(), &end);
	auto unit = units.find(end);
	if (end == text.c_str() || unit == units.end()) {
		Refuse("no number: " + text);
	}
	return value * unit->second;
}

Time Duration(const std::string &text)
{
	return NanoSeconds(static_cast<int64_t>(Number(text) + 0.5));
}

Ptr<UniformRandomVariable> dice;

bool Happens(double probability)
{
	return probability > 0 && dice->GetValue() < probability;
}

Time epoch; /* what the captures and logs call the simulation's start */

int64_t NowNs()
{
	return (Simulator::Now() + epoch).GetNanoSeconds();
}

/*
 * A packet's life.
 */

struct Life {
	size_t id = 0, copy_of = 0;
	int dir = C2S;
	int64_t time_ns[3] = {0, 0, 0};
	uint64_t frame[3] = {0, 0, 0};
	uint32_t ip_len = 0, payload_len = 0;
	uint16_t client_port = 0, server_port = 0, window = 0;
	uint8_t flags = 0;
	int64_t seq = 0, ack = 0; /* ns-3 numbers from 0 */
	int window_scale = -1;
	bool held_back = false, arrived = false;
	int64_t enqueued_ns = 0, queued_ns = 0;
	std::string lost;
	int hop = 0;
};

std::deque<Life> lives; /* by id, from 1 */

class LifeTag : public Tag
{
      public:
	static TypeId GetTypeId()
	{
		static TypeId type = TypeId("LifeTag").SetParent<Tag>().AddConstructor<LifeTag>();
		return type;
	}
	TypeId GetInstanceTypeId() const override
	{
		return GetTypeId();
	}
	uint32_t GetSerializedSize() const override
	{
		return 8;
	}
	void Serialize(TagBuffer i) const override
	{
		i.WriteU64(id);
	}
	void Deserialize(TagBuffer i) override
	{
		id = i.ReadU64();
	}
	void Print(std::ostream &out) const override
	{
		out << id;
	}
	uint64_t id = 0;
};

/* Null: no packet of TCP, or not on its way yet. */
Life *LifeOf(Ptr<const Packet> packet)
{
	LifeTag tag;
	return packet->PeekPacketTag(tag) ? &lives.at(tag.id - 1) : nullptr;
}

/* Reads the headers of a frame; false: it has no TCP. */
bool ReadHeaders(Ptr<const Packet> frame, bool ethernet, Life &life)
{
	Ptr<Packet> packet = frame->Copy();
	if (ethernet) {
		EthernetHeader header(false);
		packet->RemoveHeader(header);
		if (header.GetLengthType() != Ipv4L3Protocol::PROT_NUMBER) {
			return false;
		}
	} else {
		PppHeader header;
		packet->RemoveHeader(header);
		if (header.GetProtocol() != PPP_PROTOCOL_IPV4) {
			return false;
		}
	}
	Ipv4Header ip;
	TcpHeader tcp;
	packet->RemoveHeader(ip);
	if (ip.GetProtocol() != TcpL4Protocol::PROT_NUMBER) {
		return false;
	}
	uint32_t tcp_len = packet->RemoveHeader(tcp);
	life.ip_len = ip.GetPayloadSize() + ip.GetSerializedSize();
	life.payload_len = ip.GetPayloadSize() - tcp_len;
	life.client_port = life.dir == C2S ? tcp.GetSourcePort() : tcp.GetDestinationPort();
	life.server_port = life.dir == C2S ? tcp.GetDestinationPort() : tcp.GetSourcePort();
	life.flags = tcp.GetFlags();
	life.window = tcp.GetWindowSize();
	life.seq = tcp.GetSequenceNumber().GetValue();
	life.ack = tcp.GetAckNumber().GetValue();
	if (tcp.HasOption(TcpOption::WINSCALE)) {
		life.window_scale =
			DynamicCast<const TcpOptionWinScale>(tcp.GetOption(TcpOption::WINSCALE))->GetScale();
	}
	return true;
}

void WriteJournal(const std::string &path)
{
	FILE *journal = std::fopen(path.c_str(), "w");
	if (journal == nullptr) {
		Refuse(path);
	}
	for (const Life &life : lives) {
		std::fprintf(journal,
		             "{\"id\":%zu,\"dir\":\"%s\",\"times_ns\":[%" PRId64 ",%" PRId64 ",%" PRId64
		             "],\"frames\":[%" PRIu64 ",%" PRIu64 ",%" PRIu64
		             "],\"ip_len\":%u,\"client_port\":%u,\"server_port\":%u,\"offset\":%" PRId64
		             ",\"len\":%u,\"flags\":%u,\"ack\":%" PRIu32 ",\"window\":%u",
		             life.id, dir_name[life.dir], life.time_ns[0], life.time_ns[1], life.time_ns[2],
		             life.frame[0], life.frame[1], life.frame[2], life.ip_len, life.client_port,
		             life.server_port, life.seq - 1, life.payload_len, life.flags,
		             static_cast<uint32_t>(life.ack - 1), life.window);
		if (life.flags & SYN) {
			std::fprintf(journal, ",\"window_scale\":%d", life.window_scale);
		}
		if (life.copy_of != 0) {
			std::fprintf(journal, ",\"copy_of\":%zu", life.copy_of);
		}
		if (life.queued_ns != 0) {
			std::fprintf(journal, ",\"queued_ns\":%" PRId64, life.queued_ns);
		}
		if (life.held_back) {
			std::fputs(",\"held_back\":true", journal);
		}
		if (!life.arrived) {
			std::fprintf(journal, ",\"lost\":\"%s\",\"hop\":\"%s\"",
			             life.lost.empty() ? "stopped" : life.lost.c_str(), hop_name[life.hop]);
		}
		std::fputs("}\n", journal);
	}
	std::fputs("{\"late_max_ns\":0}\n", journal);
	if (std::ferror(journal) != 0 || std::fclose(journal) != 0) {
		Refuse(path);
	}
}

/* The from-th packet that matches, and count - 1 more after it: wire.c's. */
struct Rule {
	std::string match;
	int64_t byte = 0;
	unsigned from = 1, count = 1, client_port = 0, n_seen = 0;

	explicit Rule(const std::string &text)
	{
		std::vector<std::string> part = Split(text, ',');
		if (part.size() < 3) {
			Refuse("no rule: " + text);
		}
		size_t colon = part[0].find(':');
		match = part[0].substr(0, colon);
		byte = colon == std::string::npos ? 0 : static_cast<int64_t>(Number(part[0].substr(colon + 1)));
		from = static_cast<unsigned>(Number(part[1]));
		count = static_cast<unsigned>(Number(part[2]));
		client_port = part.size() > 3 ? static_cast<unsigned>(Number(part[3])) : 0;
	}

	bool Matches(const Life &life) const
	{
		static const std::map<std::string, std::function<bool(const Rule &, const Life &)>> kinds = {
			{"any", [](const Rule &, const Life &) { return true; }},
			{"syn", [](const Rule &, const Life &l) { return (l.flags & (SYN | ACK)) == SYN; }},
			{"synack", [](const Rule &, const Life &l) { return (l.flags & (SYN | ACK)) == (SYN | ACK); }},
			{"data", [](const Rule &, const Life &l) { return l.payload_len > 0; }},
			{"ack", [](const Rule &,
		                   const Life &l) { return l.payload_len == 0 && !(l.flags & (SYN | FIN | RST)); }},
			{"fin", [](const Rule &, const Life &l) { return (l.flags & FIN) != 0; }},
			{"rst", [](const Rule &, const Life &l) { return (l.flags & RST) != 0; }},
			{"byte",
		         [](const Rule &r, const Life &l) {
				 return r.byte >= l.seq - 1 && r.byte < l.seq - 1 + l.payload_len;
			 }},
		};
		auto kind = kinds.find(match);
		if (kind == kinds.end()) {
			Refuse("no such match: " + match);
		}
		return (client_port == 0 || client_port == life.client_port) && kind->second(*this, life);
	}

	bool Takes(const Life &life)
	{
		if (!Matches(life)) {
			return false;
		}
		n_seen++;
		return n_seen >= from && n_seen - from < count;
	}
};

/*
 * Captures.
 */

struct Capture {
	Ptr<PcapFileWrapper> file;
	bool ethernet = false;
	uint64_t n_frames = 0, n_passed = 0, from = 1;
	double miss = 0, mirror = 0;
	Time mirror_after;
	int64_t last_ns = 0;

	void Write(Ptr<const Packet> frame, int64_t time_ns)
	{
		last_ns = std::max(last_ns, time_ns);
		file->Write(NanoSeconds(last_ns), frame);
		n_frames++;
	}
};

Capture captures[N_POINTS];

/* What a capture's device sends and receives. */
void Observe(int point, int dir, Ptr<const Packet> frame)
{
	Capture &capture = captures[point];
	int place = dir == C2S ? point : N_POINTS - 1 - point;
	Life *life = LifeOf(frame);
	if (life == nullptr && place == 0) {
		Life born;
		born.dir = dir;
		if (ReadHeaders(frame, capture.ethernet, born)) {
			born.id = lives.size() + 1;
			lives.push_back(born);
			LifeTag tag;
			tag.id = born.id;
			frame->AddPacketTag(tag);
			life = &lives.back();
		}
	}
	if (life != nullptr) {
		life->time_ns[place] = NowNs();
		life->arrived = place == N_POINTS - 1;
		capture.n_passed++;
		if (capture.n_passed < capture.from || Happens(capture.miss)) {
			return;
		}
	}
	capture.Write(frame, NowNs());
	if (life != nullptr) {
		life->frame[place] = capture.n_frames;
		if (Happens(capture.mirror)) {
			capture.Write(frame, NowNs() + capture.mirror_after.GetNanoSeconds());
		}
	}
}

/*
 * Hops.
 */

Time first_packet = Time::Max();

struct Hop {
	int dir = C2S, which = BEFORE;
	Time delay, jitter, hold;
	double loss = 0, burst_enter = 0, burst_leave = 0, reorder = 0, duplicate = 0;
	bool in_burst = false;
	std::vector<std::pair<Time, Time>> outages;
	std::string rate = "10Gbps";
	uint32_t queue_bytes = 0;
	std::vector<Rule> drops;
	Time last; /* the latest arrival in order */
	Ptr<PointToPointNetDevice> sender, receiver;
	Ptr<PointToPointChannel> channel;

	/* Each is drawn for each packet, so that one setting does not change another's draws. */
	std::string WhyLost(const Life &life)
	{
		bool scripted = false;
		for (Rule &rule : drops) {
			scripted |= rule.Takes(life);
		}
		bool scattered = Happens(loss);
		if (burst_enter > 0) {
			in_burst = in_burst ? !Happens(burst_leave) : Happens(burst_enter);
		}
		Time since = Simulator::Now() - first_packet;
		for (const auto &[begin, end] : outages) {
			if (since >= begin && since < end) {
				return "outage";
			}
		}
		return scripted ? "scripted" : scattered ? "loss" : in_burst ? "burst" : "";
	}

	/* The device is about to hand the packet to the channel, whose delay is for this one. */
	void Launch(Ptr<const Packet> packet)
	{
		first_packet = std::min(first_packet, Simulator::Now());
		Time sent = Simulator::Now() + DataRate(rate).CalculateBytesTxTime(packet->GetSize());
		Time arrival = sent + delay + NanoSeconds(static_cast<int64_t>(dice->GetValue() * jitter.GetDouble()));
		Life *life = LifeOf(packet);
		if (life != nullptr && Happens(reorder)) {
			arrival += hold;
			life->held_back = true;
		} else {
			arrival = last = std::max(arrival, last);
		}
		channel->SetAttribute("Delay", TimeValue(arrival - sent));
	}

	void Enqueued(Ptr<const Packet> packet)
	{
		if (Life *life = LifeOf(packet)) {
			life->enqueued_ns = NowNs();
		}
	}

	void Sent(Ptr<const Packet> packet)
	{
		Life *life = LifeOf(packet);
		if (life != nullptr && queue_bytes > 0) {
			life->queued_ns += NowNs() - life->enqueued_ns;
		}
	}

	void Overflowed(Ptr<const Packet> packet)
	{
		if (Life *life = LifeOf(packet)) {
			life->lost = "queue";
			life->hop = which;
		}
	}

	void Lost(Ptr<const Packet> packet)
	{
		if (Life *life = LifeOf(packet)) {
			life->hop = which;
		}
	}
};

Hop hops[N_DIRS][N_HOPS];

/* At the end of a link: loses what its hop loses, and may deliver twice. */
class HopErrors : public ErrorModel
{
      public:
	static TypeId GetTypeId()
	{
		static TypeId type = TypeId("HopErrors").SetParent<ErrorModel>().AddConstructor<HopErrors>();
		return type;
	}
	Hop *hop = nullptr;

      private:
	bool DoCorrupt(Ptr<Packet> packet) override
	{
		Life *life = LifeOf(packet);
		if (life == nullptr || m_again) {
			return false;
		}
		life->lost = hop->WhyLost(*life);
		if (!life->lost.empty()) {
			return true;
		}
		if (Happens(hop->duplicate)) {
			Ptr<Packet> copy = packet->Copy();
			lives.push_back(*life);
			Life &born = lives.back();
			born.id = lives.size();
			born.copy_of = life->id;
			LifeTag tag;
			copy->RemovePacketTag(tag);
			tag.id = born.id;
			copy->AddPacketTag(tag);
			Simulator::Schedule(MicroSeconds(1), &HopErrors::Again, this, copy);
		}
		return false;
	}
	void Again(Ptr<Packet> packet)
	{
		m_again = true;
		hop->receiver->Receive(packet);
		m_again = false;
	}
	void DoReset() override
	{
	}
	bool m_again = false;
};

void Set(const std::string &setting)
{
	size_t equals = setting.find('='), dot = setting.rfind('.', equals);
	if (equals == std::string::npos || dot == std::string::npos) {
		Refuse("no setting: " + setting);
	}
	std::string where = setting.substr(0, dot), name = setting.substr(dot + 1, equals - dot - 1);
	std::vector<std::string> value = Split(setting.substr(equals + 1), ',');
	for (int point = 0; point < N_POINTS; point++) {
		Capture &capture = captures[point];
		if (where != point_name[point]) {
			continue;
		}
		if (name == "miss") {
			capture.miss = Number(value.at(0));
		} else if (name == "from") {
			capture.from = static_cast<uint64_t>(Number(value.at(0)));
		} else if (name == "mirror") {
			capture.mirror = Number(value.at(0));
			capture.mirror_after = Duration(value.at(1));
		} else {
			Refuse("unknown setting: " + setting);
		}
		return;
	}
	for (int dir = 0; dir < N_DIRS; dir++) {
		for (int which = 0; which < N_HOPS; which++) {
			Hop &hop = hops[dir][which];
			if (where != std::string(dir_name[dir]) + "." + hop_name[which]) {
				continue;
			}
			if (name == "delay") {
				hop.delay = Duration(value.at(0));
			} else if (name == "jitter") {
				hop.jitter = Duration(value.at(0));
			} else if (name == "loss") {
				hop.loss = Number(value.at(0));
			} else if (name == "burst") {
				hop.burst_enter = Number(value.at(0));
				hop.burst_leave = Number(value.at(1));
			} else if (name == "reorder") {
				hop.reorder = Number(value.at(0));
				hop.hold = Duration(value.at(1));
			} else if (name == "duplicate") {
				hop.duplicate = Number(value.at(0));
			} else if (name == "outage") {
				hop.outages.emplace_back(Duration(value.at(0)), Duration(value.at(1)));
			} else if (name == "rate") {
				hop.rate = std::to_string(static_cast<uint64_t>(Number(value.at(0)))) + "bps";
			} else if (name == "queue") {
				hop.queue_bytes = static_cast<uint32_t>(Number(value.at(0)));
			} else if (name == "drop") {
				hop.drops.emplace_back(setting.substr(equals + 1));
			} else {
				Refuse("unknown setting: " + setting);
			}
			return;
		}
	}
	Refuse("unknown setting: " + setting);
}

/*
 * Scripted programs.
 */

Time host_time; /* between a program's steps, and until it wakes up; 0: it acts within its socket's callback */
int n_running;  /* peers whose script has not ended */
Time linger;    /* how long the simulation goes on then */

/* ns-3's socket has no such method for programs. */
struct Abort : TcpSocketBase {
	static void Reset(Ptr<TcpSocketBase> socket)
	{
		((*socket).*&Abort::SendRST)();
	}
};

class Peer
{
      public:
	Peer(int role, Ptr<Node> node, uint16_t server_port, const std::string &log_path)
	    : m_role(role), m_node(node), m_server_port(server_port), m_log(std::fopen(log_path.c_str(), "w"))
	{
		if (m_log == nullptr) {
			Refuse(log_path);
		}
		n_running++;
	}

	~Peer()
	{
		std::fclose(m_log);
	}

	Peer(const Peer &) = delete;
	Peer &operator=(const Peer &) = delete;

	/* trickle:CHUNK:N:TIME and recvslow:TOTAL:CHUNK:TIME are send or recv and sleep, by turns. */
	void Add(const std::string &step)
	{
		std::vector<std::string> part = Split(step, ':');
		if (part[0] == "trickle" || part[0] == "recvslow") {
			uint64_t first = std::stoull(part.at(1)), second = std::stoull(part.at(2));
			bool sends = part[0] == "trickle";
			uint64_t chunk = sends ? first : second, n = sends ? second : first / second;
			for (uint64_t i = 0; i < n; i++) {
				m_steps.push_back((sends ? "send:" : "recv:") + std::to_string(chunk));
				if (i + 1 < n) {
					m_steps.push_back("sleep:" + part.at(3));
				}
			}
			if (!sends && first % second != 0) {
				m_steps.push_back("recv:" + std::to_string(first % second));
			}
			return;
		}
		m_steps.push_back(step);
	}

	void Start()
	{
		if (m_role == SERVER_ROLE) {
			m_listener = NewSocket();
		} else {
			Take(NewSocket());
		}
		NextStep();
	}

	enum { CLIENT_ROLE, SERVER_ROLE };
	static std::vector<std::pair<std::string, std::string>> attributes[2]; /* by role */
	static std::string congestion;

      private:
	Ptr<TcpSocketBase> NewSocket()
	{
		Ptr<Socket> socket = m_node->GetObject<TcpL4Protocol>()->CreateSocket(TypeId::LookupByName(congestion));
		for (const auto &[name, value] : attributes[m_role]) {
			socket->SetAttribute(name, StringValue(value));
		}
		return DynamicCast<TcpSocketBase>(socket);
	}

	/* The socket that the steps are about from now on. */
	void Take(Ptr<TcpSocketBase> socket)
	{
		m_socket = socket;
		m_n_sent = m_n_received = 0;
		m_ended = m_failed = m_connected = false;
		m_socket->SetConnectCallback(MakeCallback(&Peer::OnConnected, this),
		                             MakeCallback(&Peer::OnFailed, this));
		m_socket->SetCloseCallbacks(MakeCallback(&Peer::OnEnded, this), MakeCallback(&Peer::OnFailed, this));
		m_socket->SetRecvCallback(MakeCallback(&Peer::OnEvent, this));
		m_socket->SetSendCallback(MakeCallback(&Peer::OnRoom, this));
	}

	void OnConnected(Ptr<Socket> socket)
	{
		m_connected = true;
		OnEvent(socket);
	}
	void OnFailed(Ptr<Socket> socket)
	{
		if (socket == m_socket) {
			m_failed = true;
			OnEvent(socket);
		}
	}
	void OnEnded(Ptr<Socket> socket)
	{
		if (socket == m_socket) {
			m_ended = true;
			OnEvent(socket);
		}
	}
	void OnRoom(Ptr<Socket> socket, uint32_t)
	{
		OnEvent(socket);
	}
	void OnAccept(Ptr<Socket> socket, const Address &)
	{
		m_accepted.push_back(DynamicCast<TcpSocketBase>(socket));
		OnEvent(nullptr);
	}
	bool OnRequest(Ptr<Socket>, const Address &)
	{
		return true;
	}

	/* Something happened that a step may wait for. */
	void OnEvent(Ptr<Socket>)
	{
		if (!m_waiting || m_wake.IsRunning()) {
			return;
		}
		if (host_time.IsZero()) {
			Continue();
		} else {
			m_wake = Simulator::Schedule(host_time, &Peer::Continue, this);
		}
	}

	void NextStep()
	{
		if (m_next == m_steps.size()) {
			Finish();
			return;
		}
		m_part = Split(m_steps[m_next], ':');
		m_start_ns = NowNs();
		m_first_ns = m_last_ns = 0;
		m_from = m_part[0] == "recv" || m_part[0] == "recvall" ? m_n_received : m_n_sent;
		m_data.clear();
		m_left = 0;
		Begin();
	}

	void Begin()
	{
		const std::string &name = m_part[0];
		if (name == "send") {
			m_left = std::stoull(m_part.at(1));
		} else if (name == "get") {
			m_data = "GET " + m_part.at(1) + " HTTP/1.1\r\nHost: lab.example\r\nX-Fill: ";
			m_left = std::stoull(m_part.at(2));
			m_data += std::string(m_left - m_data.size() - 4, 'x') + "\r\n\r\n";
		} else if (name == "recv") {
			m_left = std::stoull(m_part.at(1));
		} else if (name == "recvall") {
			m_left = UINT64_MAX;
		} else if (name == "sleep") {
			Simulator::Schedule(Duration(m_part.at(1)), &Peer::End, this, "");
			return;
		} else if (name == "connect") {
			m_socket->Bind(InetSocketAddress(Ipv4Address::GetAny(), m_port));
			m_socket->Connect(InetSocketAddress(Ipv4Address(server_address), m_server_port));
		}
		m_waiting = true;
		Continue();
	}

	/* Goes on with the step; when it has to wait, an event comes here again. */
	void Continue()
	{
		const std::string &name = m_part[0];
		m_waiting = false;
		if (name == "send" || name == "get") {
			Send();
		} else if (name == "recv" || name == "recvall") {
			Receive();
		} else if (name == "connect") {
			if (m_connected) {
				End("");
			} else if (m_failed || m_ended) {
				End(m_socket->GetErrno() == Socket::ERROR_NOTERROR ? "ECONNREFUSED" : "ETIMEDOUT");
			} else {
				m_waiting = true;
			}
		} else if (name == "accept") {
			Accept();
		} else if (name == "drain") {
			Drain();
		} else if (name == "bind") {
			m_port = static_cast<uint16_t>(std::stoul(m_part.at(1)));
			End("");
		} else if (name == "listen") {
			m_listener->Bind(InetSocketAddress(Ipv4Address::GetAny(), m_server_port));
			m_listener->Listen();
			m_listener->SetAcceptCallback(MakeCallback(&Peer::OnRequest, this),
			                              MakeCallback(&Peer::OnAccept, this));
			End("");
		} else if (name == "shutdown") {
			End(m_socket->ShutdownSend() < 0 ? "ENOTCONN" : "");
		} else if (name == "close") {
			m_socket->Close();
			End("");
		} else if (name == "reset") {
			Abort::Reset(m_socket);
			End("");
		} else if (name == "option") {
			Option();
			End("");
		} else {
			Refuse("no such step: " + m_steps[m_next]);
		}
	}

	void Send()
	{
		static const std::string filler = [] {
			std::string text;
			for (int i = 0; i < IO_CAP; i++) {
				text += static_cast<char>('a' + i % 26);
			}
			return text;
		}();
		while (m_left > 0) {
			const std::string &data = m_data.empty() ? filler : m_data;
			size_t at = m_data.empty() ? 0 : m_data.size() - m_left;
			uint64_t chunk = std::min<uint64_t>({m_left, data.size() - at, m_socket->GetTxAvailable()});
			if (m_failed) {
				End("ECONNRESET");
				return;
			}
			if (chunk == 0) {
				m_waiting = true;
				return;
			}
			/* Its callback may come at once. */
			int sent = m_socket->Send(
				Create<Packet>(reinterpret_cast<const uint8_t *>(data.data() + at), chunk), 0);
			if (sent < 0) {
				End("EPIPE");
				return;
			}
			m_left -= static_cast<uint64_t>(sent);
			m_n_sent += static_cast<uint64_t>(sent);
		}
		End("");
	}

	void Receive()
	{
		while (m_left > 0) {
			Ptr<Packet> got = m_socket->Recv(std::min<uint64_t>(m_left, IO_CAP), 0);
			if (got == nullptr || got->GetSize() == 0) {
				if (m_failed || m_ended) {
					End(m_part[0] == "recvall" && !m_failed ? ""
					    : m_failed                          ? "ECONNRESET"
					                                        : "ENODATA");
				} else {
					m_waiting = true;
				}
				return;
			}
			m_last_ns = NowNs();
			m_first_ns = m_first_ns != 0 ? m_first_ns : m_last_ns;
			m_n_received += got->GetSize();
			m_left -= m_left == UINT64_MAX ? 0 : got->GetSize();
		}
		End("");
	}

	void Accept()
	{
		if (m_accepted.empty()) {
			m_waiting = true;
			return;
		}
		Take(m_accepted.front());
		m_accepted.pop_front();
		/* What came before it was accepted was told to nobody. */
		m_ended = m_socket->GetRxAvailable() == 0 && m_socket->Recv(1, 0) != nullptr;
		End("");
	}

	/* Until all that was sent is acknowledged. */
	void Drain()
	{
		if (m_socket->GetTxBuffer()->Size() > 0 && !m_failed) {
			Simulator::Schedule(MicroSeconds(100), &Peer::Drain, this);
			return;
		}
		End(m_failed ? "ECONNRESET" : "");
	}

	/* What ns-3 has no such option for stays as it is. */
	void Option()
	{
		static const std::map<std::string, std::string> names = {
			{"rcvbuf", "RcvBufSize"},  {"sndbuf", "SndBufSize"}, {"nodelay", "TcpNoDelay"},
			{"maxseg", "SegmentSize"}, {"syncnt", "ConnCount"},  {"quickack", "DelAckCount"}};
		auto name = names.find(m_part.at(1));
		Ptr<TcpSocketBase> socket = m_socket != nullptr ? m_socket : m_listener;
		if (name == names.end()) {
			return;
		}
		if (name->first == "nodelay") {
			socket->SetAttribute(name->second, BooleanValue(m_part.at(2) != "0"));
		} else if (name->first == "quickack") {
			socket->SetAttribute(name->second, UintegerValue(m_part.at(2) != "0" ? 1 : 2));
		} else {
			socket->SetAttribute(name->second, UintegerValue(std::stoul(m_part.at(2))));
		}
	}

	void End(std::string error)
	{
		const std::string &name = m_part[0];
		std::fprintf(m_log, "{\"role\":\"%s\",\"step\":\"%s\",\"start_ns\":%" PRId64 ",\"end_ns\":%" PRId64,
		             role_name[m_role], m_steps[m_next].c_str(), m_start_ns, NowNs());
		if (name == "send" || name == "get") {
			std::fprintf(m_log, ",\"sent\":[%" PRIu64 ",%" PRIu64 "]", m_from, m_n_sent);
		} else if (name == "recv" || name == "recvall") {
			std::fprintf(m_log, ",\"received\":[%" PRIu64 ",%" PRIu64 "]", m_from, m_n_received);
			if (m_first_ns != 0) {
				std::fprintf(m_log, ",\"first_ns\":%" PRId64 ",\"last_ns\":%" PRId64, m_first_ns,
				             m_last_ns);
			}
		}
		if (!error.empty()) {
			std::fprintf(m_log, ",\"error\":\"%s\"", error.c_str());
		}
		std::fputs("}\n", m_log);
		if (!error.empty()) {
			Finish();
			return;
		}
		m_next++;
		/* Also where a program acts at once: one step does not go on within another's callback. */
		Simulator::Schedule(host_time, &Peer::NextStep, this);
	}

	void Finish()
	{
		if (--n_running == 0) {
			Simulator::Stop(linger);
		}
	}

	int m_role;
	Ptr<Node> m_node;
	uint16_t m_server_port, m_port = 0;
	FILE *m_log;
	std::vector<std::string> m_steps, m_part;
	size_t m_next = 0;
	Ptr<TcpSocketBase> m_listener, m_socket;
	std::deque<Ptr<TcpSocketBase>> m_accepted;
	uint64_t m_n_sent = 0, m_n_received = 0, m_from = 0, m_left = 0;
	int64_t m_start_ns = 0, m_first_ns = 0, m_last_ns = 0;
	std::string m_data;
	bool m_waiting = false, m_connected = false, m_ended = false, m_failed = false;
	EventId m_wake;
};

std::vector<std::pair<std::string, std::string>> Peer::attributes[2];
std::string Peer::congestion = "ns3::TcpNewReno";

/*
 * The network.
 */

struct Edge {
	int point;
	int left, right; /* nodes; the capture's device is at_right or not */
	bool at_right;
};

const Edge edges[N_POINTS] = {{CLIENT, 0, 1, false}, {MIDDLE, 2, 3, false}, {SERVER, 4, 5, true}};

NetDeviceContainer ConnectEdge(const NodeContainer &nodes, const Edge &edge)
{
	NodeContainer pair(nodes.Get(edge.left), nodes.Get(edge.right));
	if (captures[edge.point].ethernet) {
		CsmaHelper csma;
		csma.DisableFlowControl();
		csma.SetChannelAttribute("DataRate", StringValue("10Gbps"));
		csma.SetChannelAttribute("Delay", StringValue("200ns"));
		csma.SetQueue("ns3::DropTailQueue<Packet>", "MaxSize", StringValue("100MB"));
		return csma.Install(pair);
	}
	PointToPointHelper link;
	link.DisableFlowControl();
	link.SetDeviceAttribute("DataRate", StringValue("10Gbps"));
	link.SetChannelAttribute("Delay", StringValue("200ns"));
	link.SetQueue("ns3::DropTailQueue<Packet>", "MaxSize", StringValue("100MB"));
	return link.Install(pair);
}

void Tap(const Edge &edge, Ptr<NetDevice> device)
{
	int point = edge.point;
	device->TraceConnectWithoutContext(
		"PromiscSniffer", Callback<void, Ptr<const Packet>>([point](Ptr<const Packet> frame) {
			const Life *life = LifeOf(frame);
			/* What is not on its way yet is what an end's own device sends. */
			Observe(point, life != nullptr ? life->dir : point == SERVER ? S2C : C2S, frame);
		}));
}

void ConnectHop(Hop &hop, Ptr<NetDevice> sender, Ptr<NetDevice> receiver)
{
	hop.sender = DynamicCast<PointToPointNetDevice>(sender);
	hop.receiver = DynamicCast<PointToPointNetDevice>(receiver);
	hop.channel = DynamicCast<PointToPointChannel>(sender->GetChannel());
	hop.sender->SetDataRate(DataRate(hop.rate));
	std::string room = hop.queue_bytes > 0 ? std::to_string(hop.queue_bytes) + "B" : "100MB";
	hop.sender->GetQueue()->SetMaxSize(QueueSize(room));
	hop.sender->TraceConnectWithoutContext("PhyTxBegin", MakeCallback(&Hop::Launch, &hop));
	hop.sender->TraceConnectWithoutContext("PhyTxEnd", MakeCallback(&Hop::Sent, &hop));
	hop.sender->GetQueue()->TraceConnectWithoutContext("Enqueue", MakeCallback(&Hop::Enqueued, &hop));
	hop.sender->GetQueue()->TraceConnectWithoutContext("Drop", MakeCallback(&Hop::Overflowed, &hop));
	Ptr<HopErrors> errors = CreateObject<HopErrors>();
	errors->hop = &hop;
	hop.receiver->SetReceiveErrorModel(errors);
	hop.receiver->TraceConnectWithoutContext("PhyRxDrop", MakeCallback(&Hop::Lost, &hop));
}

/* left is nearer to the client. */
NetDeviceContainer ConnectLink(const NodeContainer &nodes, int left, int right, Hop &there, Hop &back)
{
	PointToPointHelper link;
	link.DisableFlowControl();
	NetDeviceContainer devices = link.Install(nodes.Get(left), nodes.Get(right));
	ConnectHop(there, devices.Get(0), devices.Get(1));
	ConnectHop(back, devices.Get(1), devices.Get(0));
	return devices;
}

NodeContainer MakeNetwork(uint32_t snaplen, bool microseconds)
{
	/* A first packet waits for an address, but not for a random time. */
	Config::SetDefault("ns3::ArpL3Protocol::RequestJitter",
	                   StringValue("ns3::ConstantRandomVariable[Constant=0.0]"));
	NodeContainer nodes;
	nodes.Create(N_NODES);
	InternetStackHelper stack;
	stack.Install(nodes);
	Ipv4AddressHelper addresses;
	std::vector<NetDeviceContainer> links = {
		ConnectEdge(nodes, edges[CLIENT]),
		ConnectLink(nodes, 1, 2, hops[C2S][BEFORE], hops[S2C][AFTER]),
		ConnectEdge(nodes, edges[MIDDLE]),
		ConnectLink(nodes, 3, 4, hops[C2S][AFTER], hops[S2C][BEFORE]),
	};
	for (size_t i = 0; i < links.size(); i++) {
		addresses.SetBase(("10.0." + std::to_string(i + 1) + ".0").c_str(), "255.255.255.0", "0.0.0.42");
		addresses.Assign(links[i]);
	}
	NetDeviceContainer last = ConnectEdge(nodes, edges[SERVER]);
	addresses.SetBase("10.0.6.0", "255.255.255.0", "0.0.0.4");
	addresses.Assign(last);
	links.insert(links.begin() + 4, last);
	Ipv4GlobalRoutingHelper::PopulateRoutingTables();
	for (const Edge &edge : edges) {
		enum { DLT_EN10MB = 1, DLT_PPP = 9 };
		Capture &capture = captures[edge.point];
		capture.file = CreateObject<PcapFileWrapper>();
		capture.file->SetAttribute("NanosecMode", BooleanValue(!microseconds));
		capture.file->Open(std::string("run-") + point_name[edge.point] + ".pcap", std::ios::out);
		capture.file->Init(capture.ethernet ? DLT_EN10MB : DLT_PPP, snaplen, 0);
		Tap(edge, links[edge.point * 2].Get(edge.at_right ? 1 : 0));
	}
	return nodes;
}

/* "NAME=VALUE" */
std::pair<std::string, std::string> Assignment(const std::string &text)
{
	size_t equals = text.find('=');
	if (equals == std::string::npos) {
		Refuse("no assignment: " + text);
	}
	return {text.substr(0, equals), text.substr(equals + 1)};
}

struct Connection {
	uint16_t client_port, server_port;
	Time start;
	bool is_behind; /* another's server accepts it */
	size_t number;
	std::vector<std::string> steps[2];
};

struct Script {
	std::vector<Connection> connections;
	std::vector<size_t> behind; /* the connection whose server program has the steps */
	uint32_t seed = 1, snaplen = 65535;
	bool microseconds = false;
	Time stop = Seconds(600);
};

Script ReadScript(std::istream &in)
{
	Script script;
	for (std::string line; std::getline(in, line);) {
		size_t space = line.find(' ');
		std::string word = line.substr(0, space),
			    rest = space == std::string::npos ? "" : line.substr(space + 1);
		std::vector<std::string> part = Split(rest, ' ');
		if (word == "seed") {
			script.seed = static_cast<uint32_t>(std::stoul(rest));
		} else if (word == "snaplen") {
			script.snaplen = static_cast<uint32_t>(std::stoul(rest));
		} else if (word == "microseconds") {
			script.microseconds = true;
		} else if (word == "epoch") {
			epoch = Seconds(std::stod(rest));
		} else if (word == "host") {
			host_time = Duration(rest);
		} else if (word == "stop") {
			script.stop = Duration(rest);
		} else if (word == "linger") {
			linger = Duration(rest);
		} else if (word == "link") {
			for (int point = 0; point < N_POINTS; point++) {
				if (part.at(0) == point_name[point]) {
					captures[point].ethernet = part.at(1) == "ethernet";
				}
			}
		} else if (word == "global") {
			auto [name, value] = Assignment(rest);
			Config::SetGlobal(name, StringValue(value));
		} else if (word == "default") {
			auto [name, value] = Assignment(rest);
			Config::SetDefault(name, StringValue(value));
		} else if (word == "congestion") {
			Peer::congestion = rest;
		} else if (word == "attribute") {
			Peer::attributes[part.at(0) == role_name[1]].push_back(Assignment(part.at(1)));
		} else if (word == "set") {
			Set(rest);
		} else if (word == "connection") {
			script.connections.push_back({static_cast<uint16_t>(std::stoul(part.at(0))),
			                              static_cast<uint16_t>(std::stoul(part.at(1))),
			                              Duration(part.at(2)),
			                              part.at(3) != "-",
			                              script.connections.size(),
			                              {}});
			script.behind.push_back(part.at(3) != "-" ? std::stoul(part.at(3))
			                                          : script.connections.size() - 1);
		} else if (word == role_name[0] && !script.connections.empty()) {
			script.connections.back().steps[0].push_back(rest);
		} else if (word == role_name[1] && !script.connections.empty()) {
			script.connections[script.behind.back()].steps[1].push_back(rest);
		} else {
			Refuse("no such line: " + line);
		}
	}
	return script;
}

void Run(const Script &script)
{
	RngSeedManager::SetSeed(script.seed + 1);
	dice = CreateObject<UniformRandomVariable>();
	for (int dir = 0; dir < N_DIRS; dir++) {
		for (int which = 0; which < N_HOPS; which++) {
			hops[dir][which].dir = dir;
			hops[dir][which].which = which;
		}
	}
	NodeContainer nodes = MakeNetwork(script.snaplen, script.microseconds);
	std::vector<std::unique_ptr<Peer>> peers;
	for (const Connection &connection : script.connections) {
		for (int role : {Peer::SERVER_ROLE, Peer::CLIENT_ROLE}) {
			if (connection.steps[role].empty()) {
				continue;
			}
			std::string path =
				std::string(role_name[role]) + "." + std::to_string(connection.number) + ".jsonl";
			peers.push_back(std::make_unique<Peer>(role,
			                                       nodes.Get(role == Peer::SERVER_ROLE ? N_NODES - 1 : 0),
			                                       connection.server_port, path));
			for (const std::string &step : connection.steps[role]) {
				peers.back()->Add(step);
			}
			Time start = role == Peer::SERVER_ROLE ? MicroSeconds(1) : MilliSeconds(1) + connection.start;
			Simulator::Schedule(start, &Peer::Start, peers.back().get());
		}
	}
	Simulator::Stop(script.stop);
	Simulator::Run();
	WriteJournal("run.wire.jsonl");
	for (Capture &capture : captures) {
		capture.file->Close();
	}
	peers.clear();
	Simulator::Destroy();
}
} // namespace

int main(int argc, char **argv)
{
	if (argc != 2 || chdir(argv[1]) < 0) {
		std::cerr << "usage: ns3 FOLDER < SCRIPT\n";
		return 2;
	}
	Run(ReadScript(std::cin));
	return 0;
}
