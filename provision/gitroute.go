package provision

import (
	"bytes"
	"fmt"
	"net/url"
	"strconv"

	"github.com/claude-bottle/claude-bottle/backend"
)

// gitRoutes are the lines of ~/.gitconfig that send git to the routes of the
// bottle file in the place of the services that they stand for: so the usual
// URLs work without a token. Hosts that the bottle file has an SSH key for keep
// their SSH URLs.
func gitRoutes(bottle backend.BottleFile) []byte {
	var config bytes.Buffer
	for _, entry := range bottle.Credentials {
		bases := entry.GitURLs()
		if len(bases) == 0 {
			continue
		}
		fmt.Fprintf(&config, "[url \"http://%s.bottle/\"]\n", entry.Name)
		for _, base := range bases {
			fmt.Fprintf(&config, "\tinsteadOf = %s\n", strconv.QuoteToASCII(base+"/"))
			upstream, err := url.Parse(base)
			if err != nil || upstream.Path != "" || upstream.Port() != "" || hasSSH(bottle.SSH, upstream.Hostname()) {
				continue
			}
			host := upstream.Hostname()
			fmt.Fprintf(&config, "\tinsteadOf = %q\n\tinsteadOf = %q\n", "git@"+host+":", "ssh://git@"+host+"/")
		}
	}
	return config.Bytes()
}

func hasSSH(entries []backend.SSHEntry, host string) bool {
	for _, entry := range entries {
		if entry.Host == host || entry.Hostname == host {
			return true
		}
	}
	return false
}
