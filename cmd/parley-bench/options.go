//go:build linux

package main

import (
	"errors"
	"flag"
	"fmt"
	"io"
	"time"
)

// options are what the command line says.
type options struct {
	programs string // directory of the programs that are measured
	json     string // file for the results; empty for none
	redis    string // path of a redis-server; empty for a container
	plan     plan
}

// plan is how much is measured.
type plan struct {
	// Rounds is how often every subject is under every load; less than judgedRounds is too
	// few to judge by.
	Rounds int `json:"rounds"`
	// Window is how long a subject is under load at a time, and Judged how long on the
	// routes that have targets.
	Window time.Duration `json:"windowNs"`
	Judged time.Duration `json:"judgedWindowNs"`
	// Warm is how long the load lasts before that without being counted.
	Warm time.Duration `json:"warmNs"`
	// Reads are how many messages the conversations have that are read.
	Reads []int `json:"reads"`
	// Streams is how many idle streams are held, over Turns running turns. One turn has
	// its own stream and may have eight readers more.
	Streams int `json:"streams"`
	Turns   int `json:"turns"`
	// JudgedOnly leaves out the routes without targets, and the streams.
	JudgedOnly bool `json:"judgedOnly"`
}

const judgedRounds = 5

// full takes less than ten minutes, and quick about one.
func full() plan {
	return plan{Rounds: judgedRounds, Window: time.Second, Judged: 3 * time.Second, Warm: 150 * time.Millisecond, Reads: []int{10, 200, 2000}, Streams: 10_000, Turns: 1250}
}

func quick() plan {
	return plan{Rounds: 2, Window: 150 * time.Millisecond, Judged: 400 * time.Millisecond, Warm: 30 * time.Millisecond, Reads: []int{10, 200, 2000}, Streams: 1000, Turns: 125}
}

func parseOptions(args []string, stderr io.Writer) (options, error) {
	flags := flag.NewFlagSet("parley-bench", flag.ContinueOnError)
	flags.SetOutput(stderr)
	o := options{plan: full()}
	flags.StringVar(&o.programs, "programs", "bin", "directory of the programs that are measured, as make build leaves them")
	flags.StringVar(&o.json, "json", "", "file that gets the results as JSON")
	flags.StringVar(&o.redis, "redis-server", "", "path of a redis-server to start; empty for one in a container")
	hasty := flags.Bool("quick", false, "measure for one minute in place of ten: too short to judge by")
	judged := flags.Bool("judged", false, "measure only the routes that have targets, which takes three minutes")
	if err := flags.Parse(args); err != nil {
		return options{}, err
	}
	if flags.NArg() > 0 {
		return options{}, fmt.Errorf("unexpected argument %q", flags.Arg(0))
	}
	if *hasty {
		o.plan = quick()
	}
	o.plan.JudgedOnly = *judged
	if o.programs == "" {
		return options{}, errors.New("-programs is empty")
	}
	return o, nil
}
