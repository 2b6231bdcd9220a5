package provision

import (
	"context"
	"fmt"

	"github.com/claude-bottle/claude-bottle/archive"
	"github.com/claude-bottle/claude-bottle/backend"
)

// Provisions are what a Plan says about the things that go in.
type Provisions struct {
	Inputs    []backend.Input
	SSH       []backend.PlanSSH
	Workspace *backend.WorkTree // nil without --cwd; the caller closes it
	Warnings  []string
}

// promptFile is where the agent's prompt lies, below backend.ClaudePath.
const promptFile = "claude-bottle/system-prompt.md"

// PromptPath is where that is inside.
const PromptPath = backend.ClaudePath + "/" + promptFile

// Gather reads everything that the spec names. It changes nothing. private are
// directories of the program's own, which are never copied.
func Gather(ctx context.Context, spec backend.Spec, private ...string) (Provisions, error) {
	var things Provisions
	settings, err := settingsInputs(spec)
	if err != nil {
		return Provisions{}, err
	}
	things.Inputs = append(things.Inputs, settings...)
	if prompt := spec.Manifest.Agent.Prompt; prompt != "" {
		input, err := promptInput(prompt)
		if err != nil {
			return Provisions{}, err
		}
		things.Inputs = append(things.Inputs, input)
	}
	for _, name := range spec.Manifest.Agent.Skills {
		input, err := skillInput(ctx, spec.Home, name)
		if err != nil {
			return Provisions{}, err
		}
		things.Inputs = append(things.Inputs, input)
	}
	if len(spec.Manifest.Bottle.SSH) > 0 {
		planned, inputs, err := sshThings(spec)
		if err != nil {
			return Provisions{}, err
		}
		things.SSH = planned
		things.Inputs = append(things.Inputs, inputs...)
		things.Warnings = append(things.Warnings, copiedWarnings(planned)...)
	}
	if spec.CopyCwd {
		tree, warnings, err := gatherWorkTree(ctx, spec, private)
		if err != nil {
			return Provisions{}, err
		}
		things.Workspace = tree
		things.Warnings = append(things.Warnings, warnings...)
	}
	return things, nil
}

func promptInput(prompt string) (backend.Input, error) {
	return built(backend.Input{
		Kind: backend.InputPrompt, Name: "system prompt", Place: backend.PlaceClaude, From: "agent file",
		Files: 1, Bytes: int64(len(prompt)), PromptPath: PromptPath,
	}, func(b *archive.Builder) { b.File(promptFile, 0o600, []byte(prompt)) })
}

// built makes an input of what build puts into a stream.
func built(input backend.Input, build func(*archive.Builder)) (backend.Input, error) {
	builder := archive.NewBuilder()
	build(builder)
	stream, err := builder.Bytes()
	if err != nil {
		return backend.Input{}, fmt.Errorf("pack %s: %w", input.Name, err)
	}
	return backend.NewInput(input, stream), nil
}
