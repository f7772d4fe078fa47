package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"net"
	"net/http"
	"time"

	"parley/server/copilot/emulator"
)

// Settings from the environment, for containers; the flags win over them.
const (
	envListen = "EMULATOR_LISTEN"
	envToken  = "EMULATOR_TOKEN" //nolint:gosec // the name of a variable
)

// grace is how long running answers may take at shutdown.
const grace = time.Second

// run serves until ctx is done.
func run(ctx context.Context, args []string, getenv func(string) string, stdout, stderr io.Writer) error {
	listen := getenv(envListen)
	if listen == "" {
		listen = "127.0.0.1:3979"
	}
	flags := flag.NewFlagSet("copilot-emulator", flag.ContinueOnError)
	flags.SetOutput(stderr)
	flags.StringVar(&listen, "listen", listen, "address to listen on (or "+envListen+")")
	// The default is not shown: help must not print a token.
	token := flags.String("token", "", "bearer token to ask for; empty for none (or "+envToken+")")
	if err := flags.Parse(args); err != nil {
		if errors.Is(err, flag.ErrHelp) {
			return nil
		}
		return err
	}
	if flags.NArg() > 0 {
		return fmt.Errorf("unexpected argument %q", flags.Arg(0))
	}
	if *token == "" {
		*token = getenv(envToken)
	}

	l, err := (&net.ListenConfig{}).Listen(ctx, "tcp", listen)
	if err != nil {
		return fmt.Errorf("listen: %w", err)
	}
	// Some scripted answers never end; canceling base ends them.
	base, end := context.WithCancel(context.WithoutCancel(ctx))
	defer end()
	srv := &http.Server{
		Handler:           emulator.New(emulator.Options{Token: *token}),
		ReadHeaderTimeout: 10 * time.Second,
		BaseContext:       func(net.Listener) context.Context { return base },
	}
	served := make(chan error, 1)
	go func() { served <- srv.Serve(l) }()
	_, _ = fmt.Fprintf(stdout, "COPILOT_DIRECT_CONNECT_URL=http://%s/conversations?api-version=2022-03-01-preview\n", l.Addr())

	select {
	case err := <-served:
		return fmt.Errorf("serve: %w", err)
	case <-ctx.Done():
	}
	quick, cancel := context.WithTimeout(base, grace)
	defer cancel()
	defer time.AfterFunc(grace/2, end).Stop()
	if err := srv.Shutdown(quick); err != nil {
		_ = srv.Close()
	}
	if err := <-served; !errors.Is(err, http.ErrServerClosed) {
		return fmt.Errorf("serve: %w", err)
	}
	return nil
}
