package containerd

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/claude-bottle/claude-bottle/backend"
	"github.com/claude-bottle/claude-bottle/ledger"
	"github.com/claude-bottle/claude-bottle/supervise"
	"github.com/containerd/errdefs"
	"golang.org/x/sys/unix"
)

var (
	_ backend.Declarer  = (*Backend)(nil)
	_ backend.Historian = (*Backend)(nil)
)

// declaration is there when something was declared of the bottle.
func (p places) declaration() string { return filepath.Join(p.state, backend.StateDeclared) }

// session is there once a detached bottle has run.
func (p places) session() string { return filepath.Join(p.state, backend.StateSession) }

// Declare implements backend.Declarer.
func (b *Backend) Declare(ctx context.Context, name string, declaration backend.Declaration) error {
	where, err := b.whereIs(ctx, name)
	if err != nil {
		return err
	}
	if err := errors.Join(where.declare(declaration), touch(where.state)); err != nil {
		return fmt.Errorf("declare %s: %w", name, err)
	}
	return nil
}

// declare replaces what holds by what was made of it. The generation tells whether
// somebody else was quicker.
func (p places) declare(declaration backend.Declaration) error {
	state, err := os.Open(p.state)
	if err != nil {
		return fmt.Errorf("lock state: %w", err)
	}
	defer func() { _ = state.Close() }() // and the lock with it
	if err := unix.Flock(int(state.Fd()), unix.LOCK_EX); err != nil {
		return fmt.Errorf("lock state: %w", err)
	}
	holds, err := readDeclaration(p)
	if err != nil {
		return err
	}
	if holds != nil && declaration.Generation != holds.Generation+1 {
		return fmt.Errorf("it was changed meanwhile, to generation %d: look at it again: %w", holds.Generation, errdefs.ErrConflict)
	}
	if err := errors.Join(writeDeclaration(p, &declaration), touch(p.state)); err != nil {
		return err
	}
	return supervise.NoteEvent(p.state, backend.Event{
		Type: backend.EventNormal, Reason: "Configured", Message: fmt.Sprintf("generation %d is declared", declaration.Generation),
	})
}

// Events implements backend.Historian.
func (b *Backend) Events(ctx context.Context, name string) ([]backend.Event, error) {
	where, err := b.whereIs(ctx, name)
	if err != nil {
		return nil, err
	}
	return supervise.ReadEvents(where.state)
}

// whereIs finds the directories of a bottle or a kept one, and leaves it as it is.
func (b *Backend) whereIs(ctx context.Context, name string) (places, error) {
	found, err := b.Locate(ctx, name)
	if err != nil {
		return places{}, err
	}
	id, err := backend.ParseID(found.ID)
	if err != nil {
		return places{}, err
	}
	where := b.layout.bottle(id)
	if err := checkState(where); err != nil {
		return places{}, err
	}
	return where, nil
}

// writeDeclaration notes what holds from now on; nil leaves what held.
func writeDeclaration(where places, declaration *backend.Declaration) error {
	if declaration == nil {
		return nil
	}
	return ledger.WriteFile(where.declaration(), func(w io.Writer) error { return json.NewEncoder(w).Encode(declaration) })
}

// readDeclaration reads what holds of a bottle; nil is nothing.
func readDeclaration(where places) (*backend.Declaration, error) {
	return readNote[backend.Declaration](where.declaration())
}

// readSession reads how it stands with the claude of a detached bottle; nil says that it
// has never run.
func readSession(where places) (*backend.Session, error) {
	return readNote[backend.Session](where.session())
}

// readNote reads a file of JSON in the state directory that need not be there.
func readNote[T any](path string) (*T, error) {
	data, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil //nolint:nilnil // none is no error
	}
	if err != nil {
		return nil, fmt.Errorf("read note: %w", err)
	}
	value := new(T)
	if err := json.Unmarshal(data, value); err != nil {
		return nil, fmt.Errorf("read %s: %w: %w", path, err, errdefs.ErrDataLoss)
	}
	return value, nil
}

// lifeOf is what of a plan's declaration the supervisor goes by.
func lifeOf(plan *backend.Plan) *backend.Life {
	if plan.Declaration == nil {
		return nil
	}
	return &plan.Declaration.Life
}

// addNotes adds what lies in a bottle's state directory to its status. What can't be
// read is said.
func addNotes(status *backend.Status, where places) {
	declaration, err := readDeclaration(where)
	status.Declaration = declaration
	if !status.Detached {
		if err != nil && status.Message == "" {
			status.Message = err.Error()
		}
		return
	}
	session, sessionErr := readSession(where)
	if session != nil {
		status.Restarts = session.Restarts
	}
	if err := errors.Join(err, sessionErr); err != nil && status.Message == "" {
		status.Message = err.Error()
	}
}
