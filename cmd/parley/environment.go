package main

import (
	"maps"
	"os"
	"strings"
)

// environment is the variables that are set, by name. One that is set to nothing is
// in it: it wins over a file, and then has its default.
type environment map[string]string

// processEnvironment is that of this process.
func processEnvironment() environment {
	env := environment{}
	for _, pair := range os.Environ() {
		if name, value, ok := strings.Cut(pair, "="); ok {
			env[name] = value
		}
	}
	return env
}

// get is for what reads its variables by a function.
func (e environment) get(name string) string { return e[name] }

// over gives the variables of both; its own win.
func (e environment) over(file environment) environment {
	both := maps.Clone(file)
	maps.Copy(both, e)
	return both
}
