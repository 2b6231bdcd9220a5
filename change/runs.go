package change

import (
	"path"
	"slices"
	"strings"

	"github.com/claude-bottle/claude-bottle/hostgit"
)

// why says why a file runs without anybody asking for it, or as part of what
// people do every day; "" for others. head are its first bytes.
func (p *programs) why(change *Change, head []byte) string {
	if why := p.named(change.Path); why != "" {
		return why
	}
	switch {
	case change.Kind == Deleted:
		return ""
	case change.Mode == gitExecutable && change.OldMode != gitExecutable:
		return "it can be executed from now on"
	case string(head) == "#!":
		return "it is a script"
	default:
		return ""
	}
}

// runner is one kind of file that some program obeys. A pattern without a slash is
// for a name in any directory, one that ends with a slash for all below such a
// directory, any other for the end of a path.
type runner struct {
	why      string
	patterns []string
}

// everyday are what people have open all day. They are compared without regard to
// case, as many file systems do.
func everyday() []runner {
	return []runner{
		{"claude obeys it: hooks, tools, instructions", []string{
			".claude/", ".claude.json", ".mcp.json", "claude.md", "claude.local.md", "agents.md", ".claude-plugin/", ".claude-bottle/",
		}},
		{"another agent obeys it", []string{
			"gemini.md", ".cursor/", ".cursorrules", ".windsurf/", ".windsurfrules", ".clinerules*", ".continue/", ".aider*", ".github/copilot-instructions.md",
			".codex/", ".gemini/", ".opencode/", ".roo/", "skill.md",
		}},
		{"an editor runs it when the directory is opened", []string{
			".vscode/", "*.code-workspace", ".idea/", ".devcontainer/", ".devcontainer.json", ".zed/", ".nvim.lua", ".nvimrc", ".exrc", ".vimrc",
			".dir-locals.el", ".dir-locals-2.el", "*.sublime-project", ".fleet/", ".project", ".run/", ".settings/",
		}},
		{"the shell runs it when the directory is entered", []string{
			".envrc", ".env", ".env.*", ".autoenv*", ".tool-versions", "mise.toml", ".mise.toml", "mise.*.toml", ".mise.*.toml", ".mise/", ".config/mise*",
			".config/mise/", ".nvmrc", ".node-version", ".python-version", ".ruby-version", ".sdkmanrc", "devbox.json", "flake.nix", "shell.nix", "default.nix", ".asdfrc",
		}},
		{"a shell, or another program of the user's, reads it at its start", []string{
			".bashrc", ".bash_profile", ".bash_login", ".bash_logout", ".bash_aliases", ".profile", ".zshrc", ".zshenv", ".zprofile", ".zlogin", ".zlogout",
			".cshrc", ".tcshrc", ".login", ".kshrc", ".config/fish/", ".inputrc", ".gdbinit", ".lldbinit", ".gitconfig", ".config/git/", ".ssh/", ".tmux.conf",
			".screenrc", ".xinitrc", ".xprofile", ".xsession", ".psqlrc", ".irbrc", ".pryrc", ".pythonrc", ".rprofile", ".config/autostart/", ".curlrc", ".wgetrc", ".netrc",
		}},
		{"git runs it, or is steered by it", []string{
			".husky/", ".githooks/", "githooks/", ".git-hooks/", ".gitattributes", ".gitmodules", ".lfsconfig", ".pre-commit-config.y*ml", ".pre-commit-hooks.y*ml",
			"lefthook.y*ml", ".lefthook.y*ml", "lefthook-local.y*ml", "lefthook.toml", "lefthook.json", ".lefthook/", ".overcommit.yml", ".lintstagedrc*",
			"lint-staged.config.*", ".huskyrc*", "commitlint.config.*", ".commitlintrc*",
		}},
	}
}

// builders are what builds, tests and ships.
func builders() []runner {
	return []runner{
		{"a service runs it after a push", []string{
			".github/workflows/", ".github/actions/", "action.y*ml", ".github/dependabot.y*ml", ".gitlab-ci*.y*ml", ".gitlab/", "jenkinsfile*", "*.jenkinsfile",
			".circleci/", ".travis.yml", ".drone.y*ml", ".woodpecker*", ".buildkite/", "azure-pipelines*.y*ml", "bitbucket-pipelines.yml", ".gitea/", ".forgejo/",
			"appveyor.yml", "cloudbuild.y*ml", ".teamcity/", "netlify.toml", "vercel.json", "renovate.json*", ".renovaterc*",
		}},
		{"make and other builders run it", []string{
			"makefile", "gnumakefile", "makefile.*", "*.mk", "*.mak", "cmakelists.txt", "*.cmake", "cmakepresets.json", "cmakeuserpresets.json", "justfile", ".justfile", "*.just",
			"taskfile*.y*ml", "configure", "configure.ac", "*.m4", "meson.build", "sconstruct", "sconscript", "wscript", "build.ninja", "magefile.go",
			".bazelrc", "build.bazel", "workspace.bazel", "module.bazel", "*.bzl", ".buckconfig", "buck", "tiltfile", "earthfile", "procfile*",
			"rakefile", "*.rake", "gemfile", "*.gemspec", ".rspec", "guardfile", "vagrantfile", "brewfile", ".bundle/", "dangerfile", "fastfile", "podfile",
		}},
		{"a package manager runs its scripts, or is steered by it", []string{
			"package.json", "package-lock.json", "npm-shrinkwrap.json", "yarn.lock", "pnpm-lock.yaml", "bun.lock*", "bunfig.toml", ".npmrc", ".yarnrc", ".yarnrc.yml", ".yarn/",
			".pnpmfile.*", "pnpm-workspace.yaml", "deno.json*", "binding.gyp", "composer.json", "node_modules/", "lerna.json", "nx.json", "turbo.json",
			"vcpkg.json", "conanfile.*", "go.work", ".mvn/", "pom.xml", "nuget.config", "*.csproj", "*.fsproj", "*.vbproj", "*.sln", "*.targets", "*.props", "global.json", "mix.exs",
			"stack.yaml", "setup.hs", "*.cabal", "package.swift", "build.sbt", "project/*.sbt", "plugins.sbt", "build.zig", "build.xml", "build.clj", "deps.edn", "project.clj",
		}},
		{"python runs it, by itself or with its tests and builds", []string{
			"conftest.py", "setup.py", "setup.cfg", "pyproject.toml", "tox.ini", "pytest.ini", ".pytest.ini", "noxfile.py", "sitecustomize.py", "usercustomize.py", "*.pth",
			"fabfile.py", "tasks.py", "dodo.py", "hatch_build.py", "requirements*.txt", "pip.conf", ".pypirc", "poetry.toml", "uv.toml", "pipfile", ".pylintrc", "pylintrc", "mypy.ini",
			".mypy.ini", ".flake8", ".ipython/", ".jupyter/",
		}},
		{"cargo runs it", []string{
			".cargo/", "build.rs", "cargo.toml", "rust-toolchain", "rust-toolchain.toml", "rustfmt.toml", "clippy.toml",
		}},
		{"gradle or maven runs it", []string{
			"gradlew", "gradlew.bat", "mvnw", "mvnw.cmd", "gradle/wrapper/", "gradle.properties", "local.properties", "*.gradle", "*.gradle.kts", "buildsrc/",
		}},
		{"a test runner, linter or bundler runs it", []string{
			"*.config.js", "*.config.cjs", "*.config.mjs", "*.config.ts", "*.config.mts", "*.config.cts", ".eslintrc*", ".prettierrc*", ".stylelintrc*", ".babelrc*", ".swcrc",
			".mocharc*", ".nycrc*", "gulpfile.*", "gruntfile.*", "karma.conf.*", "tsconfig*.json", ".golangci.*", ".goreleaser.*", ".air.toml", ".rubocop.yml", "phpunit.xml*",
			".watchmanconfig", ".storybook/",
		}},
		{"a container engine or orchestrator runs it", []string{
			"dockerfile*", "*.dockerfile", "containerfile*", "docker-compose*.y*ml", "compose*.y*ml", "docker-bake.*", "skaffold.y*ml", "*.tf", "*.tfvars", ".terraformrc",
			"*.nomad", "ansible.cfg", "pulumi.y*ml", "serverless.y*ml",
		}},
		{"the desktop runs it", []string{
			"*.desktop", "*.lnk", "*.url", "desktop.ini", "autorun.inf", "*.command", "*.app/", "*.bat", "*.cmd", "*.ps1", "*.service", "*.timer", "*.exe", "*.dll", "*.so", "*.dylib",
		}},
	}
}

// programs knows what runs by itself.
type programs struct {
	names, directories map[string]string // without wildcards, and with one part
	others             []other
}

type other struct {
	parts     []string
	directory bool
	why       string
}

func newPrograms() *programs {
	p := &programs{names: map[string]string{}, directories: map[string]string{}}
	for _, runner := range slices.Concat(everyday(), builders()) {
		for _, pattern := range runner.patterns {
			name, directory := strings.CutSuffix(pattern, "/")
			switch {
			case strings.ContainsAny(name, "*/"):
				p.others = append(p.others, other{strings.Split(name, "/"), directory, runner.why})
			case directory:
				p.directories[name] = runner.why
			default:
				p.names[name] = runner.why
			}
		}
	}
	return p
}

// named says why a file of that name runs; "" for others.
func (p *programs) named(name string) string {
	parts := strings.Split(foldPath(name), "/")
	if why, ok := p.names[parts[len(parts)-1]]; ok {
		return why
	}
	for _, part := range parts { // also the last: a link may have such a name
		if why, ok := p.directories[part]; ok {
			return why
		}
	}
	for _, other := range p.others {
		if other.matches(parts) {
			return other.why
		}
	}
	return ""
}

// foldPath is a path as the most forgiving file system reads it.
func foldPath(name string) string {
	parts := strings.Split(name, "/")
	for i, part := range parts {
		parts[i] = hostgit.Fold(part)
	}
	return strings.Join(parts, "/")
}

func (o other) matches(parts []string) bool {
	first := len(parts) - len(o.parts)
	if o.directory {
		first = 0
	}
	for at := max(first, 0); at+len(o.parts) <= len(parts); at++ {
		found := true
		for i, want := range o.parts {
			if ok, err := path.Match(want, parts[at+i]); err != nil || !ok {
				found = false
				break
			}
		}
		if found {
			return true
		}
	}
	return false
}
