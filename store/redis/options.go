package redis

import (
	"context"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"strconv"
	"strings"
	"time"

	goredis "github.com/redis/go-redis/v9"

	"parley/store/fair"
)

// Mode is a kind of deployment of Redis.
type Mode string

// The modes.
const (
	ModeSingle   Mode = "single"   // one primary at one address, or what looks like one
	ModeCluster  Mode = "cluster"  // Redis Cluster: the slots are shared out among many primaries
	ModeSentinel Mode = "sentinel" // one primary, whose address the sentinels tell
)

// MaxNodes bounds Options.Nodes, and how many primaries of a cluster are used.
const MaxNodes = 1000

// Defaults of Options.
const (
	DefaultPrefix  = "parley:"
	DefaultTTL     = 24 * time.Hour
	DefaultTimeout = 5 * time.Second
)

// Options of a Store.
type Options struct {
	URL     string         // redis:// or rediss://, with user, password and database number
	RootCAs *x509.CertPool // trusted for rediss://; the system's if nil
	// CertFile and KeyFile name PEM files with the certificate, and its key, that
	// is shown to a server that wants one; "" for none. They are read again for
	// every connection.
	CertFile, KeyFile string
	Prefix            string        // of every key; DefaultPrefix if empty
	TTL               time.Duration // how long a conversation outlives its last write; DefaultTTL if 0
	// Timeout bounds every call as a whole: waiting for a connection, dialing
	// and all round trips. DefaultTimeout if 0.
	Timeout time.Duration
	// MaxWriteBytes bounds one write, which is refused before it is sent, with
	// store.ErrRejected. DefaultMaxWriteBytes if 0.
	MaxWriteBytes int

	// Legacy has a Store with another Prefix than the default read legacy records,
	// too. They carry no prefix: two deployments would take each other's.
	Legacy bool

	// Mode says what the URL leads to; ModeSingle if empty. It is never guessed.
	Mode Mode
	// Nodes are more addresses, as host:port, to ask first, beside that of the URL:
	// nodes of the cluster, or sentinels. At most MaxNodes. With ModeSingle there are none.
	Nodes []string
	// SentinelMaster is the name by which the sentinels know the primary. It is needed
	// with ModeSentinel, and with no other.
	SentinelMaster string
	// SentinelUser and SentinelPassword are for the sentinels themselves; "" where they
	// want none. The URL's are for the primary.
	SentinelUser, SentinelPassword string
	// TLSServerName is the name that the certificate of the server must be for; the host
	// of the URL if empty. Of a cluster it is that of the nodes that are known by an
	// address; one that is known by a name is verified against that name.
	TLSServerName string
	// Credentials is asked for the user and the password of every connection, before it
	// is dialed; nil for those of the URL. It must heed its context. Its error is that
	// of the call, of kind store.ErrCredentials, with the reason that a *store.Error
	// gives it. It must hold no secret.
	Credentials func(ctx context.Context) (Credentials, error)
	// WaitReplicas is how many replicas must have a completed turn before CompleteTurn
	// says so; 0 for none. If fewer have it in time, the turn is stored and the error is
	// of the kind store.ErrTimeout: whether it outlives a failover nobody knows. Made
	// once more, the call waits again.
	WaitReplicas int

	// Large bounds how many large ranges of messages are decoded at once; nil bounds
	// nothing.
	Large *fair.Places

	Trace  Trace      // is told of round trips and dials; the zero value of nothing
	Lookup LookupFunc // resolves the host of the URL; the system's resolver if nil

	roleInterval time.Duration // roleInterval if 0
}

// ErrURL says that Options.URL is not a Redis URL. It does not repeat it: it
// may hold a password.
var ErrURL = errors.New("redis: not a redis:// or rediss:// URL")

// ErrUnverified says that Options.URL asks for TLS that trusts anybody.
var ErrUnverified = errors.New("redis: skip_verify is not supported: trust a private authority by its certificate")

// ErrOptions says that Options contradict each other. What it wraps it with names no
// value of theirs.
var ErrOptions = errors.New("redis: options do not fit each other")

// check finds what cannot be meant. opt is what the URL says.
func (o *Options) check(opt *goredis.Options) error {
	wrong := func(what string) error { return fmt.Errorf("%w: %s", ErrOptions, what) }
	switch o.Mode {
	case "", ModeSingle:
		if len(o.Nodes) > 0 {
			return wrong("more nodes are for a cluster or for sentinels")
		}
	case ModeCluster:
		switch {
		case opt.DB != 0:
			return wrong("a cluster has no database but number 0")
		case strings.Contains(o.Prefix, "{"):
			return wrong("a prefix with a brace would put all owners into one slot of the cluster")
		}
	case ModeSentinel:
		if o.SentinelMaster == "" {
			return wrong("the sentinels have to be asked for a primary by its name")
		}
	default:
		return wrong("no such mode")
	}
	if o.Mode != ModeSentinel && (o.SentinelMaster != "" || o.SentinelUser != "" || o.SentinelPassword != "") {
		return wrong("a name or credentials for sentinels are given, and there are none")
	}
	if len(o.Nodes) > MaxNodes {
		return wrong("too many nodes")
	}
	for _, n := range o.Nodes {
		host, port, err := net.SplitHostPort(n)
		if number, perr := strconv.ParseUint(port, 10, 16); err != nil || perr != nil || host == "" || number == 0 {
			return wrong("a node is not host:port")
		}
	}
	switch {
	case o.TLSServerName != "" && opt.TLSConfig == nil:
		return wrong("a name for certificates is given, and the URL is not rediss://")
	case o.Credentials != nil && opt.Password != "":
		return wrong("the password is given twice, once in the URL")
	case o.WaitReplicas < 0:
		return wrong("the number of replicas to wait for is negative")
	}
	return nil
}
