package main

import (
	"bytes"
	"debug/elf"
	"encoding/binary"
	"errors"
	"os"
	"os/exec"
	"time"
)

// ofMachine are calls that only this architecture has.
func ofMachine() []raw { return nil }

// compatBound is when an answer is given up: what refuses it ends the program at once, however
// slow the machine is.
const compatBound = time.Minute

// compatCode is what the 32-bit program ends with.
const compatCode = 42

// compat runs a 32-bit program: the machine has no other way into the kernel's 32-bit
// calls. Where the kernel has none either, it isn't run.
func compat([]string) {
	const path = "./compat"
	program := compatProgram()
	if os.WriteFile(path, program, 0o700) != nil { //nolint:gosec // it is to be run
		return
	}
	var exit *exec.ExitError
	if err := exec.Command(path).Run(); errors.As(err, &exit) && exit.ExitCode() == compatCode {
		report("exit", nil)
	}
}

// compatProgram is the least program of a 32-bit ARM: one page, and three instructions in it.
func compatProgram() []byte {
	const (
		base  = 0x10000
		start = 52 + 32 // behind the two headers
		eabi5 = 0x05000000
	)
	instructions := []uint32{
		0xe3a00000 | compatCode, // mov r0, #42
		0xe3a07001,              // mov r7, #1: exit
		0xef000000,              // svc 0
	}
	size := uint32(start + 4*len(instructions)) //nolint:gosec // a handful
	var b bytes.Buffer
	for _, part := range []any{
		elf.Header32{
			Ident: [elf.EI_NIDENT]byte{0x7f, 'E', 'L', 'F', byte(elf.ELFCLASS32), byte(elf.ELFDATA2LSB), byte(elf.EV_CURRENT)},
			Type:  uint16(elf.ET_EXEC), Machine: uint16(elf.EM_ARM), Version: uint32(elf.EV_CURRENT),
			Entry: base + start, Phoff: 52, Flags: eabi5, Ehsize: 52, Phentsize: 32, Phnum: 1,
		},
		elf.Prog32{Type: uint32(elf.PT_LOAD), Vaddr: base, Paddr: base, Filesz: size, Memsz: size, Flags: uint32(elf.PF_R | elf.PF_X), Align: 0x10000},
		instructions,
	} {
		_ = binary.Write(&b, binary.LittleEndian, part) // a buffer takes all
	}
	return b.Bytes()
}
