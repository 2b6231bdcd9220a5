package integration

import (
	"encoding/binary"
	"fmt"
	"strings"

	"github.com/claude-bottle/claude-bottle/backend"
	"github.com/claude-bottle/claude-bottle/test/attack/attempt"
)

// Numbers of yamux frames.
const (
	yamuxData, yamuxWindow, yamuxPing, yamuxAway = 0, 1, 2, 3
	yamuxBegin                                   = 1
)

// yamuxFrame is a frame as its head says it, whatever is behind it.
func yamuxFrame(version, kind byte, flags uint16, stream, length uint32, data string) []byte {
	frame := binary.BigEndian.AppendUint16([]byte{version, kind}, flags)
	frame = binary.BigEndian.AppendUint32(binary.BigEndian.AppendUint32(frame, stream), length)
	return append(frame, data...)
}

// dialRequest opens a stream and asks for a connection, as PID 1 does.
func dialRequest(stream uint32, host string, port int) []byte {
	request := fmt.Sprintf(`{"kind":"dial","host":%q,"port":%d}`, host, port)
	request = string(binary.BigEndian.AppendUint32(nil, uint32(len(request)))) + request
	return yamuxFrame(0, yamuxData, yamuxBegin, stream, uint32(len(request)), request)
}

// neckFrames dials the neck a second time, and writes to the first.
func (t *table) neckFrames() {
	const greeting = "bottle-neck/1\n"
	zeros := strings.Repeat("\x00", 32)
	begin := func(name string, pieces func(mark string) [][]byte) {
		t.refuse("neck", name, func(mark string) attempt.Attempt {
			return attempt.Attempt{Kind: attempt.Connect, Network: "unix", Address: backend.NeckPath + "/neck.sock", Send: pieces(mark)}
		})
	}
	for name, token := range map[string]string{
		"no token": "", "a short token": zeros[:31], "a token of zeros": zeros, "a token of ones": strings.Repeat("\xff", 32), "a long token": zeros + zeros, "a token of text": strings.Repeat("token---", 4),
	} {
		// Not even an allowed host is dialled for a stranger.
		begin(name, func(mark string) [][]byte {
			return [][]byte{[]byte(greeting + token), dialRequest(1, mark+"."+wildSuffix, 443), dialRequest(3, allowedHost, 443), dialRequest(5, "169.254.169.254", 80), []byte(mark)}
		})
	}
	for _, hello := range []string{"", "\n", "bottle-neck/2\n", "bottle-neck/1\r\n", "BOTTLE-NECK/1\n", "bottle-neck/1", "GET / HTTP/1.1\r\n\r\n", "\x16\x03\x01\x00\x05", "bottle-neck/1\nbottle-neck/1\n", strings.Repeat("x", 1<<20)} {
		begin(fmt.Sprintf("greeting %.20q", hello), func(mark string) [][]byte {
			return [][]byte{[]byte(hello), []byte(zeros), dialRequest(1, mark+"."+wildSuffix, 443)}
		})
	}
	for name, frame := range map[string][]byte{
		"version 1": yamuxFrame(1, yamuxData, yamuxBegin, 1, 0, ""), "kind 9": yamuxFrame(0, 9, yamuxBegin, 1, 0, ""), "every flag": yamuxFrame(0, yamuxData, 0xffff, 1, 0, ""), "stream 0": yamuxFrame(0, yamuxData, yamuxBegin, 0, 0, ""), "an even stream": yamuxFrame(0, yamuxData, yamuxBegin, 2, 0, ""),
		"no stream": yamuxFrame(0, yamuxData, 0, 77, 4, "evil"), "a long frame": yamuxFrame(0, yamuxData, yamuxBegin, 1, 0xffffffff, "evil"), "a wide window": yamuxFrame(0, yamuxWindow, yamuxBegin, 1, 0xffffffff, ""), "a ping": yamuxFrame(0, yamuxPing, yamuxBegin, 0, 1, ""), "away": yamuxFrame(0, yamuxAway, 0, 0, 0, ""),
		"a long request": yamuxFrame(0, yamuxData, yamuxBegin, 1, 8, "\xff\xff\xff\xffevil"), "a session": yamuxFrame(0, yamuxData, yamuxBegin, 1, 22, "\x00\x00\x00\x12{\"kind\":\"session\"}"),
	} {
		for greeted, before := range map[string]string{"": "", ", greeted": greeting + zeros} {
			begin("frame: "+name+greeted, func(mark string) [][]byte {
				return [][]byte{[]byte(before), frame, dialRequest(3, mark+"."+wildSuffix, 443)}
			})
		}
	}
	for number := range 16 {
		t.refuse("neck", fmt.Sprintf("descriptor %d of PID 1", number), func(mark string) attempt.Attempt {
			return attempt.Attempt{Kind: attempt.Descriptor, Number: number, Send: [][]byte{dialRequest(101, mark+"."+wildSuffix, 443)}}
		}).fails = true
	}
}
