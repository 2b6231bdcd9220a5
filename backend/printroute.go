package backend

import "strings"

// printRoutes shows what each route leads to, where its secret comes from, and
// what may pass.
func (p *Plan) printRoutes(row func(string, string, ...any)) {
	for _, route := range p.Routes {
		how := Printable(route.Header)
		if route.Scheme != "" {
			how += " " + Printable(route.Scheme)
		}
		if route.User != "" {
			how += " as " + Printable(route.User)
		}
		row("credential", "http://%s.bottle/ is %s, secret from %s, put on outside the bottle (%s)", route.Name, Printable(route.Upstream), Printable(route.Source), how)
		for _, rule := range route.Allow {
			row("credential", "%s: %s of %s", route.Name, Printable(strings.Join(rule.Methods, ", ")), Printable(strings.Join(rule.Paths, ", ")))
		}
		switch {
		case route.Kind.Git() && len(route.Repositories) == 0:
			row("credential", "%s: git clone, fetch and push of every repository that the secret opens", route.Name)
		case route.Kind.Git():
			row("credential", "%s: git clone, fetch and push of %s", route.Name, Printable(strings.Join(route.Repositories, ", ")))
		}
	}
	switch p.DLP {
	case DLPWarn:
		row("dlp", "requests to the API and to credentials that hold a secret are told of")
	case DLPBlock:
		row("dlp", "requests to the API and to credentials that hold a secret are refused")
	}
}
