package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"log/slog"
	"net"
	"os"
	"runtime/debug"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/joho/godotenv"

	"parley/server"
	"parley/server/auth"
	"parley/server/copilot"
	"parley/store"
	"parley/telemetry"
)

// errUsage says that the command line made no sense; what was wrong has been
// printed.
var errUsage = errors.New("usage")

// exitCode prints what ended the program and turns it into a status: 0 for a
// clean end, 2 for a bad command line or configuration, 1 for anything else.
func exitCode(err error, stderr io.Writer) int {
	var bad configError
	switch {
	case err == nil:
		return 0
	case errors.Is(err, errUsage):
		return 2
	case errors.As(err, &bad):
		fmt.Fprintf(stderr, "parley: the configuration is wrong:\n%v\n", bad.err)
		return 2
	}
	fmt.Fprintf(stderr, "parley: %v\n", err)
	return 1
}

// configError is everything that is wrong with the configuration.
type configError struct{ err error }

// Error implements error.
func (e configError) Error() string { return e.err.Error() }

// run is the program. It returns when ctx is done and everything has ended, or
// when it cannot start.
func run(ctx context.Context, args []string, getenv func(string) string, stdout, stderr io.Writer) error {
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
		fmt.Fprintf(stdout, "parley %s\n", version())
		return nil
	}
	if *envFile != "" {
		file, err := godotenv.Read(*envFile)
		if err != nil {
			// Not the error itself: it quotes the line, which may hold a secret.
			return configError{fmt.Errorf("--env-file: %q cannot be read as lines of NAME=value", *envFile)}
		}
		for name := range file {
			if strings.HasPrefix(name, "OTEL_") {
				return configError{fmt.Errorf("--env-file: %s is read from the environment only", name)}
			}
		}
		getenv = over(getenv, file)
	}
	if flags.NArg() > 1 {
		fmt.Fprintf(stderr, "parley: what is %q?\n", flags.Arg(1))
		return errUsage
	}
	switch flags.Arg(0) {
	case "":
	case "check-config":
		if _, err := load(getenv); err != nil {
			return configError{err}
		}
		printSettings(stdout, getenv)
		return nil
	default:
		fmt.Fprintf(stderr, "parley: there is no command %q\n", flags.Arg(0))
		writeUsage(stderr)
		return errUsage
	}
	c, err := load(getenv)
	if err != nil {
		return configError{err}
	}
	return serve(ctx, c, stdout, stderr)
}

// over reads a file's settings where the environment has none.
func over(getenv func(string) string, file map[string]string) func(string) string {
	return func(name string) string {
		if v := getenv(name); v != "" {
			return v
		}
		return file[name]
	}
}

// version is what the binary was built from.
func version() string {
	if info, ok := debug.ReadBuildInfo(); ok && info.Main.Version != "" && info.Main.Version != "(devel)" {
		return info.Main.Version
	}
	return "devel"
}

// serve wires the service together, runs it until ctx is done, and takes it
// apart in the opposite order.
func serve(ctx context.Context, c config, stdout, stderr io.Writer) (err error) {
	tel, out, flush, err := openTelemetry(ctx, c, stderr)
	if err != nil {
		return configError{err}
	}
	defer flush()
	log := slog.New(out.Logs)
	kept, err := openStore(c, tel, log)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, kept.Close()) }()
	agent, agentName, endAgent, err := openAgent(c, tel)
	if err != nil {
		return err
	}
	defer endAgent()

	verifier, warnings, endAuth, err := openAuth(ctx, c, log)
	if err != nil {
		return err
	}
	defer endAuth()

	health := server.NewHealth(server.HealthConfig{
		Backend: kept.backend, Ping: kept.Ping, Version: version(),
		Warnings: func() []string { return slices.Concat(warnings, kept.warnings()) },
	})
	api, err := newServer(c, kept.Store, agent, verifier, health, log, tel)
	if err != nil {
		return err
	}
	if err := errors.Join(tel.ObserveStore(health.StoreAlive), tel.ObserveCommits(api.PendingCommits)); err != nil {
		return err
	}
	listener, err := (&net.ListenConfig{}).Listen(ctx, "tcp", net.JoinHostPort(c.host, strconv.Itoa(c.port)))
	if err != nil {
		return fmt.Errorf("PORT: cannot listen: %w", err)
	}
	stopProbes := background(ctx, health.Run)
	defer stopProbes()
	if kept.watch != nil {
		stopWatch := background(ctx, kept.watch)
		defer stopWatch()
	}

	log.LogAttrs(ctx, slog.LevelInfo, "listening", slog.String("address", listener.Addr().String()),
		slog.String("store", kept.backend), slog.String("agent", agentName), slog.Bool("auth_required", c.authRequired),
		slog.String("version", version()))
	for _, w := range warnings {
		log.LogAttrs(ctx, slog.LevelWarn, w)
	}
	announce(stdout, c, listener.Addr(), kept.backend, agentName)

	web, conns := newWeb(withMetrics(tel.Handler(api), out.Metrics), c.maxConnections, log)
	served := make(chan error, 1)
	go func() { served <- web.Serve(listener) }()
	select {
	case err := <-served:
		return fmt.Errorf("serve: %w", err)
	case <-ctx.Done():
	}
	log.LogAttrs(ctx, slog.LevelInfo, "stopping")
	health.SetDraining()
	return stop(context.WithoutCancel(ctx), c.shutdownTimeout, api, web, conns)
}

// newServer makes the HTTP API out of its parts.
func newServer(c config, s store.Store, agent copilot.Agent, verifier auth.Verifier, health *server.Health, log *slog.Logger, tel *telemetry.Telemetry) (*server.Server, error) {
	cfg := server.Config{
		Store: s, Agent: agent, Health: health, Auth: verifier, AuthRequired: c.authRequired, Log: log,
		CORSOrigin: c.corsOrigin, AllowedActions: c.allowedActions, AllowedDomains: c.allowedDomains,
		UpstreamTimeout: c.copilotTimeout, StoreTimeout: c.redisTimeout + time.Second, CommitTimeout: c.redisTimeout,
		MaxTurns: c.maxTurns, MaxRequests: 4 * c.maxTurns,
	}
	if c.authRequired {
		// Without sign-in, everybody is one user.
		cfg.MaxTurnsPerOwner = c.maxTurnsPerUser
	}
	observeAPI(&cfg, tel)
	if c.staticDir != "" {
		// A root, unlike os.DirFS, does not follow links out of the directory. It
		// is needed as long as the process lives.
		root, err := os.OpenRoot(c.staticDir)
		if err != nil {
			return nil, fmt.Errorf("STATIC_DIR: %w", err)
		}
		cfg.Static = root.FS()
	}
	return server.New(cfg)
}

// announce tells a person what is active and what to try.
func announce(w io.Writer, c config, addr net.Addr, backend, agent string) {
	host, port, _ := net.SplitHostPort(addr.String())
	if ip := net.ParseIP(host); ip == nil || ip.IsUnspecified() {
		host = "localhost"
	}
	base := "http://" + net.JoinHostPort(host, port)
	signIn, header := "off: everybody is the same user", ""
	if c.authRequired {
		signIn, header = "on: callers show a bearer token", " -H \"Authorization: Bearer $TOKEN\""
	}
	fmt.Fprintf(w, `Parley %s is listening on %s
  store  %s
  agent  %s
  auth   %s
Try:
  curl -s -X POST%s %s/api/chat/start
`, version(), base, backend, agent, signIn, header, base)
}
