package main

import (
	"encoding/json"
	"fmt"
	"io"
	"os"
	"strings"
)

// probed is what the probe sandbox says of itself.
type probed struct {
	GVisor  bool   `json:"gvisor"`
	Version string `json:"version"` // of the kernel
	UID     int    `json:"uid"`
	// Capabilities are the effective ones, in hex.
	Capabilities string `json:"capabilities"`
}

// probe prints one line of JSON.
func probe(w io.Writer) error {
	version, err := os.ReadFile("/proc/version")
	if err != nil {
		return fmt.Errorf("read kernel version: %w", err)
	}
	found := probed{GVisor: inGVisor(), Version: strings.TrimSpace(string(version)), UID: os.Getuid()}
	status, err := os.ReadFile("/proc/self/status")
	if err != nil {
		return fmt.Errorf("read own status: %w", err)
	}
	for line := range strings.Lines(string(status)) {
		if value, ok := strings.CutPrefix(line, "CapEff:"); ok {
			found.Capabilities = strings.TrimSpace(value)
		}
	}
	return json.NewEncoder(w).Encode(found)
}
