package main

import (
	"context"
	"fmt"
	"io"
	"strings"
)

// command is something that the program does in place of serving.
type command struct {
	name, args string // args as --help shows them; one word, "" for none
	option     string // a word that may follow; "" for none
	about      string // for --help
	run        func(ctx context.Context, env environment, arg string, stdout, stderr io.Writer) error
}

// commands is the table of them.
func commands() []command {
	return []command{
		{"check-config", "", optionProbe, "say what is configured, or what is wrong with it; with " + optionProbe + ", try each of Redis, the issuers of tokens and the agent once, and say what answers", checkConfig},
		{"healthcheck", "", "", "ask the service of this machine whether it lives; the exit code says so", healthcheck},
		{"init", "CASE", "", "print a .env to begin with, for one of " + initNames(), initEnv},
	}
}

// optionProbe has check-config try what is configured.
const optionProbe = "--probe"

// usage is a command as one writes it.
func (c command) usage() string {
	text := strings.TrimSpace(c.name + " " + c.args)
	if c.option != "" {
		text += " [" + c.option + "]"
	}
	return text
}

// commandOf finds what the words after the flags ask for. It is nil for none, which is
// to serve.
func commandOf(words []string, stderr io.Writer) (c *command, arg string, err error) {
	if len(words) == 0 {
		return nil, "", nil
	}
	for _, known := range commands() {
		if known.name != words[0] {
			continue
		}
		words = words[1:]
		if known.args != "" {
			if len(words) == 0 {
				fmt.Fprintf(stderr, "parley: %s needs a %s\n", known.name, known.args)
				return nil, "", errUsage
			}
			arg, words = words[0], words[1:]
		}
		if known.option != "" && len(words) > 0 && words[0] == known.option {
			arg, words = words[0], words[1:]
		}
		if len(words) > 0 {
			fmt.Fprintf(stderr, "parley: %s takes no %q\n", known.name, words[0])
			return nil, "", errUsage
		}
		return &known, arg, nil
	}
	fmt.Fprintf(stderr, "parley: there is no command %q\n", words[0])
	writeUsage(stderr)
	return nil, "", errUsage
}

// checkConfig says what is in effect, or everything that is wrong. With optionProbe it
// says what answers.
func checkConfig(ctx context.Context, env environment, option string, stdout, stderr io.Writer) error {
	c, err := load(env)
	for _, w := range c.warnings {
		fmt.Fprintf(stderr, "parley: warning: %s\n", w)
	}
	for _, n := range c.notes {
		fmt.Fprintf(stderr, "parley: note: %s\n", n)
	}
	if err != nil {
		return configError{err}
	}
	if option == optionProbe {
		return probe(ctx, c, seams{}, stdout)
	}
	printSettings(stdout, env)
	return nil
}
