package egress

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"testing"

	"github.com/claude-bottle/claude-bottle/journal"
)

// hosts are those of the events that the tail has by now.
func hosts(t *testing.T, tail *Tail) (list []string) {
	t.Helper()
	for {
		event, err := tail.Next()
		if errors.Is(err, io.EOF) {
			return list
		}
		if err != nil {
			t.Fatal(err)
		}
		list = append(list, event.Host)
	}
}

func TestTheLogIsReadWhileItGrowsAndTurns(t *testing.T) {
	path := filepath.Join(t.TempDir(), "egress.jsonl")
	tail, err := OpenTail(path)
	if err != nil {
		t.Fatal(err)
	}
	defer tail.Close()
	if got := hosts(t, tail); got != nil {
		t.Errorf("a log that is not there holds %v", got)
	}
	audit, err := OpenAudit(path)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = audit.Close() }()
	changed, stop := audit.Watch()
	written := 0
	write := func(count int) {
		t.Helper()
		for range count {
			if err := audit.Log(Event{Kind: KindDial, Host: fmt.Sprint(written)}); err != nil {
				t.Fatal(err)
			}
			written++
		}
		select {
		case <-changed:
		default:
			t.Fatal("nobody is told of new lines")
		}
	}
	read := 0
	check := func(tail *Tail, from, want int) {
		t.Helper()
		got := hosts(t, tail)
		for i, host := range got {
			if host != fmt.Sprint(from+i) {
				t.Fatalf("event %d is %s", from+i, host)
			}
		}
		if len(got) != want {
			t.Fatalf("%d events, want %d", len(got), want)
		}
	}
	for range 3 {
		write(5)
		check(tail, read, 5)
		read += 5
	}
	write(2)
	fill(t, audit, path)
	write(3)
	check(tail, read, 5)
	read += 5
	// Who comes now reads both.
	late, err := OpenTail(path)
	if err != nil {
		t.Fatal(err)
	}
	defer late.Close()
	check(late, 0, written)
	write(4)
	check(late, read, 4)
	check(tail, read, 4)
	stop()
	// The end of the bottle takes the log away; what was read from stays readable.
	if err := audit.Log(Event{Host: fmt.Sprint(written)}); err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(os.Remove(path), os.Remove(path+".1")); err != nil {
		t.Fatal(err)
	}
	check(tail, written, 1)
	select {
	case <-changed:
		t.Error("told after stop")
	default:
	}
}

// fill has the next line begin a new log, which the lines after it go to, too.
func fill(t *testing.T, audit *Audit, path string) {
	t.Helper()
	info, err := os.Stat(path)
	if err != nil {
		t.Fatal(err)
	}
	full, err := journal.Open(path, info.Size())
	if err != nil {
		t.Fatal(err)
	}
	if err := audit.Close(); err != nil {
		t.Fatal(err)
	}
	audit.log = full
}

func TestALineThatWasCutShortIsPassedOver(t *testing.T) {
	path := filepath.Join(t.TempDir(), "egress.jsonl")
	if err := os.WriteFile(path, []byte(`{"host":"a"}`+"\n"+`{"ho`+"\n"+`{"host":"b"}`+"\n"+`{"host":`), 0o600); err != nil {
		t.Fatal(err)
	}
	tail, err := OpenTail(path)
	if err != nil {
		t.Fatal(err)
	}
	defer tail.Close()
	if got := fmt.Sprint(hosts(t, tail)); got != "[a b]" {
		t.Errorf("events are %s", got)
	}
	file, err := os.OpenFile(path, os.O_APPEND|os.O_WRONLY, 0)
	if err != nil {
		t.Fatal(err)
	}
	_, err = file.WriteString(`"c"}` + "\n")
	if err := errors.Join(err, file.Close()); err != nil {
		t.Fatal(err)
	}
	if got := fmt.Sprint(hosts(t, tail)); got != "[c]" {
		t.Errorf("events are %s", got)
	}
}
