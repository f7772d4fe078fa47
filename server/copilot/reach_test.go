package copilot_test

import (
	"context"
	"crypto/tls"
	"errors"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"testing"
	"testing/synctest"
	"time"

	"parley/server/copilot"
)

// A call that ran out of time says how far it had come: nobody else can tell an agent
// that cannot be reached from one that says nothing.
func TestHowFarACallCame(t *testing.T) {
	never := func(ctx context.Context, _, _ string) (net.Conn, error) {
		<-ctx.Done()
		return nil, ctx.Err()
	}
	overBoth(t, func(t *testing.T, _, piped connect) {
		for _, c := range []struct {
			want   string
			answer func(w http.ResponseWriter)
			dial   func(ctx context.Context, network, addr string) (net.Conn, error)
		}{
			{copilot.ReasonNoConnection, nil, never},
			{copilot.ReasonNoHeaders, func(http.ResponseWriter) {}, nil},
			{copilot.ReasonUnfinished, func(w http.ResponseWriter) {
				w.Header().Set("Content-Type", "text/event-stream")
				w.Header().Set("X-Ms-Conversationid", "c")
				_ = http.NewResponseController(w).Flush()
			}, nil},
		} {
			t.Run(c.want, func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					handler := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
						_, _ = io.Copy(io.Discard, r.Body) // a server notices that a client has left only when it has read its body
						c.answer(w)
						<-r.Context().Done()
					})
					a := piped(t, handler, func(o *copilot.Options) {
						o.Timeouts = copilot.Timeouts{FirstEvent: copilot.NoLimit, Idle: copilot.NoLimit}
						if tr, ok := o.Transport.(*http.Transport); ok && c.dial != nil {
							tr.DialContext = c.dial
						}
					})
					ctx, cancel := context.WithTimeout(t.Context(), time.Second)
					defer cancel()
					o := collect(t, a.Turn(ctx, turn("c", "x")))
					if o.err == nil || !errors.Is(o.err, copilot.ErrTimeout) || o.err.Reason != c.want {
						t.Errorf("%+v", o.err)
					}
				})
			})
		}
	})
}

// So does one that got no connection: which part of the way is at fault.
func TestWhyUnreachable(t *testing.T) {
	plain := httptest.NewServer(http.NotFoundHandler())
	defer plain.Close()
	for name, c := range map[string]struct {
		dial func(context.Context) (net.Conn, error)
		want string
	}{
		"no such name": {func(context.Context) (net.Conn, error) {
			return nil, &net.OpError{Op: "dial", Err: &net.DNSError{Err: "no such host", IsNotFound: true}}
		}, copilot.ReasonName},
		"refused": {func(ctx context.Context) (net.Conn, error) {
			return new(net.Dialer).DialContext(ctx, "tcp", "127.0.0.1:1")
		}, copilot.ReasonUnreachable},
		"no TLS": {func(ctx context.Context) (net.Conn, error) {
			return new(net.Dialer).DialContext(ctx, "tcp", plain.Listener.Addr().String())
		}, copilot.ReasonTLS},
		"no answer to a connect": {func(context.Context) (net.Conn, error) {
			return nil, &net.OpError{Op: "dial", Err: timedOut{}}
		}, copilot.ReasonTimeout},
	} {
		t.Run(name, func(t *testing.T) {
			tr := copilot.NewTransport()
			tr.TLSClientConfig = &tls.Config{MinVersion: tls.VersionTLS12}
			tr.DialContext = func(ctx context.Context, _, _ string) (net.Conn, error) { return c.dial(ctx) }
			o := collect(t, client(t, "https://agent.example", func(o *copilot.Options) { o.Transport = tr }).Turn(t.Context(), turn("c", "x")))
			if o.err == nil || !errors.Is(o.err, copilot.ErrUnreachable) || o.err.Reason != c.want {
				t.Errorf("%+v", o.err)
			}
		})
	}
}

// timedOut is the error of a connect that nothing answered to.
type timedOut struct{}

func (timedOut) Error() string   { return "i/o timeout" }
func (timedOut) Timeout() bool   { return true }
func (timedOut) Temporary() bool { return true }
