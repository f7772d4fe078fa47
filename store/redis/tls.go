package redis

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"reflect"
	"sync"
	"sync/atomic"
	"time"

	goredis "github.com/redis/go-redis/v9"
)

// ErrCertificate says that Options.CertFile and Options.KeyFile cannot be used:
// one is missing or cannot be read, they do not belong together, or the URL does
// not ask for TLS.
var ErrCertificate = errors.New("redis: client certificate cannot be used")

// keepAlive finds a dead peer of an idle connection within 45 s, before a load
// balancer or NAT on the way forgets the connection.
var keepAlive = net.KeepAliveConfig{Enable: true, Idle: 30 * time.Second, Interval: 5 * time.Second, Count: 3}

// newConnectors returns what connects to a server whose certificate must be for a name,
// if the URL asks for TLS.
func newConnectors(o Options, opt *goredis.Options) (func(serverName string) func(context.Context, string) (net.Conn, error), error) {
	if opt.TLSConfig != nil {
		if opt.TLSConfig.InsecureSkipVerify {
			return nil, ErrUnverified
		}
		opt.TLSConfig.RootCAs = o.RootCAs
	}
	cert, err := newClientCertificate(o, opt.TLSConfig != nil)
	if err != nil {
		return nil, err
	}
	return func(serverName string) func(context.Context, string) (net.Conn, error) {
		config := opt.TLSConfig
		if config != nil {
			config = config.Clone()
			config.ServerName = serverName
		}
		return connector(config, cert)
	}, nil
}

// connector returns what opens a connection to one address, over TLS unless the
// configuration is nil. The certificate is for servers that want one; nil if
// there is none.
func connector(config *tls.Config, cert *clientCertificate) func(context.Context, string) (net.Conn, error) {
	plain := &net.Dialer{KeepAliveConfig: keepAlive}
	return func(ctx context.Context, addr string) (net.Conn, error) {
		conn, err := plain.DialContext(ctx, "tcp", addr)
		switch {
		case err != nil:
			return nil, err
		case config == nil:
			return limitReplies(conn), nil
		}
		var wanted atomic.Bool // the server asked for a certificate and got none
		own := config.Clone()
		own.GetClientCertificate = func(*tls.CertificateRequestInfo) (*tls.Certificate, error) {
			if cert == nil {
				wanted.Store(true)
				return &tls.Certificate{}, nil
			}
			return cert.load()
		}
		secured, err := shakeHands(ctx, conn, own)
		if err != nil {
			_ = conn.Close()
			if wanted.Load() && isRefusal(err) {
				return nil, &certificateWanted{err}
			}
			return nil, err
		}
		if wanted.Load() {
			return limitReplies(&uncertified{Conn: secured}), nil
		}
		return limitReplies(secured), nil
	}
}

// opening is a connection on which a handshake takes place. Until that is over it counts
// what goes over it, as for a command: who is silent is to blame for a call that ran out
// of time.
type opening struct {
	net.Conn
	exchange
	over bool
}

func (c *opening) Read(b []byte) (int, error) {
	n, err := c.Conn.Read(b)
	if c.over {
		return n, err
	}
	if more, ok := c.late(c.Conn, b, err); n == 0 && ok {
		n, err = more, nil
	}
	return n, c.read(n, err)
}

func (c *opening) Write(b []byte) (int, error) {
	n, err := c.Conn.Write(b)
	if c.over {
		return n, err
	}
	return n, c.wrote(n, err)
}

// shakeHands begins TLS. The deadline of ctx is one of the connection, because the error
// of a context does not say what the connection waited for.
func shakeHands(ctx context.Context, conn net.Conn, config *tls.Config) (*tls.Conn, error) {
	deadline, _ := ctx.Deadline()
	if err := conn.SetDeadline(deadline); err != nil {
		return nil, err
	}
	stop := context.AfterFunc(ctx, func() {
		if !errors.Is(ctx.Err(), context.DeadlineExceeded) {
			_ = conn.Close()
		}
	})
	defer stop()
	o := &opening{Conn: conn}
	secured := tls.Client(o, config)
	if err := secured.HandshakeContext(context.WithoutCancel(ctx)); err != nil {
		return nil, err
	}
	o.over = true
	return secured, conn.SetDeadline(time.Time{})
}

// clientCertificate is a certificate in files.
type clientCertificate struct {
	certFile, keyFile string

	mu   sync.Mutex
	last *tls.Certificate // that could be read
}

// load reads the files anew, so that a certificate that was replaced is used from
// the next connection on. While they are being replaced they may not fit each
// other; then the last pair that did is used.
func (c *clientCertificate) load() (*tls.Certificate, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	pair, err := tls.LoadX509KeyPair(c.certFile, c.keyFile)
	switch {
	case err == nil:
		c.last = &pair
	case c.last == nil:
		return nil, fmt.Errorf("%w: %w", ErrCertificate, err)
	}
	return c.last, nil
}

// newClientCertificate returns the certificate that the options name, nil if they
// name none.
func newClientCertificate(o Options, secured bool) (*clientCertificate, error) {
	switch {
	case o.CertFile == "" && o.KeyFile == "":
		return nil, nil //nolint:nilnil // none is asked for
	case o.CertFile == "" || o.KeyFile == "":
		return nil, fmt.Errorf("%w: certificate and key are needed both", ErrCertificate)
	case !secured:
		return nil, fmt.Errorf("%w: the URL is not rediss://", ErrCertificate)
	}
	c := &clientCertificate{certFile: o.CertFile, keyFile: o.KeyFile}
	if _, err := c.load(); err != nil {
		return nil, err
	}
	return c, nil
}

// certificateWanted says that a server asked for a client certificate, got none
// and ended the connection. It does not unwrap: whatever the cause was, it is
// neither a lost connection nor an answer.
type certificateWanted struct{ cause error }

func (e *certificateWanted) Error() string { return "redis: no client certificate: " + e.cause.Error() }

// uncertified is a connection to a server that asked for a client certificate and
// got none. In TLS 1.3 the handshake is over for the client before the server has
// judged it, so the refusal comes with the first reply, or as a reset.
type uncertified struct {
	net.Conn
	answered atomic.Bool
}

func (c *uncertified) Read(b []byte) (int, error) {
	n, err := c.Conn.Read(b)
	if n > 0 {
		c.answered.Store(true)
	}
	return n, c.judge(err)
}

func (c *uncertified) Write(b []byte) (int, error) {
	n, err := c.Conn.Write(b)
	return n, c.judge(err)
}

func (c *uncertified) judge(err error) error {
	if err == nil || c.answered.Load() || !isRefusal(err) {
		return err
	}
	return &certificateWanted{err}
}

// isRefusal reports whether the other side ended a connection, by an alert or
// without a word.
func isRefusal(err error) bool {
	var netErr net.Error
	return !errors.Is(err, net.ErrClosed) && !errors.Is(err, context.Canceled) && !errors.Is(err, context.DeadlineExceeded) &&
		(!errors.As(err, &netErr) || !netErr.Timeout())
}

// alertCode is the code of the TLS alert (RFC 8446, section 6) by which the other
// side ended a connection, 0 if it did not. The type that crypto/tls has for an
// alert it received is not exported.
func alertCode(err error) uint8 {
	for ; err != nil; err = errors.Unwrap(err) {
		if t := reflect.TypeOf(err); t.PkgPath() == "crypto/tls" && t.Kind() == reflect.Uint8 {
			return uint8(reflect.ValueOf(err).Uint()) //nolint:gosec // it is one
		}
	}
	return 0
}

// The alerts that say what is wrong with a client's certificate.
const (
	alertBadCertificate = 42 // the first of them
	alertAccessDenied   = 49 // the last
)
