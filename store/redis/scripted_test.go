package redis

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"parley/store"
	"parley/store/internal/wire"
)

// scripted is a server that a test has say what it wants, in the order in which it
// wants it.
type scripted struct {
	addr string
	l    net.Listener

	mu    sync.Mutex
	conns []net.Conn
	got   []string                        // all that came, but for what makes a connection, or a map
	says  func(n int, args string) string // to the nth of that; what does not end a line ends the connection
	slots string                          // what it says to CLUSTER SLOTS
	asked int                             // how often
}

// startScripted starts servers that know each other: the first has all slots.
func startScripted(t *testing.T, n int) []*scripted {
	t.Helper()
	all := make([]*scripted, n)
	for i := range all {
		l, err := (&net.ListenConfig{}).Listen(t.Context(), "tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		all[i] = &scripted{addr: l.Addr().String(), l: l, says: func(int, string) string { return "+OK\r\n" }}
		go all[i].serve()
		t.Cleanup(all[i].stop)
	}
	for _, s := range all {
		s.slots = slotsReply(all[0].addr)
	}
	return all
}

// slotsReply has servers share the slots out evenly.
func slotsReply(addrs ...string) string {
	var b strings.Builder
	fmt.Fprintf(&b, "*%d\r\n", len(addrs))
	for i, addr := range addrs {
		host, port, _ := net.SplitHostPort(addr)
		fmt.Fprintf(&b, "*3\r\n:%d\r\n:%d\r\n*2\r\n$%d\r\n%s\r\n:%s\r\n",
			i*slotCount/len(addrs), (i+1)*slotCount/len(addrs)-1, len(host), host, port)
	}
	return b.String()
}

// stop has the server be gone.
func (s *scripted) stop() {
	_ = s.l.Close()
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, c := range s.conns {
		_ = c.Close()
	}
}

func (s *scripted) serve() {
	for {
		conn, err := s.l.Accept()
		if err != nil {
			return
		}
		s.mu.Lock()
		s.conns = append(s.conns, conn)
		s.mu.Unlock()
		go s.answer(conn)
	}
}

func (s *scripted) answer(conn net.Conn) {
	defer func() { _ = conn.Close() }()
	for r := bufio.NewReader(conn); ; {
		args, err := command(r)
		if err != nil {
			return
		}
		text := s.reply(args)
		if _, err := io.WriteString(conn, text); err != nil || text != "" && !strings.HasSuffix(text, "\n") {
			return
		}
	}
}

func (s *scripted) reply(args []string) string {
	s.mu.Lock()
	defer s.mu.Unlock()
	switch args[0] {
	case "hello":
		return "-ERR unknown command 'hello'\r\n"
	case "ping":
		return "+PONG\r\n"
	case "cluster":
		s.asked++
		return s.slots
	}
	said := strings.Join(args, " ")
	s.got = append(s.got, said)
	return s.says(len(s.got), said)
}

// will has the server say that from now on, and forgets what came.
func (s *scripted) will(says func(n int, args string) string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.says, s.got = says, nil
}

// always is for will.
func always(reply string) func(int, string) string {
	return func(int, string) string { return reply }
}

// tells has the server answer CLUSTER SLOTS so.
func (s *scripted) tells(slots string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.slots = slots
}

// asks is how often it was asked for CLUSTER SLOTS.
func (s *scripted) asks() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.asked
}

// heard is what came.
func (s *scripted) heard() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.got)
}

func moved(to *scripted) string { return "-MOVED 1 " + to.addr + "\r\n" }

func ask(to *scripted) string { return "-ASK 1 " + to.addr + "\r\n" }

func bulk(s string) string { return "$" + strconv.Itoa(len(s)) + "\r\n" + s + "\r\n" }

// clusterOf is a store whose map the servers make.
func clusterOf(t *testing.T, timeout time.Duration, first *scripted, more ...*scripted) *Store {
	t.Helper()
	o := Options{URL: "redis://" + first.addr, Mode: ModeCluster, Timeout: timeout}
	for _, s := range more {
		o.Nodes = append(o.Nodes, s.addr)
	}
	s, err := New(o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = s.Close() })
	return s
}

// ownerIn is an owner whose keys are in the part of the slots, of so many parts.
func ownerIn(part, parts int) (o ownerOfSlot) {
	for i := 0; ; i++ {
		o.Tenant, o.User = "t", strconv.Itoa(i)
		if o.slot = slotOf(wire.OwnerTag(o.Owner)); o.slot*parts/slotCount == part {
			return o
		}
	}
}

type ownerOfSlot struct {
	store.Owner
	slot int
}
