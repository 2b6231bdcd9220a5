package remote

import (
	"fmt"
	"path/filepath"
	"slices"
	"strings"

	"github.com/claude-bottle/claude-bottle/backend"
	"github.com/claude-bottle/claude-bottle/ledger"
	"github.com/claude-bottle/claude-bottle/pattern"
	"github.com/claude-bottle/claude-bottle/provision"
	"github.com/claude-bottle/claude-bottle/resources"
	"github.com/containerd/errdefs"
	"golang.org/x/sys/unix"
)

// Bounds of a wish beside that of its size.
const (
	maxList      = 256
	maxWord      = 1024
	maxArguments = 128 << 10
)

// DecodeWish reads a wish as one who wants no good may have written it: what is not as a
// client writes it is an InvalidArgument error.
func DecodeWish(body []byte) (Wish, error) {
	var wish Wish
	if err := decode(body, &wish); err != nil {
		return wish, err
	}
	return wish, wish.check()
}

var (
	modelName = pattern.Lazy(`^[A-Za-z0-9][!-~]{0,255}$`)
	hexDigest = pattern.Lazy(`^[0-9a-f]{64}$`)
)

func refuse(format string, args ...any) error {
	return fmt.Errorf("%s: %w", fmt.Sprintf(format, args...), errdefs.ErrInvalidArgument)
}

func (w *Wish) check() error {
	for _, check := range []func() error{w.checkNames, w.checkBottle, w.checkLimits, w.checkInputs, w.checkOrigin, w.checkRest} {
		if err := check(); err != nil {
			return err
		}
	}
	return nil
}

func (w *Wish) checkNames() error {
	if err := backend.ValidateName("agent", w.Agent); err != nil {
		return err
	}
	if err := backend.ValidateName("bottle", w.Bottle.Name); err != nil {
		return err
	}
	if w.Name != "" {
		if err := backend.ValidateName("bottle", w.Name); err != nil {
			return err
		}
	}
	if w.Files != "" && !hexDigest().MatchString(w.Files) {
		return refuse("the hash of the manifest files is none")
	}
	if w.Restart && w.Resume == "" {
		return refuse("there is nothing to restart")
	}
	if w.Model != "" && !modelName().MatchString(w.Model) {
		return refuse("model %q is no model's name", w.Model)
	}
	for _, text := range []string{w.Image, w.Bottle.Image} {
		if len(text) > maxWord {
			return refuse("the reference of the image is longer than %d bytes", maxWord)
		}
	}
	return nil
}

// checkBottle refuses what names something of the host. What a bottle may reach is looked
// at by who plans it.
func (w *Wish) checkBottle() error {
	bottle := w.Bottle
	if bottle.Extends != "" || len(bottle.Projects) > 0 || bottle.Resources != (backend.Resources{}) {
		return refuse("the bottle file is not resolved")
	}
	if bottle.Builds() {
		return refuse("root alone builds images: name one in the bottle file, or with --image")
	}
	for _, policy := range []backend.RuntimePolicy{bottle.Runtime, w.Runtime} {
		if !slices.Contains([]backend.RuntimePolicy{"", backend.RuntimeAuto, backend.RuntimeGVisor, backend.RuntimeRunc}, policy) {
			return refuse("runtime %q: auto, gvisor or runc", policy)
		}
	}
	if !slices.Contains([]backend.DLPMode{"", backend.DLPWarn, backend.DLPBlock}, bottle.DLP) {
		return refuse("dlp %q: warn or block", bottle.DLP)
	}
	for _, entry := range bottle.SSH {
		if entry.IdentityFile != "" {
			return refuse("ssh %s: a key is read by its user, not by its path", backend.Printable(entry.Host))
		}
	}
	for _, entry := range bottle.Credentials {
		if entry.Secret != ofClient {
			return refuse("credential %s: a secret is read by its user, not from its source", backend.Printable(entry.Name))
		}
	}
	if len(bottle.SSH) > maxList || len(bottle.Credentials) > maxList || len(w.Env) > 2*maxList || len(w.Keys) > maxList {
		return refuse("the bottle file has more than %d entries of a kind", maxList)
	}
	if err := checkDevcontainer(bottle.Devcontainer); err != nil {
		return err
	}
	for name, text := range w.Env {
		if text != "" && !strings.HasPrefix(text, "${") && !strings.HasPrefix(text, "?") {
			return refuse("env %s: its value is no business of this end", backend.Printable(name))
		}
	}
	return nil
}

// checkDevcontainer refuses what no client has read of such a file.
func checkDevcontainer(from *backend.Devcontainer) error {
	switch {
	case from == nil:
		return nil
	case from.File != "":
		return refuse("a devcontainer.json is read by its user, not by its path")
	case len(from.Setup) > maxList || len(from.Ports) > maxList || len(from.Ignored) > maxList:
		return refuse("devcontainer.json has more than %d entries of a kind", maxList)
	}
	for _, command := range from.Setup {
		if len(command.Argv) == 0 || slices.ContainsFunc(command.Argv, func(word string) bool { return strings.ContainsRune(word, 0) }) {
			return refuse("a command of devcontainer.json is none")
		}
		if len(command.Name) > maxWord {
			return refuse("the name of a command is longer than %d bytes", maxWord)
		}
	}
	for _, ignored := range from.Ignored {
		if len(ignored.Key) > maxWord || len(ignored.Reason) > maxWord {
			return refuse("what is said of an ignored key is longer than %d bytes", maxWord)
		}
	}
	if slices.Contains(from.Ports, 0) {
		return refuse("port 0 can't be forwarded")
	}
	return nil
}

func (w *Wish) checkLimits() error {
	least := backend.Limits{MemoryBytes: 64 << 20, CPUMillis: 1, Processes: 1, OpenFiles: 1, TmpBytes: 1 << 20}
	most := backend.Limits{MemoryBytes: 1 << 50, CPUMillis: 1 << 22, Processes: 1 << 20, OpenFiles: 1 << 20, TmpBytes: 1 << 50}
	is := func(value, least, most int64) bool { return value >= least && value <= most }
	if l := w.Limits; !is(l.MemoryBytes, least.MemoryBytes, most.MemoryBytes) || !is(l.CPUMillis, least.CPUMillis, most.CPUMillis) ||
		!is(l.Processes, least.Processes, most.Processes) || !is(l.OpenFiles, least.OpenFiles, most.OpenFiles) || !is(l.TmpBytes, least.TmpBytes, most.TmpBytes) {
		return refuse("the limits %+v can't be", l)
	}
	return nil
}

func (w *Wish) checkInputs() error {
	if len(w.Inputs) > maxList {
		return refuse("more than %d things go in", maxList)
	}
	for _, input := range w.Inputs {
		kinds := []backend.InputKind{backend.InputPrompt, backend.InputSkill, backend.InputSSH, backend.InputSettings}
		switch {
		case input.From != "":
			return refuse("%s: it arrives as bytes, not by its path", backend.Printable(input.Name))
		case !slices.Contains(kinds, input.Kind) || input.Place.Path() == "" || input.Files < 0 || input.Bytes < 0:
			return refuse("%s is nothing that goes in", backend.Printable(input.Name))
		case input.SHA256 != "" && !hexDigest().MatchString(input.SHA256), input.PromptPath != "" && input.PromptPath != provision.PromptPath:
			return refuse("%s is not described as a client does", backend.Printable(input.Name))
		case len(input.Name) > maxWord || len(input.Note) > maxWord:
			return refuse("the name of what goes in is longer than %d bytes", maxWord)
		}
	}
	return nil
}

func (w *Wish) checkOrigin() error {
	switch from := w.From; {
	case from == nil:
		return nil
	case !filepath.IsAbs(from.Path) || filepath.Clean(from.Path) != from.Path || len(from.Path) > unix.PathMax || strings.ContainsRune(from.Path, 0):
		return refuse("where the work is from is no path")
	case from.Head != "" && !ledger.IsObjectName(from.Head):
		return refuse("the commit that the work is from has no name of git's")
	}
	return nil
}

func (w *Wish) checkRest() error {
	total := 0
	for _, argument := range w.ClaudeArgs {
		total += len(argument) + 1
		if strings.ContainsRune(argument, 0) {
			return refuse("an argument of claude's holds a zero byte")
		}
	}
	if total > maxArguments {
		return refuse("the arguments of claude are longer than %d bytes", maxArguments)
	}
	for name, value := range w.Variables {
		if !slices.Contains(sentVariables(), name) || len(value) > maxWord {
			return refuse("variable %s is not asked for", backend.Printable(name))
		}
	}
	for _, kind := range w.Credentials {
		if kind.Variable() == "" {
			return refuse("there is no credential %q", kind)
		}
	}
	for host, key := range w.Keys {
		if len(host) > maxWord || len(key.Fingerprint) > maxWord {
			return refuse("a key's fingerprint is longer than %d bytes", maxWord)
		}
	}
	return w.checkDeclaration()
}

func (w *Wish) checkDeclaration() error {
	declared := w.Declaration
	if declared == nil {
		return nil
	}
	if len(declared.Object) > 0 {
		// What it says is what is declared, whatever else stands beside it.
		bottle, err := resources.Given(declared.Object)
		if err != nil {
			return err
		}
		if w.Resume == "" && bottle.Name != w.Name {
			return refuse("the resource is of bottle %s, not of %s", backend.Printable(bottle.Name), backend.Printable(w.Name))
		}
		generation := declared.Generation
		if declared, err = resources.Declaration(bottle); err != nil {
			return err
		}
		declared.Generation = generation
		w.Declaration = declared
	}
	life := declared.Life
	switch {
	case declared.Generation < 0:
		return refuse("generation %d can't be", declared.Generation)
	case len(declared.Labels) > maxList:
		return refuse("there are more than %d labels", maxList)
	case !slices.Contains([]backend.RestartPolicy{"", backend.RestartNever, backend.RestartOnFailure, backend.RestartAlways}, life.Restart):
		return refuse("restart %q: Never, OnFailure or Always", life.Restart)
	}
	const most = 1 << 32 // seconds
	seconds := []int64{life.ActiveDeadlineSeconds, life.IdleTimeoutSeconds}
	if life.TTLSecondsAfterFinished != nil {
		seconds = append(seconds, *life.TTLSecondsAfterFinished)
	}
	if slices.ContainsFunc(seconds, func(value int64) bool { return value < 0 || value > most }) {
		return refuse("a time of the bottle's life can't be")
	}
	for key, value := range declared.Labels {
		if key == "" || len(key) > maxWord || len(value) > maxWord {
			return refuse("label %s can't be", backend.Printable(key))
		}
	}
	return nil
}
