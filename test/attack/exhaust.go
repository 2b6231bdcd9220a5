package main

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"time"
)

// forks starts processes until no more can be.
func forks(args []string) {
	most, _ := strconv.Atoi(args[0])
	var started []*exec.Cmd
	for range most {
		command := exec.Command("/bin/sleep", "600") //nolint:noctx // killed below
		if err := command.Start(); err != nil {
			report("fork", err)
			break
		}
		started = append(started, command)
	}
	fmt.Println("forks:", len(started))
	for _, command := range started {
		_ = command.Process.Kill()
		_ = command.Wait()
	}
}

// fill writes a file in each directory until it is full.
func fill(directories []string) {
	const most = 4 << 30
	block := make([]byte, 1<<20)
	for _, directory := range directories {
		path := directory + "/fill"
		file, err := os.Create(path)
		if err != nil {
			report("fill "+directory, err)
			continue
		}
		written := 0
		for written < most && err == nil {
			var n int
			n, err = file.Write(block)
			written += n
		}
		_ = file.Close()
		_ = os.Remove(path)
		report("fill "+directory, err)
		fmt.Println("filled", directory, written>>20, "MiB")
	}
}

// trickle writes so many files of a MiB into a directory, one after the other, and then
// waits for its end. Arguments: DIRECTORY COUNT.
func trickle(args []string) {
	if len(args) != 2 {
		report("trickle", fmt.Errorf("a directory and a number are wanted"))
		return
	}
	count, _ := strconv.Atoi(args[1])
	report("work", os.WriteFile("work", []byte("work\n"), 0o600))
	block := make([]byte, 1<<20)
	for i := range count {
		if err := os.WriteFile(filepath.Join(args[0], strconv.Itoa(i)), block, 0o600); err != nil {
			report("trickle", err)
			break
		}
		time.Sleep(20 * time.Millisecond)
	}
	fmt.Println("all is written")
	wait(nil)
}

// memory takes memory until something ends it.
func memory([]string) {
	var taken [][]byte
	for range 64 << 10 {
		block := make([]byte, 1<<20)
		for i := 0; i < len(block); i += 4096 {
			block[i] = 1
		}
		taken = append(taken, block)
	}
	fmt.Println("memory:", len(taken), "MiB")
}
