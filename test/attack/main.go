// Command attack is what a hostile agent would try inside a bottle: each attempt
// prints a line of its name and of how it went, so that a test on the host can
// say which of them should have been refused. It is static, and needs nothing of
// the image.
package main

import (
	"fmt"
	"os"
	"sort"
	"strings"
)

func main() {
	attacks := map[string]func(args []string){
		"calls": calls, "compat": compat, "files": files, "dials": dials, "identity": identity, "forks": forks, "fill": fill, "memory": memory,
		"environment": environment, "reach": reach, "hold": hold, "listen": listen, "types": types, "descriptors": descriptors, "flood": flood, "fence": fence, "secrets": secrets,
		"swaps": swaps, "special": special, "deep": deep, "many": many, "system": system,
		"trickle": trickle, "dwell": dwell, "visit": visit, "wait": wait,
	}
	if len(os.Args) < 2 || attacks[os.Args[1]] == nil {
		var names []string
		for name := range attacks {
			names = append(names, name)
		}
		sort.Strings(names)
		fmt.Fprintln(os.Stderr, "usage: attack "+strings.Join(names, "|")+" [ARGUMENT...]")
		os.Exit(2)
	}
	if os.Geteuid() == 0 {
		fmt.Fprintln(os.Stderr, "attack: not as root: outside of a bottle much of this would succeed")
		os.Exit(2)
	}
	attacks[os.Args[1]](os.Args[2:])
}

// report prints how an attempt went.
func report(name string, err error) {
	if err == nil {
		fmt.Println(name + ": done")
		return
	}
	fmt.Println(name + ": " + err.Error())
}

// environment prints what we were started with.
func environment(args []string) {
	for _, variable := range os.Environ() {
		fmt.Println("environment " + variable)
	}
	fmt.Println("arguments " + strings.Join(args, " "))
}
