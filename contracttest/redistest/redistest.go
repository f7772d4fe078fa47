// Package redistest gives a test a real Redis of its own, in a container that
// ends with the test; or several that form a cluster, or that sentinels watch. It
// is the only importer of testcontainers.
//
// Where no Docker engine answers, or the image cannot be had, the test is
// skipped with a sentence that says why; with REQUIRE_DOCKER=1 it fails, so
// that CI cannot pass by testing nothing. `make test` sets up what is needed.
package redistest

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"os"
	"slices"
	"strconv"
	"sync"
	"testing"
	"time"

	"github.com/testcontainers/testcontainers-go"
	"github.com/testcontainers/testcontainers-go/log"
	"github.com/testcontainers/testcontainers-go/wait"
)

const (
	portNumber = "6379"
	port       = portNumber + "/tcp"

	// Label marks every container and network of this package, so that `make
	// clean` finds what a killed test run left behind.
	Label = "parley.redistest"

	readyLine = "Ready to accept connections" // of the log

	probeTimeout = 90 * time.Second // holds a first pull of the image
	startTimeout = 60 * time.Second
)

// Server is a running Redis. Share one among the subtests of the test that
// started it. It is safe for concurrent use.
type Server struct {
	container testcontainers.Container
	publisher testcontainers.Container // publishes the port; container, unless they share a network
	port      string                   // inside, like 6379/tcp
	password  string

	mu   sync.Mutex
	addr string
}

// Addr is where the server listens, as host:port.
func (s *Server) Addr() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.addr
}

// URL is the server's address as a Redis URL. It holds the password if the
// server was started with one.
func (s *Server) URL() string {
	u := url.URL{Scheme: "redis", Host: s.Addr()}
	if s.password != "" {
		u.User = url.UserPassword("", s.password)
	}
	return u.String()
}

// Start starts a Redis for the calling test and ends it when the test ends.
// It keeps nothing on disk and evicts nothing. The flags are words for the
// redis-server command line and win over the defaults:
//
//	redistest.Start(t, "--requirepass", "secret", "--maxmemory", "50mb")
//
// Under `go test -short`, and where no container can be had, the test is
// skipped; see the package comment.
func Start(tb testing.TB, flags ...string) *Server {
	tb.Helper()
	needRedis(tb)
	ctx, cancel := context.WithTimeout(tb.Context(), startTimeout)
	defer cancel()
	container, err := run(
		ctx, tb, readyLine, commandLine(flags),
		testcontainers.WithExposedPorts(port),
		// From outside only: the image of setup.sh has no shell to look from inside.
		testcontainers.WithAdditionalWaitStrategyAndDeadline(startTimeout, wait.ForListeningPort(port).SkipInternalCheck()),
	)
	// Before the error is looked at: a container that failed to get ready is
	// there all the same, and has to go.
	tb.Cleanup(func() { end(tb, container) })
	if err != nil {
		tb.Fatal(err)
	}
	server := &Server{container: container, publisher: container, port: port, password: password(flags)}
	if err := server.locate(ctx); err != nil {
		tb.Fatal(err)
	}
	return server
}

// locate finds the published port, which changes when the publisher restarts.
func (s *Server) locate(ctx context.Context) error {
	addr, err := s.publisher.PortEndpoint(ctx, s.port, "")
	if err != nil {
		return fmt.Errorf("find the published port of the Redis container: %w", err)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.addr = addr
	return nil
}

// run starts a container and waits until its log says that it is ready. It may
// be called from any goroutine. The caller ends the container, also if there is
// an error.
func run(ctx context.Context, tb testing.TB, ready string, words []string, more ...testcontainers.ContainerCustomizer) (testcontainers.Container, error) {
	image := imageName()
	all := append([]testcontainers.ContainerCustomizer{
		testcontainers.WithLogger(log.TestLogger(tb)),
		testcontainers.WithLabels(map[string]string{Label: tb.Name()}),
		// Flags alone, no command: the public image puts its redis-server in
		// front of them, the image of setup.sh has it as entrypoint.
		testcontainers.WithCmd(words...),
		testcontainers.WithWaitStrategyAndDeadline(startTimeout, wait.ForLog(ready)),
	}, more...)
	container, err := testcontainers.Run(ctx, image, all...)
	if err != nil {
		return container, fmt.Errorf("start a Redis container from %s: %w", image, err)
	}
	return container, nil
}

// end ends containers, all at once. Those that are halted do not hear SIGTERM,
// and none has anything to keep, so they are killed.
func end(tb testing.TB, containers ...testcontainers.Container) {
	tb.Helper()
	var ending sync.WaitGroup
	for _, c := range containers {
		ending.Go(func() {
			if err := testcontainers.TerminateContainer(c, testcontainers.StopTimeout(0)); err != nil {
				tb.Errorf("end the Redis container: %v", err)
			}
		})
	}
	ending.Wait()
}

// needRedis skips or fails the test where no container can be had.
func needRedis(tb testing.TB) {
	tb.Helper()
	need(tb, func() error {
		if testing.Testing() && testing.Short() {
			return errors.New("this is a short run (-short), and Redis needs a container")
		}
		return probe(tb, imageName())
	})
}

// need runs the probe and, if it fails, skips the test, or fails it where
// Docker is required.
func need(tb testing.TB, probe func() error) {
	tb.Helper()
	err := probe()
	switch {
	case err == nil:
	case required():
		tb.Fatalf("no Redis container, and %s is set: %v", RequireVar, err)
	default:
		tb.Skipf("no Redis container: %v", err)
	}
}

// required reports whether a missing container is a failure. Any value that
// does not plainly say no counts as yes: a misspelt "true" must not turn the
// check off.
func required() bool {
	value := os.Getenv(RequireVar)
	if value == "" {
		return false
	}
	yes, err := strconv.ParseBool(value)
	return yes || err != nil
}

func imageName() string {
	if image := os.Getenv(ImageVar); image != "" {
		return image
	}
	return Image
}

// probe reports why a container from the image cannot be started here: no
// engine, or no image. Whatever goes wrong after that is a failure of the test.
func probe(tb testing.TB, image string) (err error) {
	// testcontainers panics when it finds no address for the engine at all.
	defer func() {
		if r := recover(); r != nil {
			err = fmt.Errorf("no Docker engine answers: %v", r)
		}
	}()
	ctx, cancel := context.WithTimeout(tb.Context(), probeTimeout)
	defer cancel()
	provider, err := testcontainers.NewDockerProvider(testcontainers.WithLogger(log.TestLogger(tb)))
	if err != nil {
		return fmt.Errorf("no Docker engine answers: %w", err)
	}
	defer func() { _ = provider.Close() }()
	if err := provider.Health(ctx); err != nil {
		return fmt.Errorf("no Docker engine answers: %w", err)
	}
	if _, err := provider.Client().ImageInspect(ctx, image); err == nil {
		return nil
	}
	if err := provider.PullImage(ctx, image); err != nil {
		return fmt.Errorf("the image %s is not here and cannot be pulled (`make test` builds one): %w", image, err)
	}
	return nil
}

// commandLine is what redis-server is started with.
func commandLine(flags []string) []string {
	return append([]string{
		"--save", "",
		"--appendonly", "no",
		"--maxmemory-policy", "noeviction",
		// The distribution's build refuses all but loopback clients without
		// this; the published port is not loopback inside the container.
		"--protected-mode", "no",
	}, flags...)
}

// password is the one the flags set, or empty.
func password(flags []string) string {
	i := slices.Index(flags, "--requirepass")
	if i < 0 || i+1 >= len(flags) {
		return ""
	}
	return flags[i+1]
}
