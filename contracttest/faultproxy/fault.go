package faultproxy

import (
	"slices"
	"strings"
	"sync"
	"time"
)

// How is the way a connection is ended.
type How int

const (
	// RST aborts the connection: the other side reads ECONNRESET.
	RST How = iota
	// FIN closes it in order: the other side reads the end of the stream. Over TLS
	// a close_notify goes before.
	FIN
)

// Direction says which half of a connection is meant.
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

// Match chooses commands. It must be safe for use from many goroutines, give
// the same answer for the same command, and not call the proxy.
type Match func(Command) bool

// All chooses every command.
func All(Command) bool { return true }

// Data chooses what a client sends once it is connected: all but HELLO, AUTH,
// CLIENT, SELECT, QUIT, RESET and PING.
func Data(c Command) bool { return DataAndPing(c) && c.Name != "PING" }

// DataAndPing chooses what a Redis that is loading, or wants a password,
// refuses: Data and PING.
func DataAndPing(c Command) bool {
	switch c.Name {
	case "HELLO", "AUTH", "CLIENT", "SELECT", "QUIT", "RESET":
		return false
	}
	return true
}

// Names chooses commands by name, in any case.
func Names(names ...string) Match {
	upper := make([]string, len(names))
	for i, n := range names {
		upper[i] = strings.ToUpper(n)
	}
	return func(c Command) bool { return slices.Contains(upper, c.Name) }
}

// Scripts chooses commands that run one of these scripts, by SHA-1 in
// lower-case hex; with none, those that run any.
func Scripts(shas ...string) Match {
	return func(c Command) bool {
		return c.Script != "" && (len(shas) == 0 || slices.Contains(shas, c.Script))
	}
}

// Replies that no client should take for an answer. None claims a length that
// is not there: a client may make room for it before it looks.
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

// Fault is something that goes wrong between a client and Redis. The zero Fault
// is none. Faults of commands hit Data commands, all of them, unless On, Skip
// and Next say otherwise.
type Fault struct {
	door   door
	accept *How
	hole   Direction
	which  Which

	match       Match // nil for faults that are not about commands
	skip, next  int
	delay, drip time.Duration
	before      step // in place of forwarding the command
	after       step // in place of delivering its reply
}

// step is what is done in place of passing something on.
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

// On chooses the commands that the fault hits.
func (f Fault) On(m Match) Fault { f.match = m; return f }

// Skip spares the first n of the chosen commands.
func (f Fault) Skip(n int) Fault { f.skip = n; return f }

// Next spares all of the chosen commands but n; 0 spares none.
func (f Fault) Next(n int) Fault { f.next = n; return f }

// Refuse closes the listener, so that a dial gets ECONNREFUSED, and resets the
// connections there are. Healing listens on the same port again.
func Refuse() Fault { return Fault{door: shut} }

// HangDials lets a dial hang, as if the host had vanished from the network:
// the listener's backlog is full and the kernel drops each SYN. Connections there
// are go on; see KillConns. Where the kernel is not Linux, the connection is made
// and nothing is ever said on it.
func HangDials() Fault { return Fault{door: hung} }

// CloseOnAccept ends every new connection as soon as it is made. Connections
// there are go on.
func CloseOnAccept(h How) Fault { return Fault{accept: &h} }

// BlackHole swallows one half of connections or both without closing them. What
// is swallowed arrives after all when the fault has gone, if the client is still
// there; if it has closed its connection, a command is dropped. A new connection
// over TLS does not get as far as its handshake.
func BlackHole(d Direction, w Which) Fault { return Fault{hole: d, which: w} }

// HalfOpen leaves the connections there are silent in both directions, while
// new ones work.
func HalfOpen() Fault { return BlackHole(Both, OldConns) }

// CutBefore ends the connection in place of forwarding the command.
func CutBefore(h How) Fault { return Fault{match: Data, before: step{act: end, how: h}} }

// CutAfter has the command executed and ends the connection in place of
// delivering the reply.
func CutAfter(h How) Fault { return Fault{match: Data, after: step{act: end, how: h}} }

// CutMidReply has the command executed, delivers the first n bytes of the reply,
// but never all of it, and ends the connection.
func CutMidReply(n int, h How) Fault {
	return Fault{match: Data, after: step{act: end, how: h, keep: n}}
}

// LoseRequest drops the command. The connection stays open and is silent from
// then on, also when the fault has gone: it would be out of step.
func LoseRequest() Fault { return Fault{match: Data, before: step{act: lose}} }

// LoseReply has the command executed and drops the reply. The connection stays
// open and is silent from then on, also when the fault has gone.
func LoseReply() Fault { return Fault{match: Data, after: step{act: lose}} }

// Latency forwards a command d after it came, also if its client has given up
// meanwhile. Commands that came together are late together. Healing forwards at
// once what waits.
func Latency(d time.Duration) Fault { return Fault{match: Data, delay: d} }

// Drip delivers a reply byte by byte, one every d. Healing delivers the rest at
// once.
func Drip(d time.Duration) Fault { return Fault{match: Data, drip: d} }

// Answer gives any bytes as the reply, without forwarding the command. The
// connection goes on.
func Answer(reply string) Fault { return Fault{match: Data, before: step{act: answer, reply: reply}} }

// AnswerAfter has the command executed and gives other bytes than its reply: a
// proxy that lies. The connection goes on.
func AnswerAfter(reply string) Fault {
	return Fault{match: Data, after: step{act: answer, reply: reply}}
}

// active is a fault while it is set.
type active struct {
	Fault
	boundary int           // number of the last connection accepted before
	ended    chan struct{} // closed when another fault or none is set

	mu    sync.Mutex
	chose int // commands so far
}

// hits reports whether a command is to suffer the fault, and counts it.
func (a *active) hits(c Command) bool {
	if a.match == nil || !a.match(c) {
		return false
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	a.chose++
	return a.chose > a.skip && (a.next == 0 || a.chose <= a.skip+a.next)
}

// swallows reports whether a half of the connection with that number is silent.
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
