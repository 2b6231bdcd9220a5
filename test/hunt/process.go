package hunt

import (
	"bufio"
	"encoding/binary"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strconv"
	"strings"
)

// Processes are all that can be seen.
func Processes() []int {
	var pids []int
	directories, _ := filepath.Glob("/proc/[0-9]*")
	for _, directory := range directories {
		if pid, err := strconv.Atoi(filepath.Base(directory)); err == nil {
			pids = append(pids, pid)
		}
	}
	return pids
}

// Start looks at what a process was started with.
func (h *Hunt) Start(pid int) {
	seen := false
	for _, name := range []string{"environ", "cmdline"} {
		path := fmt.Sprintf("/proc/%d/%s", pid, name)
		file, err := os.Open(path)
		if err != nil {
			continue
		}
		seen = h.search(file, path) == nil || seen
		_ = file.Close()
	}
	if seen {
		h.Processes++
	}
}

// Contents look at the memory of a process that it can write to and that is in
// use. The error says that it is closed to us.
func (h *Hunt) Contents(pid int) error {
	memory, err := os.Open(fmt.Sprintf("/proc/%d/mem", pid))
	if err != nil {
		return err
	}
	defer func() { _ = memory.Close() }()
	pages, _ := os.Open(fmt.Sprintf("/proc/%d/pagemap", pid)) // gVisor has none
	if pages != nil {
		defer func() { _ = pages.Close() }()
	}
	all, err := areas(pid)
	if err != nil {
		return err
	}
	for _, area := range all {
		for _, used := range area.used(pages) {
			part := &counted{Reader: io.NewSectionReader(memory, used.from, used.to-used.from)}
			// Some areas can't be read, whatever their rights say.
			_ = h.search(part, fmt.Sprintf("memory of process %d, %s", pid, area.what))
			h.Memory += part.read
		}
	}
	return nil
}

type counted struct {
	io.Reader
	read int64
}

// Read implements io.Reader.
func (c *counted) Read(p []byte) (int, error) {
	n, err := c.Reader.Read(p)
	c.read += int64(n)
	return n, err
}

// area is a part of an address space.
type area struct {
	from, to int64
	what     string
}

// areas are those of a process that can be read and written, and hold something.
func areas(pid int) (list []area, err error) {
	file, err := os.Open(fmt.Sprintf("/proc/%d/smaps", pid))
	if err != nil {
		return nil, err
	}
	defer func() { _ = file.Close() }()
	var last *area
	lines := bufio.NewScanner(file)
	for lines.Scan() {
		fields := strings.Fields(lines.Text())
		if len(fields) < 2 {
			continue
		}
		from, to, ok := strings.Cut(fields[0], "-")
		first, fromErr := strconv.ParseUint(from, 16, 63)
		end, toErr := strconv.ParseUint(to, 16, 63)
		switch {
		case ok && fromErr == nil && toErr == nil:
			last = nil
			if strings.HasPrefix(fields[1], "rw") {
				last = &area{int64(first), int64(end), strings.Join(fields[1:], " ")}
			}
		case last != nil && (fields[0] == "Rss:" || fields[0] == "Swap:") && fields[1] != "0":
			list = append(list, *last)
			last = nil
		}
	}
	return list, lines.Err()
}

// used are the pages that are there, or all where nobody says which.
func (a area) used(pages *os.File) []area {
	const inMemory, swapped = 1 << 63, 1 << 62
	size := int64(os.Getpagesize())
	entries := make([]byte, 8*((a.to-a.from)/size))
	if pages == nil {
		return []area{a}
	}
	if _, err := pages.ReadAt(entries, 8*(a.from/size)); err != nil {
		return []area{a}
	}
	var list []area
	for i := int64(0); i < int64(len(entries))/8; i++ {
		if binary.NativeEndian.Uint64(entries[8*i:])&(inMemory|swapped) == 0 {
			continue
		}
		from := a.from + i*size
		if n := len(list); n > 0 && list[n-1].to == from {
			list[n-1].to += size
			continue
		}
		list = append(list, area{from, from + size, a.what})
	}
	return list
}
