package redis

import (
	"bufio"
	"context"
	"errors"
	"io"
	"net"
	"strconv"
	"strings"
	"testing"
	"time"

	goredis "github.com/redis/go-redis/v9"

	"parley/contracttest/latency"
	"parley/store"
)

var owner = store.Owner{Tenant: "t", User: "u"}

// serve answers every command but the handshake with reply, and hangs up after
// it when the reply does not end a line. An empty reply is never sent.
func serve(t *testing.T, reply string) (url string) {
	t.Helper()
	l, err := (&net.ListenConfig{}).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = l.Close() })
	go func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			t.Cleanup(func() { _ = conn.Close() })
			go answer(conn, reply)
		}
	}()
	return "redis://" + l.Addr().String()
}

func answer(conn net.Conn, reply string) {
	defer func() {
		if reply != "" {
			_ = conn.Close()
		}
	}()
	r := bufio.NewReader(conn)
	for {
		args, err := command(r)
		if err != nil {
			return
		}
		text := reply
		if args[0] == "hello" {
			text = "-ERR unknown command 'hello'\r\n"
		}
		if _, err := io.WriteString(conn, text); err != nil || text != "" && !strings.HasSuffix(text, "\n") {
			return
		}
	}
}

// command reads one command as clients send them: an array of bulk strings.
func command(r *bufio.Reader) ([]string, error) {
	number := func() (int, error) {
		line, err := r.ReadString('\n')
		if err != nil || len(line) < 4 {
			return 0, io.ErrUnexpectedEOF
		}
		return strconv.Atoi(strings.TrimSpace(line[1:]))
	}
	n, err := number()
	if err != nil {
		return nil, err
	}
	args := make([]string, n)
	for i := range args {
		size, err := number()
		if err != nil {
			return nil, err
		}
		b := make([]byte, size+2)
		if _, err := io.ReadFull(r, b); err != nil {
			return nil, err
		}
		args[i] = strings.ToLower(string(b[:size]))
	}
	return args, nil
}

func newStore(t *testing.T, url string, timeout time.Duration) *Store {
	t.Helper()
	s, err := New(Options{URL: url, Timeout: timeout})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = s.Close() })
	return s
}

// calls are all methods that talk to Redis: a write by script, reads by plain
// commands and by pipeline.
func calls(s *Store) map[string]func(context.Context) error {
	turn := store.Turn{Owner: owner, Conversation: "c", Token: "x"}
	return map[string]func(context.Context) error{
		"BeginTurn": func(ctx context.Context) error {
			_, err := s.BeginTurn(ctx, store.Begin{Owner: owner, Conversation: "c", Fingerprint: "f"})
			return err
		},
		"CompleteTurn": func(ctx context.Context) error { return s.CompleteTurn(ctx, turn, store.Completion{}) },
		"FailTurn":     func(ctx context.Context) error { return s.FailTurn(ctx, turn, "internal") },
		"RenewLease":   func(ctx context.Context) error { _, err := s.RenewLease(ctx, turn); return err },
		"Publish": func(ctx context.Context) error {
			_, _, err := s.Publish(ctx, turn, store.Entry{Data: []byte("1")})
			return err
		},
		"Follow":       func(ctx context.Context) error { _, err := s.Follow(ctx, store.Follow{}); return err },
		"Stop":         func(ctx context.Context) error { _, _, err := s.Stop(ctx, store.Owner{}, "c"); return err },
		"Conversation": func(ctx context.Context) error { _, err := s.Conversation(ctx, owner, "c", store.Range{}); return err },
		"List":         func(ctx context.Context) error { _, err := s.List(ctx, owner, store.Page{}); return err },
		"SetStatus": func(ctx context.Context) error {
			_, err := s.SetStatus(ctx, owner, "c", store.StatusCompleted)
			return err
		},
		"Delete": func(ctx context.Context) error { return s.Delete(ctx, owner, "c") },
		"Ping":   func(ctx context.Context) error { return s.Ping(ctx) },
	}
}

// RESIL-01: whatever Redis answers, every call says what kind of outage it is.
func TestEveryKind(t *testing.T) {
	const script = "-ERR Error running script (call to f_8a6b): @user_script:9: -"
	for reply, want := range map[string]store.Error{
		"-NOAUTH Authentication required.\r\n":          {Kind: store.ErrAuth, Code: "NOAUTH"},
		"-WRONGPASS invalid username-password pair\r\n": {Kind: store.ErrAuth, Code: "WRONGPASS"},
		"-NOPERM this user has no permissions\r\n":      {Kind: store.ErrAuth, Code: "NOPERM"},
		"-ERR The user executing the script can't run this command or subcommand script: 2df2, on @user_script:1.\r\n":         {Kind: store.ErrAuth, Code: "NOPERM"},
		"-ERR ACL failure in script: User u has no permissions to run the 'rpush' command script: f_1, on @user_script:1.\r\n": {Kind: store.ErrAuth, Code: "NOPERM"},
		"-LOADING Redis is loading the dataset in memory\r\n":                                                                  {Kind: store.ErrNotReady, Code: "LOADING"},
		"-UNBLOCKED force unblock from blocking operation, instance state changed (master -> replica?)\r\n":                    {Kind: store.ErrNotReady, Code: "UNBLOCKED"},
		"-MASTERDOWN Link with MASTER is down\r\n":                                                                             {Kind: store.ErrNotReady, Code: "MASTERDOWN"},
		"-CLUSTERDOWN The cluster is down\r\n":                                                                                 {Kind: store.ErrNotReady, Code: "CLUSTERDOWN"},
		"-TRYAGAIN Multiple keys request during rehashing of slot\r\n":                                                         {Kind: store.ErrNotReady, Code: "TRYAGAIN"},
		"-MOVED 3999 127.0.0.1:6381\r\n":                                                                                       {Kind: store.ErrMisconfigured, Code: "MOVED"},
		"-ASK 3999 127.0.0.1:6381\r\n":                                                                                         {Kind: store.ErrMisconfigured, Code: "ASK"},
		"-BUSY Redis is busy running a script\r\n":                                                                             {Kind: store.ErrNotReady, Code: "BUSY"},
		"-READONLY You can't write against a read only replica.\r\n":                                                           {Kind: store.ErrReadOnly, Code: "READONLY"},
		"-MISCONF Redis is configured to save RDB snapshots\r\n":                                                               {Kind: store.ErrReadOnly, Code: "MISCONF"},
		"-NOREPLICAS Not enough good replicas to write.\r\n":                                                                   {Kind: store.ErrReadOnly, Code: "NOREPLICAS"},
		"-OOM command not allowed when used memory > 'maxmemory'.\r\n":                                                         {Kind: store.ErrFull, Code: "OOM"},
		"-WRONGTYPE Operation against a key holding the wrong kind\r\n":                                                        {Kind: store.ErrCorrupt, Code: "WRONGTYPE"},
		"-CROSSSLOT Keys in request don't hash to the same slot\r\n":                                                           {Kind: store.ErrRejected, Code: "CROSSSLOT"},
		"-ERR something nobody foresaw\r\n":                                                                                    {Kind: store.ErrRejected, Code: "ERR"},
		"-ERR max number of clients reached\r\n":                                                                               {Kind: store.ErrUnreachable, Code: "ERR"},
		"-hunter2 is not a code\r\n":                                                                                           {Kind: store.ErrProtocol},
		script + "OOM command not allowed when used memory > 'maxmemory'.\r\n":                                                 {Kind: store.ErrFull, Code: "OOM"},
		script + "READONLY You can't write against a read only replica.\r\n":                                                   {Kind: store.ErrReadOnly, Code: "READONLY"},
		"HTTP/1.1 400 Bad Request\r\n\r\n":                                                                                     {Kind: store.ErrProtocol},
		"\x16\x03\x01\x00\x00\r\n":                                                                                             {Kind: store.ErrProtocol},
		"$9223372036854775807\r\n":                                                                                             {Kind: store.ErrProtocol}, // makes the library panic
		"-LOADING half of it":                                                                                                  {Kind: store.ErrUnreachable},
		"":                                                                                                                     {Kind: store.ErrTimeout},
	} {
		timeout := time.Minute // no machine is that slow: the reply decides
		if reply == "" {
			timeout = 100 * time.Millisecond
		}
		url := serve(t, reply)
		for op := range calls(nil) {
			// One of its own for each call: the breaker would answer for the last ones.
			began := time.Now()
			err := calls(newStore(t, url, timeout))[op](t.Context())
			if took := time.Since(began); took > timeout/2 && reply != "" {
				t.Errorf("%q: %s: it was waited for longer, for %v", reply, op, took)
			}
			var e *store.Error
			if !errors.As(err, &e) || !errors.Is(err, want.Kind) || e.Code != want.Code || e.Op != op || e.Cause == nil {
				t.Errorf("%q: %s: %#v, want %v %q", reply, op, err, want.Kind, want.Code)
				continue
			}
			if strings.Contains(err.Error(), "hunter2") || strings.Contains(err.Error(), "127.0.0.1") {
				t.Errorf("%q: %s: the text gives something away: %v", reply, op, err)
			}
		}
	}
}

// A reply that is well-formed RESP but belongs to something else must not pass
// for an answer of ours.
func TestWrongShape(t *testing.T) {
	for _, reply := range []string{"*0\r\n", ":1\r\n", "+OK\r\n", "$2\r\nhi\r\n", "*1\r\n:5\r\n", "*1\r\n$4\r\nHOHO\r\n", "*2\r\n$5\r\nBEGUN\r\n$1\r\n1\r\n", "*2\r\n$4\r\nBUSY\r\n$1\r\n1\r\n"} {
		s := newStore(t, serve(t, reply), time.Minute)
		for _, op := range []string{"BeginTurn", "CompleteTurn", "FailTurn", "RenewLease", "Publish", "Follow", "Stop", "SetStatus", "Delete", "Ping"} {
			if err := calls(s)[op](t.Context()); !errors.Is(err, store.ErrProtocol) {
				t.Errorf("%q: %s: %v, want %v", reply, op, err, store.ErrProtocol)
			}
		}
	}
}

func TestUnreachable(t *testing.T) {
	l, err := (&net.ListenConfig{}).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	refused := l.Addr().String()
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	// A label of this name is too long to exist, so that no name server is asked.
	nowhere := "redis://" + strings.Repeat("n", 64) + ".invalid:6379"
	for _, url := range []string{"redis://" + refused, nowhere, strings.Replace(serve(t, "+PONG\r\n"), "redis:", "rediss:", 1)} {
		for op := range calls(nil) {
			if err := calls(newStore(t, url, time.Minute))[op](t.Context()); !errors.Is(err, store.ErrUnreachable) {
				t.Errorf("%s: %s: %v, want %v", url, op, err, store.ErrUnreachable)
			}
		}
	}
}

// STORE-07: no call takes longer than the timeout, whatever it waits for; and
// with all connections waiting, the next caller is told so.
func TestTimeoutAndPool(t *testing.T) {
	opt, err := goredis.ParseURL(serve(t, ""))
	if err != nil {
		t.Fatal(err)
	}
	machine := latency.Watch(t)
	const timeout = 400 * time.Millisecond
	bound(opt, timeout)
	opt.PoolSize = 1
	opt.Dialer = (&dialer{timeout: timeout, lookup: net.DefaultResolver.LookupNetIP, connect: connector(nil, nil)}).dial
	narrow := goredis.NewClient(opt)
	s := newStore(t, "redis://unused:1", timeout)
	t.Cleanup(func() { _ = narrow.Close() })
	s.one().current.Load().Client, narrow = narrow, s.rdb()

	began := time.Now()
	errs := make(chan error, 2)
	for range 2 {
		go func() { errs <- s.Ping(t.Context()) }()
	}
	first, second := <-errs, <-errs
	if errors.Is(second, store.ErrPoolExhausted) { // on a machine that stalls, either may be heard first
		first, second = second, first
	}
	if !errors.Is(first, store.ErrPoolExhausted) || !errors.Is(second, store.ErrTimeout) {
		t.Errorf("got %v and %v", first, second)
	}
	if took := time.Since(began); took > timeout+250*time.Millisecond+machine.Max() {
		t.Errorf("took %v with a timeout of %v", took, timeout)
	}
}

// A caller that leaves is no outage; a caller whose own time ran out while the
// store was asked cannot tell whose fault it was, and it was the store's.
func TestCallerLeaves(t *testing.T) {
	s := newStore(t, serve(t, ""), 5*time.Second)
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	if err := s.Ping(ctx); !errors.Is(err, store.ErrTimeout) || errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("after the caller's deadline: %v", err)
	}
	ctx, leave := context.WithCancel(t.Context())
	done := make(chan error)
	go func() { done <- s.Ping(ctx) }()
	leave()
	if err := <-done; !errors.Is(err, context.Canceled) {
		t.Errorf("after the caller left: %v", err)
	}
}

func TestBadURL(t *testing.T) {
	for _, url := range []string{"", "localhost:6379", "http://h:1", "redis://user:hunter2@h:port", "redis://h/notanumber", "redis://h/-1", "unix:///tmp/redis.sock", "\x00"} {
		s, err := New(Options{URL: url})
		if !errors.Is(err, ErrURL) || s != nil {
			t.Errorf("%q: %v", url, err)
		}
		if err != nil && strings.Contains(err.Error(), "hunter2") {
			t.Errorf("the error repeats the password: %v", err)
		}
	}
}
