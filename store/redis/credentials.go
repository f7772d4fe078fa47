package redis

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"os"
	"strings"
	"syscall"
	"time"

	"parley/store"
)

// Credentials are what a connection signs in with.
type Credentials struct {
	User     string // "" for the user of the URL
	Password string
	// Expires is from when on Redis does not take them, and may close connections that
	// signed in with them; zero for never. Whoever gives credentials that expire
	// answers from memory: they are asked for whenever a connection is looked at that
	// will end soon.
	Expires time.Time
}

// maxPassword bounds a file with a password, in bytes.
const maxPassword = 64 << 10

// PasswordFile returns what reads a password from a file, for Options.Credentials. It
// reads for every connection, so that a password that was replaced is used from the
// next one on. One line break at the end is no part of it. The errors have the kind
// store.ErrCredentials and say nothing of what the file holds.
func PasswordFile(path string) func(context.Context) (Credentials, error) {
	return func(context.Context) (Credentials, error) {
		password, err := readPassword(path)
		return Credentials{Password: password}, err
	}
}

func readPassword(path string) (string, error) {
	wrong := func(reason string, cause error) (string, error) {
		return "", &store.Error{Op: "password", Kind: store.ErrCredentials, Reason: reason, Cause: cause}
	}
	switch info, err := os.Stat(path); {
	case err != nil:
		return wrong("the password file cannot be read", err)
	case !info.Mode().IsRegular(): // to open a pipe would wait for its writer
		return wrong("the password file is not a regular file", nil)
	}
	f, err := os.Open(path) //nolint:gosec // the operator names it
	if err != nil {
		return wrong("the password file cannot be read", err)
	}
	defer func() { _ = f.Close() }()
	b, err := io.ReadAll(io.LimitReader(f, maxPassword+1))
	password := strings.TrimSuffix(strings.TrimSuffix(string(b), "\n"), "\r")
	switch {
	case err != nil:
		return wrong("the password file cannot be read", err)
	case len(b) > maxPassword:
		return wrong(fmt.Sprintf("the password file is larger than %d bytes", maxPassword), nil)
	case password == "":
		return wrong("the password file is empty", nil)
	}
	return password, nil
}

// noCredentials is the error of a connection for which there are no credentials. It
// says nothing of Redis, which was not asked.
type noCredentials struct{ cause error }

func (e *noCredentials) Error() string { return "redis: no credentials: " + e.cause.Error() }
func (e *noCredentials) Unwrap() error { return e.cause }

// outage is the error of a call that failed for it.
func (e *noCredentials) outage(op string) *store.Error {
	out := &store.Error{Op: op, Kind: store.ErrCredentials, Cause: e.cause}
	if given, ok := errors.AsType[*store.Error](e.cause); ok {
		out.Reason, out.Cause = given.Reason, given.Cause
	}
	return out
}

// lacksCredentials reports whether an error is a noCredentials.
func lacksCredentials(err error) bool { return errors.As(err, new(*noCredentials)) }

// signIn asks for the credentials of connections.
type signIn struct {
	ask     func(context.Context) (Credentials, error) // nil for those of the URL
	user    string                                     // of the URL
	timeout time.Duration                              // of one call
}

// credentials asks.
func (s signIn) credentials(ctx context.Context) (Credentials, error) {
	c, err := s.ask(ctx)
	if err != nil {
		return Credentials{}, &noCredentials{err}
	}
	if !c.Expires.IsZero() && !time.Now().Before(c.Expires) {
		return Credentials{}, &noCredentials{errors.New("they have expired")}
	}
	if c.User == "" {
		c.User = s.user
	}
	return c, nil
}

// provide is for goredis.Options.CredentialsProviderContext.
func (s signIn) provide(ctx context.Context) (user, password string, err error) {
	c, err := s.credentials(ctx)
	if err != nil {
		// Of an error while a connection is set up, the library takes the outermost
		// layer off, and its own.
		return "", "", fmt.Errorf("redis: %w", err)
	}
	return c.User, c.Password, nil
}

// dialer returns a dialer that dials only where there are credentials to show, and
// has the pool give up a connection in time before they expire. The state notes that
// there were none.
//
// The library could sign in again on open connections (its streaming credentials).
// It then sets every connection aside at the same moment, and closes all of them when
// it is told of a failed refresh, although what they signed in with is still good.
func (s signIn) dialer(st *state, dial dialFunc) dialFunc {
	if s.ask == nil {
		return dial
	}
	return func(ctx context.Context, network, addr string) (net.Conn, error) {
		// What the connection signs in with, in a moment, is this or what came later.
		c, err := s.credentials(ctx)
		if err != nil {
			st.unsigned.Store(true)
			return nil, err
		}
		conn, err := dial(ctx, network, addr)
		if err != nil || c.Expires.IsZero() {
			return conn, err
		}
		return s.bound(conn, c.Expires), nil
	}
}

// bound is a connection that signs in with what expires then. Commands that are on
// their way at the end would be lost, so the last moments are not used if there is
// something better.
func (s signIn) bound(conn net.Conn, expires time.Time) net.Conn {
	left := time.Until(expires)
	early := min(s.timeout, left/4) + rand.N(max(left/4, 1)) //nolint:gosec // spreads the dials, nothing more
	return &expiringConn{Conn: conn, signIn: s, expires: expires, due: expires.Add(-early)}
}

// expiringConn is a connection that the server may close at a known time.
type expiringConn struct {
	net.Conn
	signIn  signIn
	expires time.Time
	due     time.Time // when to replace it, if that helps
}

// errExpired is what the pool is told of a connection that should not be used.
var errExpired = errors.New("redis: credentials of the connection have expired")

// over reports whether the connection should not be used: its credentials have
// expired, or will soon and there are others that last longer. A connection whose
// credentials are valid is never given up because there are no others.
func (c *expiringConn) over() bool {
	switch now := time.Now(); {
	case now.Before(c.due):
		return false
	case !now.Before(c.expires):
		return true
	}
	next, err := c.signIn.credentials(context.Background())
	return err == nil && (next.Expires.IsZero() || next.Expires.After(c.expires))
}

// SyscallConn is what the pool looks at before it hands out an idle connection. Over
// TLS there is nothing to be seen there.
func (c *expiringConn) SyscallConn() (syscall.RawConn, error) {
	if c.over() {
		return nil, errExpired
	}
	if plain, ok := c.Conn.(syscall.Conn); ok {
		return plain.SyscallConn()
	}
	return unseen{}, nil
}

// follow has a state hear what comes on the connection.
func (c *expiringConn) follow(s *state) {
	if f, ok := c.Conn.(interface{ follow(*state) }); ok {
		f.follow(s)
	}
}

// unseen is a syscall.RawConn that shows nothing.
type unseen struct{}

// Control implements syscall.RawConn.
func (unseen) Control(func(uintptr)) error { return nil }

// Read implements syscall.RawConn.
func (unseen) Read(func(uintptr) bool) error { return nil }

// Write implements syscall.RawConn.
func (unseen) Write(func(uintptr) bool) error { return nil }
