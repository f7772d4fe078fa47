package redistest

import (
	"context"
	"fmt"
	"testing"

	"github.com/moby/moby/client"
)

// Stop halts the server where it is, as SIGSTOP does: connections stay open and
// nothing is answered until Continue.
func (s *Server) Stop(tb testing.TB) { tb.Helper(); s.signal(tb, "SIGSTOP") }

// Continue lets a halted server go on. It first works off what came meanwhile.
func (s *Server) Continue(tb testing.TB) { tb.Helper(); s.signal(tb, "SIGCONT") }

// Kill ends the server as kill -9 does.
func (s *Server) Kill(tb testing.TB) { tb.Helper(); s.signal(tb, "SIGKILL") }

// Restart starts a server that was killed and returns when it accepts
// connections. It may still be loading what it kept on disk. Its Addr is
// another one.
func (s *Server) Restart(tb testing.TB) {
	tb.Helper()
	ctx, cancel := context.WithTimeout(tb.Context(), startTimeout)
	defer cancel()
	// The engine may still think that it runs.
	none := 0 * startTimeout
	if err := s.container.Stop(ctx, &none); err != nil {
		tb.Fatalf("end the Redis container: %v", err)
	}
	if err := s.container.Start(ctx); err != nil {
		tb.Fatalf("start the Redis container again: %v", err)
	}
	if err := s.locate(ctx); err != nil {
		tb.Fatal(err)
	}
}

// ContainerAddr is where other containers find the server.
func (s *Server) ContainerAddr(tb testing.TB) (host, number string) {
	tb.Helper()
	ip, err := s.container.ContainerIP(tb.Context())
	if err != nil {
		tb.Fatalf("find the address of the Redis container: %v", err)
	}
	return ip, portNumber
}

func (s *Server) signal(tb testing.TB, name string) {
	tb.Helper()
	engine(tb, func(ctx context.Context, docker client.APIClient) error {
		if _, err := docker.ContainerKill(ctx, s.container.GetContainerID(), client.ContainerKillOptions{Signal: name}); err != nil {
			return fmt.Errorf("send %s to the Redis container: %w", name, err)
		}
		return nil
	})
}
