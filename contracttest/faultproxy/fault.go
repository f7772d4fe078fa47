package faultproxy

import (
	"slices"
	"strings"
	"sync"
	"time"
)

// How is the way a connection is closed.
type How int

const (
	// RST aborts the connection: the other side reads ECONNRESET.
	RST How = iota
	// FIN closes it orderly: the other side reads EOF. Over TLS a close_notify is sent
	// first.
	FIN
)

// Direction is a half of a connection.
type Direction int

// The halves of a connection.
const (
	Requests Direction = 1 << iota // from the client to Redis
	Replies                        // from Redis to the client
	Both     = Requests | Replies
)

// Which connections a black hole swallows.
type Which int

// Old connections are those that were accepted before the fault was set.
const (
	AllConns Which = iota
	OldConns
	NewConns
)

// Match selects commands. It must be safe for concurrent use, return the same for the
// same command, and not call the proxy.
type Match func(Command) bool

// All selects every command.
func All(Command) bool { return true }

// Data selects commands that are not about the connection: all but HELLO, AUTH,
// CLIENT, SELECT, QUIT, RESET and PING.
func Data(c Command) bool { return DataAndPing(c) && c.Name != "PING" }

// DataAndPing selects what a Redis refuses while it is loading or wants a password:
// Data and PING.
func DataAndPing(c Command) bool {
	switch c.Name {
	case "HELLO", "AUTH", "CLIENT", "SELECT", "QUIT", "RESET":
		return false
	}
	return true
}

// Names selects commands by name, in upper or lower case.
func Names(names ...string) Match {
	upper := make([]string, len(names))
	for i, n := range names {
		upper[i] = strings.ToUpper(n)
	}
	return func(c Command) bool { return slices.Contains(upper, c.Name) }
}

// Scripts selects commands that run one of these scripts, given as SHA-1 in lower-case
// hex. Without arguments it selects those that run any script.
func Scripts(shas ...string) Match {
	return func(c Command) bool {
		return c.Script != "" && (len(shas) == 0 || slices.Contains(shas, c.Script))
	}
}

// Replies that no client should accept. None announces a length that does not follow,
// because a client may allocate it before it reads.
const (
	GarbageHTTP   = "HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"
	GarbageBinary = "\x00\x16\x03\x01\xfe\xff\x80\r\n"
	WrongArray    = "*0\r\n"
	WrongInteger  = ":1\r\n"
	WrongStatus   = "+OK\r\n"
)

// Error is an error reply, for Answer and AnswerAfter. The text begins with the
// error's prefix, e.g. "LOADING Redis is loading the dataset in memory".
func Error(text string) string { return "-" + text + "\r\n" }

// Fault is a fault between a client and Redis. The zero Fault is none. Faults of
// commands hit all Data commands, unless On, Skip and Next say otherwise.
type Fault struct {
	door   door
	accept *How
	hole   Direction
	which  Which

	rate        int   // bytes a second in each half of the line; 0 for any number
	match       Match // nil for faults that are not about commands
	skip, next  int
	delay, drip time.Duration
	before      step // instead of forwarding the command
	after       step // instead of delivering its reply
}

// step is what is done instead of forwarding.
type step struct {
	act   act
	how   How
	keep  int // bytes of the reply that are delivered before a cut
	reply string
}

type act int

const (
	pass act = iota
	answer
	end
	lose
)

// On selects the commands that the fault hits.
func (f Fault) On(m Match) Fault { f.match = m; return f }

// Skip lets the first n selected commands pass.
func (f Fault) Skip(n int) Fault { f.skip = n; return f }

// Next limits the fault to the next n selected commands; 0 is no limit.
func (f Fault) Next(n int) Fault { f.next = n; return f }

// Refuse closes the listener, so that a dial gets ECONNREFUSED, and resets the open
// connections. Healing listens on the same port again.
func Refuse() Fault { return Fault{door: shut} }

// HangDials makes dials hang, as if the host were unreachable: the listener's backlog
// is full and the kernel drops each SYN. Open connections go on; see KillConns. On
// other systems than Linux the dial succeeds and the connection stays silent.
func HangDials() Fault { return Fault{door: hung} }

// CloseOnAccept closes every new connection at once. Open connections go on.
func CloseOnAccept(h How) Fault { return Fault{accept: &h} }

// BlackHole holds back everything in one or both directions without closing
// connections. When the fault is removed, it is delivered, except commands of a client
// that has closed its connection: they are dropped. A new connection over TLS hangs in
// its handshake.
func BlackHole(d Direction, w Which) Fault { return Fault{hole: d, which: w} }

// HalfOpen makes the open connections silent in both directions. New ones work.
func HalfOpen() Fault { return BlackHole(Both, OldConns) }

// CutBefore closes the connection instead of forwarding the command.
func CutBefore(h How) Fault { return Fault{match: Data, before: step{act: end, how: h}} }

// CutAfter lets the command execute and closes the connection instead of delivering
// the reply.
func CutAfter(h How) Fault { return Fault{match: Data, after: step{act: end, how: h}} }

// CutMidReply lets the command execute, delivers the first n bytes of the reply, but
// never all of it, and closes the connection.
func CutMidReply(n int, h How) Fault {
	return Fault{match: Data, after: step{act: end, how: h, keep: n}}
}

// LoseRequest drops the command. The connection stays open and is silent from then on,
// also after the fault is removed, because commands and replies no longer match.
func LoseRequest() Fault { return Fault{match: Data, before: step{act: lose}} }

// LoseReply lets the command execute and drops the reply. The connection stays open
// and is silent from then on, also after the fault is removed.
func LoseReply() Fault { return Fault{match: Data, after: step{act: lose}} }

// Latency delays each command by d and forwards it even if its client has given up by
// then. The delays of commands that arrive together do not add up. Healing forwards
// delayed commands at once.
func Latency(d time.Duration) Fault { return Fault{match: Data, delay: d} }

// Drip delivers a reply byte by byte, one every d. Healing delivers the rest at
// once.
func Drip(d time.Duration) Fault { return Fault{match: Data, drip: d} }

// Throttle has all connections share a line that carries so many bytes a second
// in each direction. They take turns, a piece at a time. Healing lets go at once
// what waits.
func Throttle(bytesPerSecond int) Fault { return Fault{rate: bytesPerSecond} }

// Answer replies with these bytes and does not forward the command. The connection
// stays usable.
func Answer(reply string) Fault { return Fault{match: Data, before: step{act: answer, reply: reply}} }

// AnswerAfter lets the command execute and replaces its reply by these bytes. The
// connection stays usable.
func AnswerAfter(reply string) Fault {
	return Fault{match: Data, after: step{act: answer, reply: reply}}
}

// active is a fault while it is set.
type active struct {
	Fault
	boundary int           // number of the last connection accepted before
	ended    chan struct{} // closed when the fault is replaced or removed

	mu    sync.Mutex
	chose int       // commands so far
	up    time.Time // when the line to Redis has carried what it took so far
	down  time.Time // likewise the line back
}

// line is the half of the line that a throttled piece goes over.
func (a *active) line(d Direction) *time.Time {
	if d == Requests {
		return &a.up
	}
	return &a.down
}

// carry puts n bytes on one half of the line and returns how long it is until
// they have arrived.
func (a *active) carry(d Direction, n int) time.Duration {
	a.mu.Lock()
	defer a.mu.Unlock()
	now, free := time.Now(), a.line(d)
	if free.Before(now) {
		*free = now
	}
	*free = free.Add(time.Duration(n) * time.Second / time.Duration(a.rate))
	return free.Sub(now)
}

// hits reports whether the fault applies to a command, and counts the command.
func (a *active) hits(c Command) bool {
	if a.match == nil || !a.match(c) {
		return false
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	a.chose++
	return a.chose > a.skip && (a.next == 0 || a.chose <= a.skip+a.next)
}

// swallows reports whether that half of the connection with that number is held back.
func (a *active) swallows(d Direction, conn int) bool {
	switch a.which {
	case OldConns:
		return a.hole&d != 0 && conn <= a.boundary
	case NewConns:
		return a.hole&d != 0 && conn > a.boundary
	default:
		return a.hole&d != 0
	}
}
