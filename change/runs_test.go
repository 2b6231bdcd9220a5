package change

import (
	"os"
	"testing"
)

// autorun are files of which each runs without anybody asking for it.
func autorun() []string {
	return []string{
		".claude/settings.json", ".claude/settings.local.json", ".claude/hooks/x.sh", ".claude/agents/x.md", ".claude/commands/x.md", ".claude/skills/x/SKILL.md",
		".mcp.json", "CLAUDE.md", "sub/claude.md", "AGENTS.md", ".vscode/tasks.json", "sub/.vscode/settings.json", ".idea/workspace.xml", ".devcontainer/devcontainer.json",
		".envrc", "sub/.envrc", ".husky/pre-commit", ".githooks/pre-push", ".github/workflows/ci.yml", ".gitlab-ci.yml", "Jenkinsfile", "Makefile", "makefile", "GNUmakefile", "sub/MAKEFILE",
		"rules.mk", "CMakeLists.txt", "package.json", "sub/package.json", ".npmrc", ".yarnrc.yml", ".pnpmfile.cjs", "pnpm-workspace.yaml", "conftest.py", "tests/conftest.py", "setup.py", "setup.cfg",
		"pyproject.toml", "tox.ini", "noxfile.py", "sitecustomize.py", "evil.pth", ".cargo/config", ".cargo/config.toml", "build.rs", ".bazelrc", "gradlew", "gradle/wrapper/gradle-wrapper.properties",
		"build.gradle", "mvnw", ".mvn/wrapper/maven-wrapper.properties", ".gitattributes", "sub/.gitattributes", ".gitmodules", ".pre-commit-config.yaml", "lefthook.yml", "Justfile", "Taskfile.yml",
		"Dockerfile", "Dockerfile.dev", "docker-compose.yml", "compose.yaml", "x.desktop", ".bashrc", ".profile", ".zshrc", ".tool-versions", "mise.toml", ".mise.local.toml", ".nvmrc", "vite.config.ts",
		".eslintrc.js", "Rakefile", "main.tf", ".vimrc", "flake.nix", ".cursor/rules/x", "Makefile .", ".vs\u200ccode/tasks.json", "configure",
	}
}

func TestT20_WhatRunsByItselfIsNamed(t *testing.T) {
	b := newProject(t)
	for i, name := range autorun() {
		if i%2 == 0 {
			b.put(name, "before\n")
		}
	}
	b.put("lib/program", "1\n")
	b.put("lib/script.txt", "#!/bin/sh\n")
	b.put("real/rules", "1\n")
	must(t, os.Symlink("real", b.project+"/.codex"))
	b.put("plain.go", "package x\n")
	b.commit()
	b.launch()
	wanted := append(autorun(), "lib/program", "lib/script.txt", "lib/new-script", "real/rules")
	for _, name := range wanted {
		b.edit(name, "#!/bin/sh\n# of the agent's\n")
	}
	b.edit("real/rules", "of the agent's\n")
	b.edit("lib/program", "1\n")
	must(t, os.Chmod(b.inside("lib/program"), 0o755))
	for _, name := range []string{"plain.go", "docs/readme.md", "makefile.go/x", "src/package.json.go", "src/dockerfiles/x.txt"} {
		b.edit(name, "of the agent's\n")
	}
	before := snapshot(t, b.project)
	offer := b.offer(Target{})
	runs := map[string]string{}
	for _, step := range offer.Steps {
		runs[step.Path] = step.Runs
	}
	for _, name := range wanted {
		if runs[name] == "" {
			t.Errorf("%s is not named", name)
		}
	}
	for _, name := range []string{"plain.go", "docs/readme.md", "makefile.go/x", "src/package.json.go", "src/dockerfiles/x.txt"} {
		if why, there := runs[name]; !there || why != "" {
			t.Errorf("%s is said to run: %q", name, why)
		}
	}
	offer.Close()
	if after := snapshot(t, b.project); len(before) != len(after) {
		t.Error("an offer has changed something")
	}
}
