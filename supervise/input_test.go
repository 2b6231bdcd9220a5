package supervise

import (
	"context"
	"errors"
	"io"
	"testing"
)

func TestWhatIsTypedGoesToTheSessionOfTheTime(t *testing.T) {
	typed, keyboard := io.Pipe()
	defer func() { _ = typed.Close() }() // whoever still types is let go
	in := newInput(t.Context(), typed)
	buffer := make([]byte, 16)

	first, end := context.WithCancel(t.Context())
	reader := in.reader(first)
	ended := make(chan error, 1)
	go func() {
		for {
			if _, err := reader.Read(buffer); err != nil {
				ended <- err
				return
			}
		}
	}()
	if _, err := io.WriteString(keyboard, "one"); err != nil {
		t.Fatal(err)
	}
	end()
	if err := <-ended; !errors.Is(err, io.EOF) {
		t.Errorf("a session that is over read %v", err)
	}

	second := in.reader(t.Context())
	go func() {
		_, _ = io.WriteString(keyboard, "two")
		_ = keyboard.Close()
	}()
	var got []byte
	for range 2 {
		piece := make([]byte, 2)
		n, err := second.Read(piece)
		if err != nil {
			t.Fatal(err)
		}
		got = append(got, piece[:n]...)
	}
	// Of what was typed as the first one ended either may have it.
	if string(got) != "two" && string(got[:2]) != "on" {
		t.Errorf("the second session read %q", got)
	}
	if newInput(t.Context(), nil).reader(t.Context()) != nil {
		t.Error("no input has become some")
	}
}
