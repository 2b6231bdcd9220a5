package main

import (
	"bufio"
	"bytes"
	"fmt"
	"os"
	"strconv"

	"golang.org/x/sys/unix"
)

// floodLine is the length of a line of the flood, with its end.
const floodLine = 120

// flood writes that many MiB of numbered lines to the terminal as fast as it is
// let. How much it has written is in "written" in the working directory, all the
// time. At the end it waits for the terminal to have that many columns and rows,
// then for a line, and says then what the size is.
func flood(args []string) {
	var numbers [3]int
	for i := range numbers {
		if i >= len(args) {
			report("flood", fmt.Errorf("MiB, columns and rows are wanted"))
			return
		}
		number, err := strconv.Atoi(args[i])
		if err != nil {
			report("flood", err)
			return
		}
		numbers[i] = number
	}
	count, err := os.Create("written")
	if err != nil {
		report("create", err)
		return
	}
	fmt.Println("the flood begins")
	var chunk bytes.Buffer
	lines := numbers[0] << 20 / floodLine
	for line := range lines {
		_, _ = fmt.Fprintf(&chunk, "%0*d\n", floodLine-1, line)
		if chunk.Len() < 64<<10 && line != lines-1 {
			continue
		}
		if _, err := os.Stdout.Write(chunk.Bytes()); err != nil {
			report("flood", err)
			return
		}
		chunk.Reset()
		if _, err := count.WriteAt(fmt.Appendf(nil, "%020d", (line+1)*floodLine), 0); err != nil {
			report("count", err)
			return
		}
	}
	waitFor(func() bool { return size() == fmt.Sprintf("%dx%d", numbers[1], numbers[2]) })
	fmt.Println("the flood is over")
	_, _ = bufio.NewReader(os.Stdin).ReadString('\n')
	fmt.Println("the size is", size())
}

// size is that of the terminal.
func size() string {
	size, err := unix.IoctlGetWinsize(1, unix.TIOCGWINSZ)
	if err != nil {
		return err.Error()
	}
	return fmt.Sprintf("%dx%d", size.Col, size.Row)
}
