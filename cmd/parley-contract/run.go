package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"runtime/debug"

	"parley/contracttest/claims"
	"parley/contracttest/profiles"
	"parley/contracttest/report"
)

const usage = `parley-contract holds a server to the contract of the Parley API.

usage:
  parley-contract run [flags] -- ./server --its --flags   start the server and try every rule
  parley-contract run [flags] --url http://host:port      try what needs no start and no fault
  parley-contract self-test [flags]                        show that it finds services that are broken on purpose
  parley-contract claims                                   list what a server can claim
  parley-contract profile NAME                             print a profile that is in the program
  parley-contract version

It brings the agent, the issuer of tokens, the receiver of telemetry and a Redis
behind a proxy with faults. Exit status: 0 if every promise holds, 1 if one is broken,
2 if something could not be run.

flags of run:
`

// run is the program. It gives the exit status.
func run(ctx context.Context, args []string, stdout, stderr io.Writer) int {
	name := ""
	if len(args) > 0 {
		name, args = args[0], args[1:]
	}
	switch name {
	case "run":
		return exit(runCommand(ctx, args, stdout, stderr))
	case "self-test":
		return exit(selfTestCommand(ctx, args, stdout, stderr))
	case "claims":
		for _, d := range claims.All() {
			fmt.Fprintf(stdout, "%-40s %s\n", d.Claim, d.Sentence)
		}
		return report.ExitKept
	case "profile":
		if len(args) != 1 {
			fmt.Fprint(stderr, "parley-contract: say which profile\n")
			return report.ExitCouldNot
		}
		text, err := profiles.Text(args[0])
		if err != nil {
			fmt.Fprintf(stderr, "parley-contract: %v\n", err)
			return report.ExitCouldNot
		}
		fmt.Fprint(stdout, text)
		return report.ExitKept
	case "version", "--version", "-version":
		fmt.Fprintf(stdout, "parley-contract %s\n", version())
		return report.ExitKept
	case "help", "--help", "-help", "-h":
		writeUsage(stdout)
		return report.ExitKept
	case "":
	default:
		fmt.Fprintf(stderr, "parley-contract: there is no command %q\n", name)
	}
	writeUsage(stderr)
	return report.ExitCouldNot
}

func writeUsage(w io.Writer) {
	fmt.Fprint(w, usage)
	flags := flag.NewFlagSet("run", flag.ContinueOnError)
	(&options{}).register(flags)
	flags.SetOutput(w)
	flags.PrintDefaults()
}

// exit keeps the status apart from an error, which stands for a run that could not be.
func exit(status int, _ error) int { return status }

// runCommand tries the rules on a server, or tells what would be tried.
func runCommand(ctx context.Context, args []string, stdout, stderr io.Writer) (status int, err error) {
	defer func() {
		if err != nil && !errors.Is(err, errUsage) {
			fmt.Fprintf(stderr, "parley-contract: %v\n", err)
		}
	}()
	o, err := parseOptions(args, stderr)
	if errors.Is(err, flag.ErrHelp) {
		return report.ExitKept, nil
	}
	if err != nil {
		return report.ExitCouldNot, err
	}
	s, err := newSuite(o)
	if err != nil {
		return report.ExitCouldNot, err
	}
	switch {
	case o.explain != "":
		if err := s.explain(stdout, o.explain); err != nil {
			return report.ExitCouldNot, err
		}
		return report.ExitKept, nil
	case o.list:
		s.list(stdout)
		return report.ExitKept, nil
	}
	r, err := s.run(ctx, stderr)
	if err != nil {
		return report.ExitCouldNot, err
	}
	if err := o.write(r, stdout); err != nil {
		return report.ExitCouldNot, err
	}
	return r.Exit(), nil
}

// builtVersion is set by the linker when a release is made, in which the compiler has no
// repository to ask (see .ci/goreleaser.yaml).
var builtVersion string

// version is what the binary was built from.
func version() string {
	if builtVersion != "" {
		return builtVersion
	}
	if info, ok := debug.ReadBuildInfo(); ok && info.Main.Version != "" && info.Main.Version != "(devel)" {
		return info.Main.Version
	}
	return "devel"
}
