package provision

import (
	"fmt"
	"strings"

	"github.com/claude-bottle/claude-bottle/archive"
	"github.com/claude-bottle/claude-bottle/backend"
	"golang.org/x/crypto/ssh"
)

// sshConfig is ssh's configuration inside, with the hosts' keys and the public
// halves of the keys that an agent signs with.
func sshConfig(planned []plannedKey) (backend.Input, error) {
	var config, known strings.Builder
	public := map[string]string{}
	for _, entry := range planned {
		writeSSHHost(&config, entry.PlanSSH)
		if entry.HostKey != "" {
			fmt.Fprintf(&known, "%s %s\n", knownName(entry.PlanSSH), entry.HostKey)
		}
		if !entry.Copied {
			public[keyDirectory+entry.Host+".pub"] = authorized(entry.public) + "\n"
		}
	}
	bytes := config.Len() + known.Len()
	for _, line := range public {
		bytes += len(line)
	}
	return built(backend.Input{
		Kind: backend.InputSSH, Name: "ssh config", Place: backend.PlaceSSH, Files: 2 + len(public), Bytes: int64(bytes),
	}, func(b *archive.Builder) {
		b.File("config", 0o600, []byte(config.String()))
		b.File("known_hosts", 0o600, []byte(known.String()))
		for _, entry := range planned {
			name := keyDirectory + entry.Host + ".pub"
			if line, ok := public[name]; ok {
				b.File(name, 0o400, []byte(line))
			}
		}
	})
}

// writeSSHHost appends one host. A host without a pinned key, whose private key
// was copied in, is trusted on first use, within the one life of the bottle.
func writeSSHHost(config *strings.Builder, entry backend.PlanSSH) {
	line := func(format string, args ...any) { fmt.Fprintf(config, "  "+format+"\n", args...) }
	fmt.Fprintf(config, "Host %s\n", entry.Host)
	line("HostName %s", entry.Hostname)
	line("Port %d", entry.Port)
	if entry.User != "" {
		line("User %s", entry.User)
	}
	line("IdentitiesOnly yes")
	if entry.Copied {
		line("IdentityFile ~/.ssh/%s%s", keyDirectory, entry.Host)
		line("IdentityAgent none")
	} else {
		line("IdentityFile ~/.ssh/%s%s.pub", keyDirectory, entry.Host)
		line("IdentityAgent %s", backend.SSHAgentPath)
	}
	if entry.HostKey == "" {
		line("StrictHostKeyChecking accept-new\n")
		return
	}
	// The pinned key and no other: not one that the host would like to add.
	line("HostKeyAlgorithms %s", hostKeyAlgorithms(entry.HostKey))
	line("UpdateHostKeys no")
	line("StrictHostKeyChecking yes\n")
}

// hostKeyAlgorithms are those that a key of the host can sign with, SHA-1 left
// out.
func hostKeyAlgorithms(hostKey string) string {
	kind, _, _ := strings.Cut(hostKey, " ")
	if kind == ssh.KeyAlgoRSA {
		return ssh.KeyAlgoRSASHA512 + "," + ssh.KeyAlgoRSASHA256
	}
	return kind
}

// knownName is what known_hosts calls a host.
func knownName(entry backend.PlanSSH) string {
	if entry.Port == defaultSSHPort {
		return entry.Hostname
	}
	return fmt.Sprintf("[%s]:%d", entry.Hostname, entry.Port)
}
