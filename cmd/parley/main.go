// Command parley is the state service behind a Copilot Studio chat front end.
package main

import (
	"os"
	"syscall"
)

func main() {
	err := run(untilSignal(os.Interrupt, syscall.SIGTERM), os.Args[1:], processEnvironment(), os.Stdout, os.Stderr)
	os.Exit(exitCode(err, os.Stderr))
}
