// Package test holds what is tested across rooms: the fences between packages
// here, and in the folders below integration, conformance, end-to-end and
// bench. It holds no code that the programs use.
package test

import (
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

const module = "github.com/claude-bottle/claude-bottle/"

// mayImport says which rooms each room may import. What is not listed is not
// allowed.
var mayImport = map[string][]string{
	"api/v1alpha1":       {"spelling"},
	"archive":            {},
	"backend":            {},
	"backend/containerd": {"archive", "backend", "change", "image/layer", "ledger", "neck", "oci", "provision", "runtime", "supervise", "work"},
	"change":             {"archive", "backend", "hostgit", "ledger"},
	"cmd/bottle-init":    {"archive", "neck"},
	"cmd/claude-bottle":  {"*"},
	"controller":         {"backend"},
	"doctor":             {"backend", "backend/containerd", "fake/anthropic", "image/proven", "manifest", "runtime"},
	"egress":             {"backend", "journal", "leaks", "spelling"},
	"engine":             {},
	"fake/anthropic":     {},
	"fetch":              {"archive", "backend", "hostgit", "ledger"},
	"hack":               {"image/proven"},
	"hostgit":            {},
	"image/bundle":       {},
	"image/credentials":  {},
	"image/debian":       {"backend"},
	"image/devcontainer": {"backend"},
	"image/dockerfile":   {"backend"},
	"image/layer":        {},
	"image/npm":          {"backend"},
	"image/proven":       {},
	"image/recipe":       {"backend"},
	"journal":            {},
	"leaks":              {},
	"ledger":             {"archive", "backend"},
	"manifest":           {"backend", "image/devcontainer", "spelling"},
	"neck":               {},
	"oci":                {"backend"},
	"pattern":            {},
	"provision":          {"archive", "backend", "hostgit", "leaks"},
	"remote":             {"archive", "backend", "change", "fetch", "ledger", "neck", "provision", "resources", "supervise", "work"},
	"resources":          {"api/v1alpha1", "backend", "manifest"},
	"runtime":            {"backend", "image/bundle", "image/credentials", "oci"},
	"spelling":           {},
	"supervise":          {"archive", "backend", "egress", "journal", "leaks", "neck"},
	"terminal":           {"backend"},
	"work":               {"archive", "backend", "hostgit", "ledger"},
}

// anyoneMay is what every room may import, as it may the standard library.
const anyoneMay = "pattern"

// onlyIn says which rooms may import a foreign package, and why nobody else.
var onlyIn = map[string]struct {
	rooms []string
	why   string
}{
	"github.com/containerd/containerd/v2":  {[]string{"runtime"}, "one room knows the daemon"},
	"github.com/containerd/containerd/api": {[]string{"runtime"}, "one room knows the daemon"},
	"github.com/spf13/cobra":               {[]string{"cmd/claude-bottle"}, "flags end in cmd"},
	"github.com/sirupsen/logrus":           {[]string{"cmd/claude-bottle"}, "rooms log by log.G(ctx)"},
	"github.com/hashicorp/yamux":           {[]string{"neck"}, "one room knows how the neck is multiplexed"},
	"github.com/miekg/dns":                 {[]string{"cmd/bottle-init"}, "names are answered inside the bottle only"},
	"github.com/vishvananda/netlink":       {[]string{"backend/containerd"}, "one room makes network namespaces"},
	"github.com/prometheus/client_golang":  {[]string{"controller"}, "one room measures"},
	"k8s.io/client-go":                     {[]string{"controller", "cmd/claude-bottle"}, "one room has a queue, one prints by templates"},
	"github.com/ProtonMail/go-crypto":      {[]string{"image/debian"}, "one room checks Debian's signatures"},
	"oras.land/oras-go":                    {[]string{"image/credentials"}, "one room reads what docker has written"},
	"github.com/agext/levenshtein":         {[]string{"spelling"}, "one room knows how near words are"},
	"github.com/tailscale/hujson":          {[]string{"image/devcontainer"}, "one format of JSON has comments"},
	"github.com/pelletier/go-toml/v2":      {[]string{"leaks"}, "one file of rules is TOML"},
	"k8s.io/apimachinery":                  {[]string{"api/v1alpha1", "resources", "cmd/claude-bottle"}, "resources are what Kubernetes has words for"},
	"sigs.k8s.io":                          {[]string{"api/v1alpha1", "resources"}, "resources are parsed in one room, shown in one"},
	"go.yaml.in/yaml/v3":                   {[]string{"manifest", "cmd/claude-bottle"}, "files are parsed in one room, output printed in one"},
}

// softCaps bound a room's files and functions, in lines.
const (
	maxFileLines     = 300
	maxFunctionLines = 60
	maxMethods       = 5
)

// overCap lists what is over a cap for a reason.
var overCap = map[string]string{}

type source struct {
	path string // slash-separated, from the repository's root
	room string
	file *ast.File
	set  *token.FileSet
}

func sources(t *testing.T) []source {
	t.Helper()
	root, err := filepath.Abs("..")
	if err != nil {
		t.Fatal(err)
	}
	var list []source
	err = filepath.WalkDir(root, func(path string, entry fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		relative, _ := filepath.Rel(root, path)
		if entry.IsDir() {
			nested := false
			if relative != "." {
				_, statErr := os.Stat(filepath.Join(path, "go.mod"))
				nested = statErr == nil
			}
			if nested || slices.Contains([]string{".git", "bin", "libexec", "testdata"}, entry.Name()) {
				return filepath.SkipDir
			}
			return nil
		}
		if filepath.Ext(path) != ".go" {
			return nil
		}
		set := token.NewFileSet()
		file, err := parser.ParseFile(set, path, nil, parser.ParseComments)
		if err != nil {
			return err
		}
		list = append(list, source{path: filepath.ToSlash(relative), room: roomOf(filepath.ToSlash(filepath.Dir(relative))), file: file, set: set})
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	if len(list) < 50 {
		t.Fatalf("only %d Go files found below %s", len(list), root)
	}
	return list
}

// roomOf is the longest known room that dir lies in, or the first folder.
func roomOf(dir string) string {
	best := strings.SplitN(dir, "/", 2)[0]
	for room := range maps.Keys(mayImport) {
		if (dir == room || strings.HasPrefix(dir, room+"/")) && len(room) >= len(best) {
			best = room
		}
	}
	return best
}

func isTest(s source) bool { return strings.HasSuffix(s.path, "_test.go") || s.room == "test" }

func TestRoomsImportOnlyTheRoomsBelowThem(t *testing.T) {
	for _, s := range sources(t) {
		if isTest(s) {
			continue
		}
		allowed, known := mayImport[s.room]
		if !known {
			t.Errorf("%s: room %q is not on the map: add it to mayImport and to docs/architecture.md", s.path, s.room)
			continue
		}
		for _, spec := range s.file.Imports {
			path := strings.Trim(spec.Path.Value, `"`)
			inner, ours := strings.CutPrefix(path, module)
			if !ours {
				continue
			}
			target := roomOf(inner)
			if target != s.room && target != anyoneMay && !slices.Contains(allowed, target) && !slices.Contains(allowed, "*") {
				t.Errorf("%s imports %s: %s may import %v", s.path, inner, s.room, allowed)
			}
		}
	}
}

func TestForeignPackagesStayInTheirRooms(t *testing.T) {
	for _, s := range sources(t) {
		if isTest(s) {
			continue
		}
		for _, spec := range s.file.Imports {
			path := strings.Trim(spec.Path.Value, `"`)
			for prefix, fence := range onlyIn {
				if (path == prefix || strings.HasPrefix(path, prefix+"/")) && !slices.Contains(fence.rooms, s.room) {
					t.Errorf("%s imports %s, which belongs to %v: %s", s.path, path, fence.rooms, fence.why)
				}
			}
		}
	}
}

// TestNoProgramCarriesTheWholeOfKubernetes: these bring every API group along, or a whole
// server, and weigh more than all that is ours (docs/dependencies.md).
func TestNoProgramCarriesTheWholeOfKubernetes(t *testing.T) {
	command := exec.CommandContext(t.Context(), "go", "list", "-deps", "./cmd/...")
	command.Dir = ".."
	output, err := command.Output()
	if err != nil {
		t.Fatal(err)
	}
	deps := strings.Fields(string(output))
	if !slices.Contains(deps, "k8s.io/apimachinery/pkg/apis/meta/v1") {
		t.Fatalf("the list of %d dependencies is not the one of the programs", len(deps))
	}
	for _, dep := range deps {
		for _, heavy := range []string{"k8s.io/client-go/kubernetes", "sigs.k8s.io/controller-runtime", "k8s.io/apiserver", "k8s.io/api"} {
			if dep == heavy || strings.HasPrefix(dep, heavy+"/") {
				t.Errorf("a program depends on %s", dep)
			}
		}
	}
}

func TestEveryPackageHasOnePackageComment(t *testing.T) {
	comments, seen := map[string]int{}, map[string]bool{}
	for _, s := range sources(t) {
		dir := filepath.Dir(s.path)
		if strings.HasSuffix(s.path, "_test.go") && dir != "test" && !strings.HasPrefix(dir, "test/") {
			continue
		}
		seen[dir] = true
		if s.file.Doc != nil {
			comments[dir]++
		}
	}
	for dir := range seen {
		if comments[dir] != 1 {
			t.Errorf("package %s has %d package comments, want one", dir, comments[dir])
		}
	}
}

func TestExportedNamesAreDocumented(t *testing.T) {
	for _, s := range sources(t) {
		if isTest(s) || strings.HasPrefix(s.room, "cmd/") {
			continue
		}
		for _, declaration := range s.file.Decls {
			for name, documented := range exported(declaration) {
				if !documented {
					t.Errorf("%s: %s has no doc comment", s.path, name)
				}
			}
		}
	}
}

// exported names what a declaration exports, and whether each has a comment.
func exported(declaration ast.Decl) map[string]bool {
	names := map[string]bool{}
	switch d := declaration.(type) {
	case *ast.FuncDecl:
		if d.Name.IsExported() && (d.Recv == nil || receiverExported(d)) {
			names[d.Name.Name] = d.Doc != nil
		}
	case *ast.GenDecl:
		for _, spec := range d.Specs {
			switch spec := spec.(type) {
			case *ast.TypeSpec:
				if spec.Name.IsExported() {
					names[spec.Name.Name] = d.Doc != nil || spec.Doc != nil
				}
			case *ast.ValueSpec:
				for _, name := range spec.Names {
					if name.IsExported() {
						names[name.Name] = d.Doc != nil || spec.Doc != nil || spec.Comment != nil
					}
				}
			}
		}
	}
	return names
}

func receiverExported(d *ast.FuncDecl) bool {
	exported := false
	ast.Inspect(d.Recv.List[0].Type, func(node ast.Node) bool {
		if name, ok := node.(*ast.Ident); ok {
			exported = exported || name.IsExported()
		}
		return true
	})
	return exported
}

func TestRoomsKeepToTheSoftCaps(t *testing.T) {
	for _, s := range sources(t) {
		if strings.HasSuffix(s.path, "_test.go") {
			continue
		}
		lines := s.set.Position(s.file.End()).Line
		if lines > maxFileLines && overCap[s.path] == "" {
			t.Errorf("%s has %d lines, over %d: cut it along a subject", s.path, lines, maxFileLines)
		}
		ast.Inspect(s.file, func(node ast.Node) bool {
			switch n := node.(type) {
			case *ast.FuncDecl:
				length := s.set.Position(n.End()).Line - s.set.Position(n.Pos()).Line
				if length > maxFunctionLines && overCap[s.path+":"+n.Name.Name] == "" {
					t.Errorf("%s: %s has %d lines, over %d", s.path, n.Name.Name, length, maxFunctionLines)
				}
			case *ast.InterfaceType:
				if len(n.Methods.List) > maxMethods {
					t.Errorf("%s: an interface with %d methods, over %d", s.path, len(n.Methods.List), maxMethods)
				}
			}
			return true
		})
	}
}

// TestNoPatternIsCompiledWhileTheProgramStarts: the program starts for each supervisor and
// each command, and 27 patterns were a tenth of that.
func TestNoPatternIsCompiledWhileTheProgramStarts(t *testing.T) {
	for _, s := range sources(t) {
		if isTest(s) || s.room == "hack" {
			continue
		}
		for _, declaration := range s.file.Decls {
			general, ok := declaration.(*ast.GenDecl)
			if !ok {
				continue
			}
			ast.Inspect(general, func(node ast.Node) bool {
				if _, inside := node.(*ast.FuncLit); inside {
					return false
				}
				if selector, ok := node.(*ast.SelectorExpr); ok && selector.Sel.Name == "MustCompile" {
					t.Errorf("%s: compile it at its first use, by pattern.Lazy", s.set.Position(selector.Pos()))
				}
				return true
			})
		}
	}
}

func TestNoPackageLevelInit(t *testing.T) {
	for _, s := range sources(t) {
		for _, declaration := range s.file.Decls {
			if f, ok := declaration.(*ast.FuncDecl); ok && f.Recv == nil && f.Name.Name == "init" {
				t.Errorf("%s has an init function: register in cmd", s.path)
			}
		}
	}
}
