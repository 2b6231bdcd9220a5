module github.com/claude-bottle/claude-bottle/hack/tools/govulncheck/db

go 1.26.8

toolchain go1.26.10

require golang.org/x/vulndb v0.0.0-20261105234957-e22db6528018
