package farend

import (
	"encoding/binary"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"sync"
	"testing"

	"golang.org/x/sys/unix"
)

// maxFrame is more than any frame has, also one that the card would cut up.
const maxFrame = 128 << 10

// Packet is where a packet was going to, and what for.
type Packet struct {
	Protocol string // tcp, udp, or the number or kind of another
	To       netip.AddrPort
}

// recorder writes down every frame that one interface sees.
type recorder struct {
	socket *os.File
	done   chan struct{}

	mu      sync.Mutex
	frames  uint64 // that came in
	begun   map[[2]netip.AddrPort]bool
	packets map[Packet]int
	bytes   []byte // of all of them
}

// record starts a recorder on an interface of the namespace.
func record(t testing.TB, where *Namespace, name string) *recorder {
	t.Helper()
	r := &recorder{done: make(chan struct{}), begun: map[[2]netip.AddrPort]bool{}, packets: map[Packet]int{}}
	err := where.Do(func() error {
		link, err := net.InterfaceByName(name)
		if err != nil {
			return err
		}
		all := binary.NativeEndian.Uint16(binary.BigEndian.AppendUint16(nil, unix.ETH_P_ALL))
		fd, err := unix.Socket(unix.AF_PACKET, unix.SOCK_RAW|unix.SOCK_CLOEXEC|unix.SOCK_NONBLOCK, 0)
		if err != nil {
			return err
		}
		r.socket = os.NewFile(uintptr(fd), "packets of "+name)
		if err := unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_RCVBUFFORCE, 64<<20); err != nil {
			return err
		}
		return unix.Bind(fd, &unix.SockaddrLinklayer{Protocol: all, Ifindex: link.Index})
	})
	if err != nil {
		t.Fatalf("record packets of %s: %v", name, err)
	}
	go func() {
		defer close(r.done)
		r.run()
	}()
	t.Cleanup(func() {
		_ = r.socket.Close()
		<-r.done
	})
	return r
}

// run notes frames until the socket is closed.
func (r *recorder) run() {
	raw, err := r.socket.SyscallConn()
	if err != nil {
		return
	}
	buffer := make([]byte, maxFrame)
	for {
		var n int
		var from unix.Sockaddr
		var receiveErr error
		err := raw.Read(func(fd uintptr) bool {
			n, from, receiveErr = unix.Recvfrom(int(fd), buffer, 0)
			return !errors.Is(receiveErr, unix.EAGAIN)
		})
		if err != nil {
			return
		}
		if link, ok := from.(*unix.SockaddrLinklayer); receiveErr == nil && ok && link.Pkttype != unix.PACKET_OUTGOING {
			r.note(buffer[:n])
		}
	}
}

// note takes a frame apart. What the ends send to each other only to keep the
// wire going, which is IPv6's talk about neighbours, is none of anybody's.
func (r *recorder) note(frame []byte) {
	const head = 14
	if len(frame) < head {
		return
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.frames++
	r.bytes = append(r.bytes, frame...)
	packet, source, begins := dissect(binary.BigEndian.Uint16(frame[12:]), frame[head:])
	if packet.Protocol == "neighbours" {
		return
	}
	r.packets[packet]++
	if begins {
		r.begun[[2]netip.AddrPort{source, packet.To}] = true
	}
}

// dissect says where a packet goes, and whether it begins a connection.
func dissect(kind uint16, data []byte) (packet Packet, source netip.AddrPort, begins bool) {
	var protocol byte
	var from, to netip.Addr
	var payload []byte
	switch {
	case kind == unix.ETH_P_IP && len(data) >= 20 && len(data) >= int(data[0]&15)*4:
		protocol, payload = data[9], data[int(data[0]&15)*4:]
		from, to = netip.AddrFrom4([4]byte(data[12:16])), netip.AddrFrom4([4]byte(data[16:20]))
	case kind == unix.ETH_P_IPV6 && len(data) >= 40:
		protocol, payload = data[6], data[40:]
		from, to = netip.AddrFrom16([16]byte(data[8:24])), netip.AddrFrom16([16]byte(data[24:40]))
	default:
		return Packet{Protocol: fmt.Sprintf("kind %#x", kind)}, source, false
	}
	switch {
	case protocol == unix.IPPROTO_TCP && len(payload) >= 20:
		packet.Protocol = "tcp"
		begins = payload[13]&0x12 == 0x02 // SYN, and not ACK
	case protocol == unix.IPPROTO_UDP && len(payload) >= 8:
		packet.Protocol = "udp"
	case kind == unix.ETH_P_IPV6 && to.IsMulticast() && to.Is6() && (protocol == unix.IPPROTO_HOPOPTS || protocol == unix.IPPROTO_ICMPV6 && len(payload) > 0 && payload[0] >= 130):
		return Packet{Protocol: "neighbours"}, source, false
	case protocol == unix.IPPROTO_ICMPV6 && len(payload) > 0 && payload[0] >= 133 && payload[0] <= 137:
		return Packet{Protocol: "neighbours"}, source, false
	default:
		return Packet{Protocol: fmt.Sprintf("protocol %d", protocol), To: netip.AddrPortFrom(to, 0)}, source, false
	}
	packet.To = netip.AddrPortFrom(to, binary.BigEndian.Uint16(payload[2:]))
	return packet, netip.AddrPortFrom(from, binary.BigEndian.Uint16(payload)), begins
}
