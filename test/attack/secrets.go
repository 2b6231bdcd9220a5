package main

import (
	"fmt"
	"io/fs"
	"os"
	"strings"

	"github.com/claude-bottle/claude-bottle/test/hunt"
)

// veil is what secrets are XORed with on their way in, so that being told of
// them is not finding them.
const veil = 0x5a

// secrets looks for what it is told, NAME=HEX, in all that can be seen: every
// file, and every other process.
func secrets(args []string) {
	wanted := map[string]string{}
	for _, arg := range args {
		name, text, _ := strings.Cut(arg, "=")
		data, err := unveiled(text)
		if err != nil {
			report("secret "+name, err)
			return
		}
		wanted[name] = string(data)
	}
	h := hunt.New(wanted)
	h.Tree("/", func(path string, _ fs.DirEntry) bool { return path == "/proc" || path == "/sys" })
	for _, pid := range hunt.Processes() {
		if pid != os.Getpid() {
			h.Start(pid)
			if err := h.Contents(pid); err != nil {
				report(fmt.Sprintf("memory of process %d", pid), err)
			}
		}
	}
	for _, hit := range h.Hits {
		fmt.Println("found " + hit)
	}
	fmt.Printf("looked at %d files, %d processes, %d bytes of memory\n", h.Files, h.Processes, h.Memory)
}
