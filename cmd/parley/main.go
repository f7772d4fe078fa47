// Command parley is the state service behind a Copilot Studio chat front end.
package main

import (
	"os"
	"os/signal"
	"syscall"
)

func main() {
	// Else the first line after the reader of standard error has left would end the
	// process.
	signal.Ignore(syscall.SIGPIPE)
	err := run(untilSignal(os.Interrupt, syscall.SIGTERM), os.Args[1:], processEnvironment(), os.Stdout, os.Stderr)
	os.Exit(exitCode(err, os.Stderr))
}
