package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"time"

	"github.com/KimMachineGun/automemlimit/memlimit"
)

// errUsage says that the command line made no sense; what was wrong has been
// printed.
var errUsage = errors.New("usage")

// exitCode prints what ended the program, unless the log has it, and turns it into
// a status: 0 for a clean end, 2 for a bad command line or configuration, 1 for
// anything else.
func exitCode(err error, stderr io.Writer) int {
	var bad configError
	var logged loggedError
	switch {
	case err == nil:
		return 0
	case errors.Is(err, errUsage):
		return 2
	case errors.As(err, &logged):
		return 1
	case errors.As(err, &bad):
		printWithin(printTime, func() { fmt.Fprintf(stderr, "parley: the configuration is wrong:\n%v\n", bad.err) })
		return 2
	}
	printWithin(printTime, func() { fmt.Fprintf(stderr, "parley: %v\n", err) })
	return 1
}

// printTime is how long the program waits for somebody to read what it prints.
const printTime = time.Second

// printWithin waits for a limited time for something to be printed: the other end
// may be a pipe that nobody reads.
func printWithin(limit time.Duration, say func()) {
	ctx, cancel := context.WithTimeout(context.Background(), limit)
	defer cancel()
	_ = finish(ctx, say)
}

// loggedError is what went wrong after the start. The log has it, and must not be
// waited for a second time.
type loggedError struct{ err error }

// Error implements error.
func (e loggedError) Error() string { return e.err.Error() }

// Unwrap gives the error that was logged.
func (e loggedError) Unwrap() error { return e.err }

// configError is everything that is wrong with the configuration.
type configError struct{ err error }

// Error implements error.
func (e configError) Error() string { return e.err.Error() }

// run is the program. It returns when ctx is done and everything has ended, or
// when it cannot start.
func run(ctx context.Context, args []string, env environment, stdout, stderr io.Writer) error {
	flags := flag.NewFlagSet("parley", flag.ContinueOnError)
	flags.SetOutput(stderr)
	flags.Usage = func() { writeUsage(flags.Output()) }
	envFile := flags.String("env-file", "", "")
	showVersion := flags.Bool("version", false, "")
	switch err := flags.Parse(args); {
	case errors.Is(err, flag.ErrHelp):
		return nil
	case err != nil:
		return errUsage
	case *showVersion:
		fmt.Fprintf(stdout, "parley %s (commit %s)\n", built().version, built().commit)
		return nil
	}
	if *envFile != "" {
		file, err := readEnvFile(*envFile)
		if err != nil {
			return configError{err}
		}
		env = env.over(file)
	}
	switch cmd, arg, err := commandOf(flags.Args(), stderr); {
	case err != nil:
		return err
	case cmd != nil:
		return cmd.run(ctx, env, arg, stdout, stderr)
	}
	c, err := load(env)
	if err != nil {
		return configError{err}
	}
	limitMemory(memlimit.FromCgroup)
	return serve(ctx, c, seams{}, stdout, stderr)
}
