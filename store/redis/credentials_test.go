package redis

import (
	"context"
	"errors"
	"net"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"parley/contracttest/faultproxy"
	"parley/contracttest/redistest"
	"parley/store"
)

// The password is what the file holds but for one line break at its end, and an error
// holds none of it.
func TestPasswordFile(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	const none = "the password file cannot be read"
	for name, c := range map[string]struct {
		text           string
		path           string // instead of a file with text
		want, complain string
	}{
		"bare":           {text: "s3cr3t", want: "s3cr3t"},
		"a line":         {text: "s3cr3t\n", want: "s3cr3t"},
		"a line of DOS":  {text: "s3cr3t\r\n", want: "s3cr3t"},
		"spaces":         {text: " s3 cr3t \n", want: " s3 cr3t "},
		"two lines":      {text: "s3cr3t\n\n", want: "s3cr3t\n"},
		"as long as may": {text: strings.Repeat("s", maxPassword), want: strings.Repeat("s", maxPassword)},
		"longer":         {text: strings.Repeat("s", maxPassword+1), complain: "the password file is larger than 65536 bytes"},
		"empty":          {complain: "the password file is empty"},
		"an empty line":  {text: "\n", complain: "the password file is empty"},
		"missing":        {path: filepath.Join(dir, "none"), complain: none},
		"a directory":    {path: dir, complain: "the password file is not a regular file"},
	} {
		path := c.path
		if path == "" {
			path = filepath.Join(t.TempDir(), "password")
			if err := os.WriteFile(path, []byte(c.text), 0o600); err != nil {
				t.Fatal(err)
			}
		}
		got, err := PasswordFile(path)(t.Context())
		e, _ := errors.AsType[*store.Error](err)
		switch {
		case c.complain == "" && (err != nil || got.Password != c.want):
			t.Errorf("%s: %d bytes, %v", name, len(got.Password), err)
		case c.complain != "" && (!errors.Is(err, store.ErrCredentials) || e.Reason != c.complain):
			t.Errorf("%s: %v, want %s", name, err, c.complain)
		}
	}
}

// keyring is a source of credentials that can be away.
type keyring struct {
	mu    sync.Mutex
	given Credentials
	err   error
	asked atomic.Int64
}

func (s *keyring) credentials(context.Context) (Credentials, error) {
	s.asked.Add(1)
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.given, s.err
}

func (s *keyring) gives(c Credentials, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.given, s.err = c, err
}

// Without credentials nothing is dialed; every call is told at once; the breaker does
// not open; and the first call after there are some succeeds.
func TestNoCredentials(t *testing.T) {
	t.Parallel()
	p := faultproxy.Start(t, redistest.Start(t, "--requirepass", "s3cr3t").Addr())
	from := &keyring{}
	s, err := New(Options{URL: "redis://" + p.Addr(), Timeout: timeout, Credentials: from.credentials})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = s.Close() })
	for name, c := range map[string]struct {
		given  Credentials
		err    error
		reason string
	}{
		"away":                   {err: &store.Error{Kind: store.ErrCredentials, Reason: "the source is away"}, reason: "the source is away"},
		"away, in words unknown": {err: errors.New("s3cr3t")},
		"expired":                {given: Credentials{Password: "s3cr3t", Expires: time.Now()}},
	} {
		before, _ := p.Conns()
		from.gives(c.given, c.err)
		for range 5 * s.rdb().Options().PoolSize { // until the library's own breaker is open
			err := s.Ping(t.Context())
			e, _ := errors.AsType[*store.Error](err)
			if !errors.Is(err, store.ErrCredentials) || e.Reason != c.reason || !e.Transient() || strings.Contains(err.Error(), "s3cr3t") {
				t.Fatalf("%s: %v", name, err)
			}
		}
		if dialed, _ := p.Conns(); dialed != before || s.BreakerOpen() {
			t.Errorf("%s: dialed %d times, breaker open: %t", name, dialed-before, s.BreakerOpen())
		}
		from.gives(Credentials{Password: "s3cr3t"}, nil)
		if err := s.Ping(t.Context()); err != nil {
			t.Errorf("%s, and there again: %v", name, err)
		}
		p.KillConns(faultproxy.FIN)
	}
}

// An open connection needs no credentials any more, unless they expire.
func TestCredentialsGoneWithConnectionsOpen(t *testing.T) {
	t.Parallel()
	from := &keyring{given: Credentials{Password: "s3cr3t"}}
	s, err := New(Options{URL: "redis://" + redistest.Start(t, "--requirepass", "s3cr3t").Addr(), Timeout: timeout, Credentials: from.credentials})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = s.Close() })
	if err := s.Ping(t.Context()); err != nil {
		t.Fatal(err)
	}
	from.gives(Credentials{}, errors.New("away"))
	for range 10 {
		if err := s.Ping(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
}

// While Redis is away and its breaker open, the credentials may go as well. The class
// is then that of what has to be mended first, and both can come back in any order.
func TestCredentialsGoneWhileTheBreakerIsOpen(t *testing.T) {
	t.Parallel()
	p := faultproxy.Start(t, redistest.Start(t, "--requirepass", "s3cr3t").Addr())
	from := &keyring{given: Credentials{Password: "s3cr3t"}}
	s, err := New(Options{URL: "redis://" + p.Addr(), Timeout: timeout, Credentials: from.credentials})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = s.Close() })
	p.Set(faultproxy.Refuse())
	trip(t, s)
	from.gives(Credentials{}, errors.New("away"))
	eventually(t, "calls are told of the credentials", func() bool { return errors.Is(s.Ping(t.Context()), store.ErrCredentials) })
	from.gives(Credentials{Password: "s3cr3t"}, nil)
	eventually(t, "calls are told of Redis", func() bool { return errors.Is(s.Ping(t.Context()), store.ErrUnreachable) })
	p.Heal()
	untilUp(t, s)
}

// A refused password is something else than none.
func TestCredentialsRefused(t *testing.T) {
	t.Parallel()
	from := &keyring{given: Credentials{Password: "another"}}
	s, err := New(Options{URL: "redis://" + redistest.Start(t, "--requirepass", "s3cr3t").Addr(), Timeout: timeout, Credentials: from.credentials})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = s.Close() })
	if err := s.Ping(t.Context()); !errors.Is(err, store.ErrAuth) {
		t.Error(err)
	}
	from.gives(Credentials{User: "nobody", Password: "s3cr3t"}, nil)
	if err := s.Ping(t.Context()); !errors.Is(err, store.ErrAuth) {
		t.Error(err)
	}
	from.gives(Credentials{User: "default", Password: "s3cr3t"}, nil)
	if err := s.Ping(t.Context()); err != nil {
		t.Error(err)
	}
}

// A password in a file is replaced under load, as it is done: the server takes both,
// the file gets the new one, connections end, the server drops the old one.
func TestPasswordIsReplacedUnderLoad(t *testing.T) {
	t.Parallel()
	server := redistest.Start(t)
	p := faultproxy.Start(t, server.Addr())
	acl := func(rules ...any) {
		t.Helper()
		if err := admin(t, server).Do(t.Context(), append([]any{"ACL", "SETUSER", "parley", "on", "~*", "+@all"}, rules...)...).Err(); err != nil {
			t.Fatal(err)
		}
	}
	path := filepath.Join(t.TempDir(), "password")
	write := func(password string) {
		t.Helper()
		if err := os.WriteFile(path+".new", []byte(password+"\n"), 0o600); err != nil {
			t.Fatal(err)
		}
		if err := os.Rename(path+".new", path); err != nil {
			t.Fatal(err)
		}
	}
	acl(">first")
	write("first")
	s, err := New(Options{URL: "redis://parley@" + p.Addr(), Timeout: 5 * time.Second, Credentials: PasswordFile(path)})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = s.Close() })
	var calls atomic.Int64
	stop, load := make(chan struct{}), sync.WaitGroup{}
	for range 8 {
		load.Go(func() {
			for {
				select {
				case <-stop:
					return
				default:
				}
				if err := s.Ping(t.Context()); err != nil {
					t.Errorf("a call failed: %v", err)
					return
				}
				calls.Add(1)
			}
		})
	}
	last := "first"
	for _, next := range []string{"second", "third"} {
		acl(">" + next)
		write(next)
		acl("<" + last)
		seen, _ := p.Conns()
		p.KillConns(faultproxy.FIN)
		eventually(t, "connections are opened anew", func() bool { now, _ := p.Conns(); return now > seen })
		at := calls.Load()
		eventually(t, "calls go on", func() bool { return calls.Load() > at+100 || t.Failed() })
		last = next
	}
	close(stop)
	load.Wait()
}

// A connection is given up when its credentials have expired, and shortly before, if
// there are others that last longer: not for a refresh that failed.
func TestConnectionsEndWithTheirCredentials(t *testing.T) {
	t.Parallel()
	const life = time.Hour
	for name, c := range map[string]struct {
		next  func(began time.Time) (Credentials, error) // what the source has after half of the life
		after time.Duration                              // when the connection is over, at the earliest
		until time.Duration                              // and at the latest
	}{
		"others that last longer":   {func(t time.Time) (Credentials, error) { return Credentials{Expires: t.Add(2 * life)}, nil }, life / 2, life - 5*time.Second},
		"others that last for ever": {func(time.Time) (Credentials, error) { return Credentials{}, nil }, life / 2, life - 5*time.Second},
		"the same":                  {func(t time.Time) (Credentials, error) { return Credentials{Expires: t.Add(life)}, nil }, life, life},
		"none":                      {func(time.Time) (Credentials, error) { return Credentials{}, errors.New("away") }, life, life},
	} {
		synctest.Test(t, func(t *testing.T) {
			began := time.Now()
			next, err := c.next(began)
			from := &keyring{given: next, err: err}
			signed := signIn{ask: from.credentials, timeout: 5 * time.Second}
			near, far := net.Pipe()
			defer func() { _, _ = near.Close(), far.Close() }()
			conn := signed.bound(near, began.Add(life)).(*expiringConn)
			for ; !conn.over(); time.Sleep(time.Second) {
				raw, err := conn.SyscallConn()
				if err != nil || raw.Read(func(uintptr) bool { return true }) != nil {
					t.Fatalf("%s: a good connection looks dead: %v", name, err)
				}
			}
			if took := time.Since(began); took < c.after || took > c.until+time.Second {
				t.Errorf("%s: over after %v, want %v to %v", name, took, c.after, c.until)
			}
			if _, err := conn.SyscallConn(); !errors.Is(err, errExpired) {
				t.Errorf("%s: the pool would use it: %v", name, err)
			}
			// The source is asked at the end only.
			if n := from.asked.Load(); n > int64(life/2/time.Second) {
				t.Errorf("%s: the source was asked %d times", name, n)
			}
		})
	}
}
