// A peer on a third TCP: peer.c's steps, on gVisor's netstack. Timestamps, SACK and RACK as Linux has them, and little
// else: no delayed ACKs of its own, segments that leave room for all options, recovery of its own.
//
//	netstack OWN-ADDRESS client|server ADDRESS PORT STEP ...
//
// As with lwip.c, the namespace's device has no address, and this process reads and writes it through a packet socket.
// One process is one host, with one connection.
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"strconv"
	"strings"
	"sync/atomic"
	"syscall"
	"time"

	"gvisor.dev/gvisor/pkg/bufferv2"
	"gvisor.dev/gvisor/pkg/tcpip"
	"gvisor.dev/gvisor/pkg/tcpip/adapters/gonet"
	"gvisor.dev/gvisor/pkg/tcpip/header"
	"gvisor.dev/gvisor/pkg/tcpip/link/channel"
	"gvisor.dev/gvisor/pkg/tcpip/network/ipv4"
	"gvisor.dev/gvisor/pkg/tcpip/stack"
	"gvisor.dev/gvisor/pkg/tcpip/transport/tcp"
	"gvisor.dev/gvisor/pkg/waiter"
)

const (
	chunk          = 1 << 16 // bytes a call
	mtu            = 1500
	queue          = 4096
	priority       = "10" // of SCHED_FIFO, as peer.c's
	lifetime       = 900 * time.Second
	linger         = 3 * time.Second // the stack ends with its process: its connection is to end before
	drainFor       = 60 * time.Second
	ethTypeIPv4    = 0x0008 // in network order
	prSetPdeathsig = 1
)

type peer struct {
	isServer         bool
	address          tcpip.FullAddress // where a client connects to, where a server listens
	listener, socket tcpip.Endpoint
	queue            *waiter.Queue // of the listener, or a client's socket
	conn             *gonet.TCPConn
	timeout          time.Duration
	sent, received   uint64
	firstNs, lastNs  int64 // of a receiving step: when its first and last bytes were read
}

// What passed the device: the connection's own first sequence number, and how far it was acknowledged.
var ownISN, acked atomic.Uint32

var filler = []byte(strings.Repeat("abcdefghijklmnopqrstuvwxyz", chunk/26+1))[:chunk]

func refuse(what ...any) {
	fmt.Fprintln(os.Stderr, append([]any{"netstack:"}, what...)...)
	os.Exit(2)
}

func number(text string) int {
	n, err := strconv.ParseUint(text, 10, 32)
	if err != nil {
		refuse("no such number:", text)
	}
	return int(n)
}

func duration(text string) time.Duration {
	d, err := time.ParseDuration(text)
	if err != nil {
		refuse("no such duration:", text)
	}
	return d
}

func asError(err tcpip.Error) error {
	if err == nil {
		return nil
	}
	return errors.New(err.String())
}

// errno gives an error the name that peer.c logs.
func errno(err error) string {
	for text, name := range map[string]string{"refused": "ECONNREFUSED", "reset": "ECONNRESET", "timed out": "ETIMEDOUT",
		"timeout": "EAGAIN", "ENODATA": "ENODATA"} {
		if strings.Contains(err.Error(), text) {
			return name
		}
	}
	return "EIO"
}

func (p *peer) write(data []byte) error {
	n, err := p.conn.Write(data)
	p.sent += uint64(n)
	return err
}

func (p *peer) send(n int) error {
	for n > 0 {
		part := filler
		if n < len(part) {
			part = part[:n]
		}
		if err := p.write(part); err != nil {
			return err
		}
		n -= len(part)
	}
	return nil
}

func (p *peer) read(data []byte) (int, error) {
	if p.timeout > 0 {
		p.conn.SetReadDeadline(time.Now().Add(p.timeout))
	}
	n, err := p.conn.Read(data)
	if n > 0 {
		p.lastNs = time.Now().UnixNano()
		if p.firstNs == 0 {
			p.firstNs = p.lastNs
		}
		p.received += uint64(n)
	}
	return n, err
}

// receive takes n bytes, or all up to the end when n is negative.
func (p *peer) receive(n int) error {
	data := make([]byte, chunk)
	p.firstNs, p.lastNs = 0, 0
	for left := n; left != 0; {
		part := data
		if left > 0 && left < len(part) {
			part = part[:left]
		}
		got, err := p.read(part)
		if err == io.EOF && n < 0 {
			return nil
		} else if err == io.EOF {
			return errors.New("ENODATA")
		} else if err != nil {
			return err
		}
		if n > 0 {
			left -= got
		}
	}
	return nil
}

func (p *peer) receiveHead() error {
	data, head := make([]byte, chunk), ""
	p.firstNs, p.lastNs = 0, 0
	for !strings.Contains(head, "\r\n\r\n") {
		n, err := p.read(data)
		if err != nil {
			return err
		}
		head += string(data[:n])
	}
	return nil
}

func (p *peer) get(path string, size int) error {
	head := "GET " + path + " HTTP/1.1\r\nHost: lab.example\r\nX-Fill: "
	return p.write([]byte(head + strings.Repeat("x", size-len(head)-4) + "\r\n\r\n"))
}

// await runs try again at each of the queue's events until it has more to say than "would block".
func await(queue *waiter.Queue, events waiter.EventMask, try func() tcpip.Error) error {
	entry, happened := waiter.NewChannelEntry(events)
	queue.EventRegister(&entry)
	defer queue.EventUnregister(&entry)
	for {
		err := try()
		switch err.(type) {
		case *tcpip.ErrWouldBlock, *tcpip.ErrConnectStarted, *tcpip.ErrAlreadyConnecting:
			<-happened
		default:
			return asError(err)
		}
	}
}

func (p *peer) connect() error {
	err := await(p.queue, waiter.WritableEvents, func() tcpip.Error {
		err := p.socket.Connect(p.address)
		if _, ok := err.(*tcpip.ErrAlreadyConnected); ok {
			return nil
		}
		return err
	})
	p.conn = gonet.NewTCPConn(p.queue, p.socket)
	return err
}

func (p *peer) listen(backlog int) error {
	if err := p.listener.Bind(p.address); err != nil {
		return asError(err)
	}
	err := asError(p.listener.Listen(backlog))
	fmt.Fprintln(os.Stderr, "ready")
	return err
}

func (p *peer) accept() error {
	p.sent, p.received = 0, 0
	return await(p.queue, waiter.ReadableEvents, func() tcpip.Error {
		socket, queue, err := p.listener.Accept(nil)
		if err == nil {
			p.socket, p.conn = socket, gonet.NewTCPConn(queue, socket)
		}
		return err
	})
}

// drain waits until the other end has acknowledged all that was sent.
func (p *peer) drain() error {
	for end := time.Now().Add(drainFor); time.Now().Before(end); time.Sleep(time.Millisecond / 10) {
		if int32(acked.Load()-ownISN.Load()-1-uint32(p.sent)) >= 0 {
			return nil
		}
	}
	return errors.New("timed out")
}

func (p *peer) option(name string, value int) error {
	socket := p.socket
	if socket == nil {
		socket = p.listener
	}
	options := socket.SocketOptions()
	switch name {
	case "rcvbuf":
		options.SetReceiveBufferSize(2*int64(value), true)
	case "sndbuf":
		options.SetSendBufferSize(2*int64(value), true)
	case "keepalive":
		options.SetKeepAlive(value != 0)
	case "nodelay":
		options.SetDelayOption(value == 0)
	case "quickack":
		options.SetQuickAck(value != 0)
	case "keepidle":
		idle := tcpip.KeepaliveIdleOption(time.Duration(value) * time.Second)
		return asError(socket.SetSockOpt(&idle))
	case "keepintvl":
		interval := tcpip.KeepaliveIntervalOption(time.Duration(value) * time.Second)
		return asError(socket.SetSockOpt(&interval))
	case "usertimeout":
		timeout := tcpip.TCPUserTimeoutOption(time.Duration(value) * time.Millisecond)
		return asError(socket.SetSockOpt(&timeout))
	case "maxseg":
		return asError(socket.SetSockOptInt(tcpip.MaxSegOption, value))
	case "clamp":
		return asError(socket.SetSockOptInt(tcpip.TCPWindowClampOption, value))
	case "syncnt":
		return asError(socket.SetSockOptInt(tcpip.TCPSynCountOption, value))
	case "notsent": // there is none
	default:
		refuse("unknown socket option", name)
	}
	return nil
}

func (p *peer) reset() error {
	p.socket.SocketOptions().SetLinger(tcpip.LingerOption{Enabled: true})
	return p.conn.Close()
}

func (p *peer) step(text string) bool {
	words := strings.Split(text, ":")
	argument := append(words[1:], "", "")
	sent, received, start := p.sent, p.received, time.Now().UnixNano()
	var err error
	did := ""
	switch words[0] {
	case "bind":
		err = asError(p.socket.Bind(tcpip.FullAddress{Port: uint16(number(argument[0]))}))
	case "connect":
		err = p.connect()
	case "listen":
		err = p.listen(number(argument[0]))
	case "accept":
		err = p.accept()
		sent, received = 0, 0
	case "send":
		did, err = "sent", p.send(number(argument[0]))
	case "get":
		did, err = "sent", p.get(argument[0], number(argument[1]))
	case "status":
		did, err = "sent", p.write([]byte("HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: "+argument[0]+"\r\n\r\n"))
	case "recv":
		did, err = "received", p.receive(number(argument[0]))
	case "recvall":
		did, err = "received", p.receive(-1)
	case "recvhead":
		did, err = "received", p.receiveHead()
	case "sleep":
		time.Sleep(duration(argument[0]))
	case "drain":
		err = p.drain()
	case "shutdown":
		err = p.conn.CloseWrite()
	case "close":
		err = p.conn.Close()
	case "reset":
		err = p.reset()
	case "timeout":
		p.timeout = duration(argument[0])
	case "option":
		err = p.option(argument[0], number(argument[1]))
	default:
		refuse("no such step:", text)
	}
	role := map[bool]string{true: "server", false: "client"}[p.isServer]
	fmt.Printf(`{"role":"%s","step":"%s","start_ns":%d,"end_ns":%d`, role, text, start, time.Now().UnixNano())
	if did == "sent" {
		fmt.Printf(`,"sent":[%d,%d]`, sent, p.sent)
	} else if did == "received" {
		fmt.Printf(`,"received":[%d,%d]`, received, p.received)
		if p.firstNs != 0 {
			fmt.Printf(`,"first_ns":%d,"last_ns":%d`, p.firstNs, p.lastNs)
		}
	}
	if err != nil {
		fmt.Printf(`,"error":"%s"`, errno(err))
	}
	fmt.Println("}")
	return err == nil
}

// turns repeats two steps n times, without the second after the last.
func (p *peer) turns(first, second string, n int) bool {
	for i := 0; i < n; i++ {
		if !p.step(first) || i+1 < n && !p.step(second) {
			return false
		}
	}
	return true
}

func (p *peer) run(text string) bool {
	words := strings.Split(text, ":")
	switch {
	case words[0] == "trickle" && len(words) == 4:
		return p.turns("send:"+words[1], "sleep:"+words[3], number(words[2]))
	case words[0] == "recvslow" && len(words) == 4:
		total, part := number(words[1]), number(words[2])
		return p.turns("recv:"+words[2], "sleep:"+words[3], total/part) &&
			(total%part == 0 || p.step(fmt.Sprintf("recv:%d", total%part)))
	}
	return p.step(text)
}

// note keeps what drain asks for.
func note(packet []byte, outgoing bool) {
	ip := header.IPv4(packet)
	if len(packet) < header.IPv4MinimumSize || int(ip.HeaderLength())+header.TCPMinimumSize > len(packet) {
		return
	}
	segment := header.TCP(packet[ip.HeaderLength():])
	if outgoing && segment.Flags().Contains(header.TCPFlagSyn) {
		ownISN.Store(segment.SequenceNumber())
	} else if !outgoing && segment.Flags().Contains(header.TCPFlagAck) {
		acked.Store(segment.AckNumber())
	}
}

// pump carries packets between the stack and the device.
func pump(link *channel.Endpoint) {
	device, err := net.InterfaceByName("lab0")
	if err != nil {
		refuse(err)
	}
	socket, err := syscall.Socket(syscall.AF_PACKET, syscall.SOCK_DGRAM|syscall.SOCK_CLOEXEC, ethTypeIPv4)
	address := &syscall.SockaddrLinklayer{Protocol: ethTypeIPv4, Ifindex: device.Index}
	if err != nil || syscall.Bind(socket, address) != nil {
		refuse("lab0:", err)
	}
	go func() {
		for data := make([]byte, chunk); ; {
			n, from, err := syscall.Recvfrom(socket, data, 0)
			sender, ok := from.(*syscall.SockaddrLinklayer)
			if err != nil || !ok || sender.Pkttype == syscall.PACKET_OUTGOING {
				continue
			}
			note(data[:n], false)
			packet := stack.NewPacketBuffer(stack.PacketBufferOptions{
				Payload: bufferv2.MakeWithData(append([]byte(nil), data[:n]...))})
			link.InjectInbound(ipv4.ProtocolNumber, packet)
			packet.DecRef()
		}
	}()
	go func() {
		for {
			packet := link.ReadContext(context.Background())
			if packet.IsNil() {
				return
			}
			view := packet.ToView()
			note(view.AsSlice(), true)
			syscall.Sendto(socket, view.AsSlice(), 0, address)
			view.Release()
			packet.DecRef()
		}
	}()
}

func newStack(own tcpip.Address) *stack.Stack {
	s := stack.New(stack.Options{
		NetworkProtocols:   []stack.NetworkProtocolFactory{ipv4.NewProtocol},
		TransportProtocols: []stack.TransportProtocolFactory{tcp.NewProtocol},
	})
	sack, control := tcpip.TCPSACKEnabled(true), tcpip.CongestionControlOption("cubic")
	s.SetTransportProtocolOption(tcp.ProtocolNumber, &sack)
	s.SetTransportProtocolOption(tcp.ProtocolNumber, &control)
	link := channel.New(queue, mtu, "")
	if err := s.CreateNIC(1, link); err != nil {
		refuse(err)
	}
	s.AddProtocolAddress(1, tcpip.ProtocolAddress{Protocol: ipv4.ProtocolNumber, AddressWithPrefix: own.WithPrefix()},
		stack.AddressProperties{})
	s.SetRouteTable([]tcpip.Route{{Destination: header.IPv4EmptySubnet, NIC: 1}})
	pump(link)
	return s
}

func parseAddress(text string) tcpip.Address {
	address := net.ParseIP(text).To4()
	if address == nil {
		refuse("no IPv4 address:", text)
	}
	return tcpip.Address(address)
}

// becomeRealTime gives all threads a priority above the machine's other work: chrt runs this program again.
func becomeRealTime() {
	const done = "CULPRIT_LAB_PRIORITY"
	if os.Getenv(done) != "" {
		return
	}
	self, err := os.Executable()
	if err == nil {
		os.Setenv(done, priority)
		err = syscall.Exec("/usr/bin/chrt", append([]string{"chrt", "-f", priority, self}, os.Args[1:]...), os.Environ())
	}
	fmt.Fprintln(os.Stderr, "netstack: no real-time priority:", err)
}

func main() {
	if len(os.Args) < 5 {
		refuse("usage: netstack OWN-ADDRESS client|server ADDRESS PORT STEP ...")
	}
	becomeRealTime()
	syscall.RawSyscall(syscall.SYS_PRCTL, prSetPdeathsig, uintptr(syscall.SIGTERM), 0)
	time.AfterFunc(lifetime, func() { os.Exit(1) })
	p := &peer{isServer: os.Args[2] == "server", queue: &waiter.Queue{},
		address: tcpip.FullAddress{Addr: parseAddress(os.Args[3]), Port: uint16(number(os.Args[4]))}}
	socket, err := newStack(parseAddress(os.Args[1])).NewEndpoint(tcp.ProtocolNumber, ipv4.ProtocolNumber, p.queue)
	if err != nil {
		refuse(err)
	}
	socket.SocketOptions().SetReuseAddress(true)
	socket.SocketOptions().SetDelayOption(true) // Nagle's algorithm, as sockets have it elsewhere
	if p.isServer {
		p.listener = socket
	} else {
		p.socket = socket
	}
	status := 0
	for _, text := range os.Args[5:] {
		if !p.run(text) {
			status = 1
			break
		}
	}
	time.Sleep(linger)
	os.Exit(status)
}
