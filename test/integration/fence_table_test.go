package integration

import (
	"encoding/binary"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"net/netip"
	"regexp"
	"strings"

	"github.com/claude-bottle/claude-bottle/test/attack/attempt"
	"golang.org/x/sys/unix"
)

// Hosts of the bottle file, and where the far end's name server says they are.
const (
	allowedHost, allowedAt = "allowed.example", "93.184.216.34"
	portHost, portAt       = "port.example", "93.184.216.35"
	retryHost, retryAt     = "retry.example", "93.184.216.36"
	wildSuffix, wildAt     = "wild.example", "93.184.216.37"
	rebindSuffix, rebindAt = "rebind.example", "93.184.216.38"
	wildAt6                = "2606:2800:21f::37"
	otherPort              = 8443
)

// try is an attempt with what must come of it.
type try struct {
	attempt.Attempt
	mark    string // in what it sends: evil-…, which must arrive nowhere, or fine-…, which must
	allowed bool
	fails   bool // it must already fail inside
	// The audit log must have a refused connection to host and port, or that
	// name as denied.
	host   string
	port   uint16
	denied string
	later  bool // only when all others are through
}

// table is all that is tried.
type table struct{ tries []*try }

func (t *table) add(allowed bool, group, name string, build func(mark string) attempt.Attempt) *try {
	word := "evil"
	if allowed {
		word = "fine"
	}
	mark := fmt.Sprintf("%s-%04d", word, len(t.tries))
	added := &try{Attempt: build(mark), mark: mark, allowed: allowed}
	added.Name = group + ": " + name
	t.tries = append(t.tries, added)
	return added
}

// refuse adds what must not get through, allow what must.
func (t *table) refuse(group, name string, build func(mark string) attempt.Attempt) *try {
	return t.add(false, group, name, build)
}

func (t *table) allow(group, name string, build func(mark string) attempt.Attempt) *try {
	return t.add(true, group, name, build)
}

var anyMark = regexp.MustCompile(`(evil|fine|okay)-\d{4}`)

// doubles are the attempts that differ from another in name and mark alone.
func (t *table) doubles() (names []string) {
	seen := map[string]bool{}
	for _, try := range t.tries {
		plain := try.Attempt
		plain.Name = ""
		plain.Query = anyMark.ReplaceAll(plain.Query, []byte("mark"))
		plain.Send = nil
		for _, piece := range try.Send {
			plain.Send = append(plain.Send, anyMark.ReplaceAll(piece, []byte("mark")))
		}
		data, err := json.Marshal(plain)
		key := fmt.Sprint(string(data), try.later)
		if err != nil || seen[key] {
			names = append(names, try.Name)
		}
		seen[key] = true
	}
	return names
}

// newTable is the whole table for a host with these addresses of its own.
func newTable(own []netip.Addr, abstract []string) *table {
	t := &table{}
	t.literals(own)
	t.sockets()
	t.localSockets(abstract)
	t.spellings()
	t.questions()
	t.rebinding(own)
	t.hellos()
	t.requests()
	t.neckFrames()
	return t
}

// socketAddress is a struct sockaddr_in or sockaddr_in6.
func socketAddress(address netip.AddrPort) (domain int, peer []byte) {
	ip := address.Addr()
	if ip.Is4() {
		peer = binary.NativeEndian.AppendUint16(nil, unix.AF_INET)
		peer = binary.BigEndian.AppendUint16(peer, address.Port())
		return unix.AF_INET, append(append(peer, ip.AsSlice()...), make([]byte, 8)...)
	}
	peer = binary.NativeEndian.AppendUint16(nil, unix.AF_INET6)
	peer = binary.BigEndian.AppendUint16(peer, address.Port())
	peer = append(append(peer, 0, 0, 0, 0), ip.AsSlice()...)
	scope := uint32(0)
	if ip.IsLinkLocalUnicast() || ip.IsLinkLocalMulticast() {
		scope = 1
	}
	return unix.AF_INET6, binary.NativeEndian.AppendUint32(peer, scope)
}

// literals dials addresses without any name.
func (t *table) literals(own []netip.Addr) {
	addresses := []string{
		allowedAt, "1.1.1.1", "8.8.8.8", // public, the first of them a host that is allowed by its name
		"10.0.0.1", "10.88.0.1", "172.16.0.1", "172.17.0.1", "192.168.0.1", "192.168.1.1", "100.64.0.1", // private
		"169.254.169.254", "169.254.170.2", "100.100.100.200", "168.63.129.16", "192.0.0.192", // metadata
		"127.0.0.1", "127.0.0.2", "127.77.255.254", "127.78.255.254", "127.255.255.254", "0.0.0.0", "169.254.1.1", // this host, link-local
		"224.0.0.1", "224.0.0.251", "239.255.255.250", "255.255.255.255", "240.0.0.1", "192.0.2.2", "198.18.0.1", "203.0.113.1", // for nobody
		"2606:4700:4700::1111", wildAt6, "fd00:ec2::254", "fc00::1", "fd00::2", "::1", "::", "fe80::1", "ff02::1", "ff0e::1",
		"::ffff:93.184.216.34", "::ffff:10.0.0.1", "::ffff:169.254.169.254", "::ffff:127.0.0.1", "::93.184.216.34", // IPv4 in IPv6
		"64:ff9b::5db8:d822", "64:ff9b::a9fe:a9fe", "64:ff9b:1::a00:1", "2002:5db8:d822::1", "2002:a00:1::1", "2001:0:5db8:d822::1", // and through it
		"2001:db8::1", "3fff::1", "100::1",
	}
	for _, address := range own {
		addresses = append(addresses, address.String())
	}
	for _, address := range addresses {
		for _, service := range []struct {
			kind int
			port uint16
		}{{unix.SOCK_STREAM, 80}, {unix.SOCK_STREAM, 443}, {unix.SOCK_STREAM, 2375}, {unix.SOCK_DGRAM, 53}, {unix.SOCK_DGRAM, 443}} {
			to := netip.AddrPortFrom(netip.MustParseAddr(address), service.port)
			t.refuse("literal", fmt.Sprintf("%s by socket type %d", to, service.kind), func(mark string) attempt.Attempt {
				domain, peer := socketAddress(to)
				return attempt.Attempt{Kind: attempt.Socket, Domain: domain, Type: service.kind, Peer: peer, Send: [][]byte{question(mark+".example", 1)}}
			})
		}
	}
}

// localSockets dials sockets of the host that have no address of the network.
func (t *table) localSockets(abstract []string) {
	for _, path := range append(abstract,
		"/run/containerd/containerd.sock", "/var/run/docker.sock", "/run/dbus/system_bus_socket", "/run/systemd/private", "/run/bottle/ctl.sock", "/run/bottle/neck/../ctl.sock") {
		for _, network := range []string{"unix", "unixgram", "unixpacket"} {
			t.refuse("local", network+" "+path, func(mark string) attempt.Attempt {
				return attempt.Attempt{Kind: attempt.Connect, Network: network, Address: path, Send: [][]byte{[]byte(mark)}}
			}).fails = true
		}
	}
}

// sockets are all other kinds of socket that there are.
func (t *table) sockets() {
	raw := func(group, name string, domain, kind, protocol int, peer []byte, message string) *try {
		return t.refuse(group, name, func(mark string) attempt.Attempt {
			return attempt.Attempt{Kind: attempt.Socket, Domain: domain, Type: kind, Protocol: protocol, Peer: peer, Send: [][]byte{[]byte(message + mark)}}
		})
	}
	_, peer4 := socketAddress(netip.MustParseAddrPort(allowedAt + ":443"))
	_, peer6 := socketAddress(netip.AddrPortFrom(netip.MustParseAddr(wildAt6), 443))
	echo4, echo6 := "\x08\x00\x00\x00\x00\x01\x00\x01", "\x80\x00\x00\x00\x00\x01\x00\x01"
	for name, protocol := range map[string]int{"ICMP": 1, "IGMP": 2, "TCP": 6, "UDP": 17, "GRE": 47, "ESP": 50, "SCTP": 132, "any": 255} {
		raw("raw", "IPv4 "+name, unix.AF_INET, unix.SOCK_RAW, protocol, peer4, echo4).fails = true
		raw("raw", "IPv6 "+name, unix.AF_INET6, unix.SOCK_RAW, protocol, peer6, echo6).fails = true
	}
	raw("ping", "IPv4", unix.AF_INET, unix.SOCK_DGRAM, 1, peer4, echo4)
	raw("ping", "IPv6", unix.AF_INET6, unix.SOCK_DGRAM, 58, peer6, echo6)
	for name, kind := range map[string][2]int{"SCTP stream": {1, 132}, "SCTP packets": {5, 132}, "DCCP": {6, 33}, "MPTCP": {1, 262}, "UDP-Lite": {2, 136}, "L2TP": {2, 115}} {
		raw("transport", "IPv4 "+name, unix.AF_INET, kind[0], kind[1], peer4, "")
		raw("transport", "IPv6 "+name, unix.AF_INET6, kind[0], kind[1], peer6, "")
	}
	for _, index := range []byte{1, 2} {
		link := append(binary.NativeEndian.AppendUint16(nil, unix.AF_PACKET), 0x08, 0x00, index, 0, 0, 0, 0, 0, 0, 6, 2, 0, 0, 0, 0, 1, 0, 0)
		for _, protocol := range []int{0x0003, 0x0008, 0x0608} {
			raw("link", fmt.Sprintf("frames of %#x on %d", protocol, index), unix.AF_PACKET, unix.SOCK_RAW, protocol, link, echo4).fails = true
			raw("link", fmt.Sprintf("packets of %#x on %d", protocol, index), unix.AF_PACKET, unix.SOCK_DGRAM, protocol, link, echo4).fails = true
		}
	}
	for name, cid := range map[string]uint32{"any": 0xffffffff, "hypervisor": 0, "local": 1, "host": 2, "guest": 3} {
		peer := binary.NativeEndian.AppendUint16(nil, unix.AF_VSOCK)
		peer = binary.NativeEndian.AppendUint32(append(peer, 0, 0), 1024)
		peer = append(binary.NativeEndian.AppendUint32(peer, cid), 0, 0, 0, 0)
		raw("vsock", "stream to "+name, unix.AF_VSOCK, unix.SOCK_STREAM, 0, peer, "").fails = true
		raw("vsock", "packets to "+name, unix.AF_VSOCK, unix.SOCK_DGRAM, 0, peer, "").fails = true
	}
	for family, name := range map[int]string{3: "AX.25", 4: "IPX", 5: "AppleTalk", 9: "X.25", 15: "IPsec keys", 21: "RDS", 24: "PPP", 26: "LLC", 29: "CAN", 30: "TIPC", 31: "Bluetooth", 33: "RxRPC", 35: "Phonet", 36: "802.15.4", 37: "CAIF", 39: "NFC", 41: "KCM", 42: "Qualcomm", 43: "SMC", 44: "XDP"} {
		raw("family", name, family, unix.SOCK_DGRAM, 0, nil, "")
	}
	t.netlink()
}

// netlink tries to make interfaces, addresses and routes.
func (t *table) netlink() {
	const request = unix.NLM_F_REQUEST | unix.NLM_F_ACK | unix.NLM_F_CREATE
	message := func(kind uint16, body string) []byte {
		data, err := hex.DecodeString(strings.ReplaceAll(body, " ", ""))
		if err != nil {
			panic(err)
		}
		head := binary.NativeEndian.AppendUint32(nil, uint32(unix.NLMSG_HDRLEN+len(data)))
		head = binary.NativeEndian.AppendUint16(head, kind)
		head = binary.NativeEndian.AppendUint16(head, request)
		return append(append(head, 1, 0, 0, 0, 0, 0, 0, 0), data...)
	}
	for name, change := range map[string][]byte{
		"add address":  message(unix.RTM_NEWADDR, "02180000 01000000 08000200 0a000002 08000100 0a000002"),
		"add route":    message(unix.RTM_NEWROUTE, "02000000 fe040001 00000000 08000400 01000000"),
		"add local":    message(unix.RTM_NEWROUTE, "02000000 ff02fe02 00000000 08000400 01000000"),
		"add route 6":  message(unix.RTM_NEWROUTE, "0a000000 fe040001 00000000 08000400 01000000"),
		"add rule":     message(unix.RTM_NEWRULE, "02000000 fe000001 00000000"),
		"add neighbor": message(unix.RTM_NEWNEIGH, "02000000 01000000 80000000 08000100 0a000001 0a000200 020000000001 0000"),
		"add dummy":    message(unix.RTM_NEWLINK, "00000000 00000000 01000000 01000000 10001200 0a000100 64756d6d79 000000"),
		"add veth":     message(unix.RTM_NEWLINK, "00000000 00000000 01000000 01000000 0c001200 08000100 76657468"),
		"rename lo":    message(unix.RTM_NEWLINK, "00000000 01000000 00000000 00000000 08000300 78780000"),
		"remove lo":    message(unix.RTM_DELLINK, "00000000 01000000 00000000 00000000"),
	} {
		t.refuse("netlink", name, func(string) attempt.Attempt {
			return attempt.Attempt{Kind: attempt.Socket, Domain: unix.AF_NETLINK, Type: unix.SOCK_RAW, Protocol: unix.NETLINK_ROUTE, Send: [][]byte{change}}
		}).fails = true
	}
	for name, protocol := range map[string]int{"sockets": 4, "xfrm": 6, "audit": 9, "firewall": 12, "generic": 16} {
		t.refuse("netlink", "protocol "+name, func(string) attempt.Attempt {
			return attempt.Attempt{Kind: attempt.Socket, Domain: unix.AF_NETLINK, Type: unix.SOCK_RAW, Protocol: protocol, Send: [][]byte{message(16, "00000000")}}
		})
	}
}
