package supervise

import (
	"github.com/claude-bottle/claude-bottle/backend"
	"github.com/claude-bottle/claude-bottle/egress"
)

// TryFile says what would become of a connection of a bottle of that file.
func TryFile(file backend.BottleFile, host string, port uint16) (egress.Test, error) {
	hosts, err := Hosts(file.Egress, file.SSH)
	if err != nil {
		return egress.Test{}, err
	}
	ask, err := Ask(file.Egress)
	if err != nil {
		return egress.Test{}, err
	}
	g := &gate{policy: egress.NewLive(hosts)}
	if err := g.ask(ask); err != nil {
		return egress.Test{}, err
	}
	return g.test(host, port), nil
}
