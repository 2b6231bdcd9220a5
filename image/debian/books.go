package debian

import (
	"bytes"
	"fmt"
	"iter"
	"maps"
	"path"
	"slices"
	"strings"

	"github.com/claude-bottle/claude-bottle/backend"
	"github.com/containerd/errdefs"
)

// books are those that dpkg keeps.
type books struct {
	status strings.Builder
	// kept are files, by their paths.
	kept map[string][]byte
	// triggers are who waits for what.
	triggers map[string][]string
}

func newBooks() *books { return &books{kept: map[string][]byte{}, triggers: map[string][]string{}} }

// Where they lie.
const (
	dpkg     = "var/lib/dpkg/"
	dpkgInfo = dpkg + "info/"
)

// enter says that a package is unpacked. Paths are as the package has them.
func (b *books) enter(name string, said map[string][]byte, names, configuration []string, sums map[string]string) error {
	about, err := oneStanza(bytes.NewReader(said["control"]))
	if err != nil {
		return fmt.Errorf("read its control: %w", err)
	}
	if about["Package"] != name {
		return fmt.Errorf("it says that it is %s: %w", backend.Printable(about["Package"]), errdefs.ErrFailedPrecondition)
	}
	stem := name
	if about["Multi-Arch"] == "same" {
		stem += ":" + about["Architecture"]
	}
	b.status.Write(bytes.TrimRight(said["control"], "\n"))
	b.status.WriteString("\nStatus: install ok unpacked\n")
	if len(configuration) > 0 {
		b.status.WriteString("Conffiles:\n")
		for _, file := range configuration {
			if sums[file] == "" {
				return fmt.Errorf("it has no %s, which it names among its conffiles: %w", backend.Printable(file), errdefs.ErrInvalidArgument)
			}
			fmt.Fprintf(&b.status, " %s %s\n", file, sums[file])
		}
	}
	b.status.WriteByte('\n')
	for member, content := range said {
		if member != "control" {
			b.kept[dpkgInfo+stem+"."+member] = content
		}
	}
	b.kept[dpkgInfo+stem+".list"] = list(names)
	b.await(stem, string(said["triggers"]))
	return nil
}

// list is how dpkg names the files of a package.
func list(names []string) []byte {
	var text strings.Builder
	for _, name := range names {
		if name == "/" {
			name = "/."
		}
		text.WriteString(name + "\n")
	}
	return []byte(text.String())
}

// await enters what a package waits for.
func (b *books) await(stem, text string) {
	for line := range strings.Lines(text) {
		fields := strings.Fields(line)
		if len(fields) != 2 {
			continue
		}
		switch fields[0] {
		case "interest", "interest-await":
			b.triggers[fields[1]] = append(b.triggers[fields[1]], stem)
		case "interest-noawait":
			b.triggers[fields[1]] = append(b.triggers[fields[1]], stem+"/noawait")
		}
	}
}

// files are the books and what else a system has that no package brings, by path.
func (b *books) files(suite, architecture string) iter.Seq2[string, []byte] {
	all := maps.Clone(b.kept)
	all[dpkg+"status"] = []byte(b.status.String())
	all[dpkg+"available"] = nil
	all[dpkg+"diversions"] = nil
	all[dpkg+"statoverride"] = nil
	all[dpkgInfo+"format"] = []byte("1\n")
	all[dpkg+"arch"] = []byte(architecture + "\n")
	var files strings.Builder
	for _, what := range slices.Sorted(maps.Keys(b.triggers)) {
		for _, who := range b.triggers[what] {
			if strings.HasPrefix(what, "/") {
				files.WriteString(what + " " + who + "\n")
				continue
			}
			where := dpkg + "triggers/" + path.Base(what)
			all[where] = append(all[where], who+"\n"...)
		}
	}
	all[dpkg+"triggers/File"] = []byte(files.String())
	all[dpkg+"triggers/Unincorp"] = nil
	all["etc/dpkg/dpkg.cfg.d/unread"] = exclusions()
	all["etc/apt/sources.list.d/debian.sources"] = sources(suite)
	for _, name := range []string{"hostname", "hosts", "resolv.conf"} {
		all["etc/"+name] = nil // every bottle has its own
	}
	return func(yield func(string, []byte) bool) {
		for _, name := range slices.Sorted(maps.Keys(all)) {
			if !yield(name, all[name]) {
				return
			}
		}
	}
}

// sources tells apt where packages are. It is Debian's own mirror, whichever the base
// came from: the image is to be the same everywhere.
func sources(suite string) []byte {
	const part = "Types: deb\nURIs: %s\nSuites: %s\nComponents: main\nSigned-By: /usr/share/keyrings/debian-archive-keyring.gpg\n"
	return []byte(fmt.Sprintf(part, DefaultMirror, suite+" "+suite+"-updates") + "\n" + fmt.Sprintf(part, DefaultMirror+"-security", suite+"-security"))
}

// exclusions have dpkg leave out of later packages what is left out of these.
func exclusions() []byte {
	var text strings.Builder
	for _, below := range unreadBelow() {
		text.WriteString("path-exclude=/" + below + "/*\n")
	}
	text.WriteString("path-include=/usr/share/doc/*/copyright\n")
	return []byte(text.String())
}

// script says that a file of dpkg's is run.
func script(name string) bool {
	return slices.Contains([]string{".preinst", ".postinst", ".prerm", ".postrm", ".config"}, path.Ext(name))
}
