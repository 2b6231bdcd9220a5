package main

import (
	"bufio"
	"crypto/tls"
	"fmt"
	"io"
	"net"
	"strings"
	"time"
)

const reachWait = 20 * time.Second

// reach talks to hosts that a bottle may reach. Each argument is one try:
//
//	tls:HOST:PORT:SNI     a TLS handshake that names SNI, "" for none, and a request
//	raw:HOST:PORT:TEXT    the text as it is, with \r and \n and _ for a blank, and all that comes back
//	ssl:HOST:PORT:SNI     as tls, by TLS 1.1
func reach(tries []string) {
	for _, try := range tries {
		parts := strings.SplitN(try, ":", 4)
		if len(parts) != 4 {
			report("reach "+try, fmt.Errorf("it needs four parts"))
			continue
		}
		answer, err := reachOne(parts[0], net.JoinHostPort(parts[1], parts[2]), parts[3])
		if err == nil {
			err = fmt.Errorf("answer %q", answer)
		}
		report("reach "+try, err)
	}
}

func reachOne(how, address, text string) (string, error) {
	conn, err := net.DialTimeout("tcp", address, reachWait)
	if err != nil {
		return "", err
	}
	defer func() { _ = conn.Close() }()
	_ = conn.SetDeadline(time.Now().Add(reachWait))
	request := strings.NewReplacer(`\r`, "\r", `\n`, "\n", "_", " ").Replace(text)
	if how != "raw" {
		config := &tls.Config{ServerName: text, InsecureSkipVerify: true}
		if how == "ssl" {
			config.MinVersion, config.MaxVersion = tls.VersionTLS10, tls.VersionTLS11
		}
		secure := tls.Client(conn, config)
		if err := secure.Handshake(); err != nil {
			return "", err
		}
		conn, request = secure, "GET / HTTP/1.1\r\nHost: "+text+"\r\nConnection: close\r\n\r\n"
	}
	if _, err := io.WriteString(conn, request); err != nil {
		return "", err
	}
	answer, err := io.ReadAll(bufio.NewReader(conn))
	if len(answer) > 0 {
		err = nil
	}
	return string(answer), err
}
