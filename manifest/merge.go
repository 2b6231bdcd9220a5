package manifest

import (
	"cmp"
	"maps"
	"slices"

	"github.com/claude-bottle/claude-bottle/backend"
)

// merge lays a bottle over the one that it extends: what it says wins, and lists
// grow. Projects are not inherited: each bottle says for itself who may name it.
func merge(base, over backend.BottleFile) backend.BottleFile {
	merged := backend.BottleFile{
		Name:     over.Name,
		Extends:  over.Extends,
		Runtime:  cmp.Or(over.Runtime, base.Runtime),
		Projects: over.Projects,
		Debug:    base.Debug || over.Debug,
		Env:      maps.Clone(base.Env),
		Egress:   mergeEgress(base.Egress, over.Egress),
		Anthropic: backend.AnthropicFile{
			ServerTools: appendNew(base.Anthropic.ServerTools, over.Anthropic.ServerTools),
		},
		Credentials: mergeCredentials(base.Credentials, over.Credentials),
		DLP:         cmp.Or(over.DLP, base.DLP),
		SSH:         slices.Clone(over.SSH),
		Resources: backend.Resources{
			Memory:    cmp.Or(over.Resources.Memory, base.Resources.Memory),
			CPUs:      cmp.Or(over.Resources.CPUs, base.Resources.CPUs),
			Processes: cmp.Or(over.Resources.Processes, base.Resources.Processes),
			OpenFiles: cmp.Or(over.Resources.OpenFiles, base.Resources.OpenFiles),
			Tmp:       cmp.Or(over.Resources.Tmp, base.Resources.Tmp),
		},
	}
	source := base
	if over.Image != "" || over.MakesImage() {
		source = over
	}
	merged.Image, merged.Recipe, merged.Dockerfile, merged.Devcontainer = source.Image, source.Recipe, source.Dockerfile, source.Devcontainer
	if merged.Env == nil {
		merged.Env = map[string]string{}
	}
	maps.Copy(merged.Env, over.Env)
	for _, entry := range base.SSH {
		if !slices.ContainsFunc(over.SSH, func(other backend.SSHEntry) bool { return other.Host == entry.Host }) {
			merged.SSH = append(merged.SSH, entry)
		}
	}
	return merged
}

// mergeCredentials takes an entry of base whose name over does not have.
func mergeCredentials(base, over []backend.CredentialEntry) []backend.CredentialEntry {
	merged := slices.Clone(over)
	for _, entry := range base {
		if !slices.ContainsFunc(over, func(other backend.CredentialEntry) bool { return other.Name == entry.Name }) {
			merged = append(merged, entry)
		}
	}
	return merged
}

func appendNew[T comparable](base, over []T) []T {
	list := slices.Clone(base)
	for _, entry := range over {
		if !slices.Contains(list, entry) {
			list = append(list, entry)
		}
	}
	return list
}
