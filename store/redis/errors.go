package redis

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net"
	"regexp"
	"strings"
	"syscall"
	"time"

	goredis "github.com/redis/go-redis/v9"

	"parley/store"
)

// errCorrupt stands for a stored record that does not decode.
var errCorrupt = errors.New("redis: record does not decode")

// errLost stands for a conversation that was begun and is not there any more.
var errLost = errors.New("redis: conversation being started is gone")

// classify gives an error of a call its kind, where it happened: later nobody
// could tell it from an equal error of the agent's. ctx is the caller's
// context, budget the call's own.
//
// Contexts are asked whether they are done, never the error: the library
// reports expired dials of its own as context.DeadlineExceeded, and hides the
// caller's deadline behind network errors.
func classify(ctx, budget context.Context, op string, err error) error {
	if err == nil {
		return nil
	}
	var open *openError
	switch {
	case isOutcome(err):
		return err
	case errors.Is(err, errCorrupt):
		return &store.Error{Op: op, Kind: store.ErrCorrupt, Cause: err}
	case errors.Is(err, errLost):
		return &store.Error{Op: op, Kind: store.ErrLost, Cause: err}
	case errors.Is(err, errShape), errors.Is(err, errReply), errors.As(err, new(*panicked)):
		return &store.Error{Op: op, Kind: store.ErrProtocol, Cause: err}
	case errors.Is(err, errTooLarge):
		return &store.Error{Op: op, Kind: store.ErrRejected, Reason: "write is larger than the limit", Cause: err}
	case errors.Is(err, errRefused):
		return &store.Error{Op: op, Kind: store.ErrRejected, Reason: "write is larger than Redis accepts", Cause: err}
	case errors.Is(err, errNoCluster):
		return &store.Error{Op: op, Kind: store.ErrMisconfigured, Reason: "the server is no node of a cluster", Cause: err}
	case errors.Is(err, errFewReplicas):
		return &store.Error{Op: op, Kind: store.ErrTimeout, Reason: "stored, and too few replicas have it", Cause: err}
	case errors.Is(err, errSentinel):
		return &store.Error{Op: op, Kind: store.ErrMisconfigured, Reason: "the server is a sentinel", Cause: err}
	case errors.Is(err, errReplica):
		return &store.Error{Op: op, Kind: store.ErrReadOnly, Reason: "the server is a replica", Cause: err}
	case errors.Is(err, errUncovered), errors.Is(err, errNoSlots):
		return &store.Error{Op: op, Kind: store.ErrNotReady, Reason: "no node of the cluster has the slot", Cause: err}
	case errors.Is(err, errAstray), errors.Is(err, errManyNodes):
		return &store.Error{Op: op, Kind: store.ErrNotReady, Reason: "the nodes of the cluster do not agree who has the slot", Cause: err}
	case errors.Is(err, errUnknownMaster):
		return &store.Error{Op: op, Kind: store.ErrMisconfigured, Reason: "the sentinels know no primary by that name", Cause: err}
	case errors.Is(err, errNoSentinel):
		return &store.Error{Op: op, Kind: store.ErrMisconfigured, Reason: "the server is no sentinel", Cause: err}
	case errors.As(err, &open):
		return &store.Error{Op: op, Kind: open.kind, Reason: "circuit breaker is open", BreakerOpen: true, OpenedBy: open.reason, OpenedAt: open.at, Cause: err}
	case ctx.Err() != nil && errors.Is(ctx.Err(), context.Canceled):
		return fmt.Errorf("store: %s: %w", op, ctx.Err())
	case lacksCredentials(err):
		none, _ := errors.AsType[*noCredentials](err)
		return none.outage(op)
	case noConnection(err):
		return &store.Error{Op: op, Kind: store.ErrPoolExhausted, Cause: err}
	}
	var resp goredis.Error
	if errors.As(err, &resp) {
		code, kind := respKind(resp)
		return &store.Error{Op: op, Kind: kind, Code: code, Cause: err}
	}
	return &store.Error{Op: op, Kind: transportKind(budget, err), Reason: reason(err), Cause: err}
}

// classify is the function of that name, in the light of what else the client's
// connections do: where all are in use and Redis answers on them, it is this service
// that has too much to do. So it is where this process was starved since the call began.
func (c *client) classify(ctx, budget context.Context, op string, began time.Time, err error) error {
	err = c.excuse(classify(ctx, budget, op, err), began)
	if e, ok := errors.AsType[*store.Error](err); ok && c.busy(e.Cause) {
		return &store.Error{Op: op, Kind: store.ErrOverloaded, Reason: store.NoConnection, Cause: e.Cause}
	}
	return err
}

// isOutcome reports whether an error says something about the conversation and
// nothing about Redis.
func isOutcome(err error) bool {
	for _, e := range []error{store.ErrNotFound, store.ErrClosed, store.ErrBusy, store.ErrMismatch, store.ErrStale, store.ErrCursor, store.ErrConversationFull, store.ErrQuota} {
		if errors.Is(err, e) {
			return true
		}
	}
	return false
}

// wrapped is how Redis up to 6.2, which is what Azure Cache for Redis runs,
// reports an error of a command inside a script.
var wrapped = regexp.MustCompile(`^ERR Error running script .*@user_script: ?\d+: -?([A-Z]+) `)

// denied is how Redis reports that its user may not run a command inside a script, up to
// 7.0 and after it. That has no prefix of its own; outside of scripts it is NOPERM.
var denied = regexp.MustCompile(`^ERR (The user executing the script can't|ACL failure in script:) `)

// respKind sorts an error reply by its prefix, which is the part of it that the
// protocol defines.
func respKind(err goredis.Error) (code string, kind error) {
	text := err.Error()
	code, _, _ = strings.Cut(text, " ")
	if m := wrapped.FindStringSubmatch(text); m != nil {
		code = m[1]
	}
	if code == "ERR" && denied.MatchString(text) {
		code = "NOPERM"
	}
	switch code {
	case "NOAUTH", "WRONGPASS", "NOPERM":
		return code, store.ErrAuth
	case "LOADING", "MASTERDOWN", "CLUSTERDOWN", "TRYAGAIN", "BUSY",
		"UNBLOCKED": // of a WAIT, by a primary that became a replica
		return code, store.ErrNotReady
	case "MOVED", "ASK": // redirects are followed where a cluster is expected
		return code, store.ErrMisconfigured
	case "READONLY", "MISCONF", "NOREPLICAS":
		return code, store.ErrReadOnly
	case "OOM":
		return code, store.ErrFull
	case "WRONGTYPE": // a key of ours holds something we did not put there
		return code, store.ErrCorrupt
	}
	if goredis.IsMaxClientsError(err) { // has no prefix but ERR
		return code, store.ErrUnreachable
	}
	if !isPrefix(code) {
		return "", store.ErrProtocol
	}
	return code, store.ErrRejected
}

// isPrefix keeps what is not an error code out of logs and labels.
func isPrefix(s string) bool {
	for _, r := range s {
		if r < 'A' || r > 'Z' {
			return false
		}
	}
	return s != "" && len(s) <= 32
}

// transportKind sorts everything that is not an error reply. What is left at
// the end is what the library says when it cannot parse an answer, which has no
// type of its own.
func transportKind(budget context.Context, err error) error {
	var dns *net.DNSError
	var netErr net.Error
	var cert *tls.CertificateVerificationError
	var record tls.RecordHeaderError
	var wanted *certificateWanted
	switch {
	case errors.As(err, &dns), errors.As(err, &cert), errors.As(err, &record), errors.As(err, &wanted),
		errors.Is(err, ErrCertificate), alertCode(err) != 0:
		return store.ErrUnreachable
	case budget.Err() != nil, errors.As(err, &netErr) && netErr.Timeout(), errors.Is(err, context.DeadlineExceeded):
		return store.ErrTimeout
	case errors.As(err, &netErr), errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF), errors.Is(err, net.ErrClosed),
		errors.Is(err, syscall.ECONNRESET), errors.Is(err, syscall.EPIPE), errors.Is(err, syscall.ECONNREFUSED),
		errors.Is(err, goredis.ErrClosed):
		return store.ErrUnreachable
	}
	return store.ErrProtocol
}

// reason says in words of our own what an error of the transport was, because
// its own may name hosts. It is empty where the kind says it all.
func reason(err error) string {
	var dns *net.DNSError
	var invalid x509.CertificateInvalidError
	var host x509.HostnameError
	var authority x509.UnknownAuthorityError
	var cert *tls.CertificateVerificationError
	var record tls.RecordHeaderError
	var wanted *certificateWanted
	var op *net.OpError
	var stalled *stalledError
	switch {
	case errors.As(err, &stalled):
		return stalled.reason()
	case outOfDescriptors(err):
		return "this process can open no more files"
	case errors.As(err, &dns) && dns.IsTimeout:
		return "no answer to the lookup of the host name"
	case errors.As(err, &dns):
		return "host name not found"
	case errors.As(err, &invalid) && invalid.Reason == x509.Expired:
		return "certificate has expired or is not yet valid"
	case errors.As(err, &host):
		return "certificate is for another host"
	case errors.As(err, &authority):
		return "certificate of an unknown authority"
	case errors.As(err, &cert):
		return "certificate is not valid"
	case errors.As(err, &record):
		return "does not speak TLS"
	case errors.As(err, &wanted):
		return "server asks for a client certificate and got none"
	case errors.Is(err, ErrCertificate):
		return "client certificate cannot be read"
	case alertCode(err) >= alertBadCertificate && alertCode(err) <= alertAccessDenied:
		return "client certificate was refused"
	case alertCode(err) != 0:
		return "TLS was refused"
	case errors.Is(err, syscall.ECONNREFUSED):
		return "connection refused"
	case errors.As(err, &op) && op.Op == "dial" && op.Timeout():
		return "no answer to a connect"
	case connectionLost(err):
		return "connection lost"
	}
	return ""
}

// outOfDescriptors reports whether a connection could not be opened because this
// process, or this machine, can open nothing more.
func outOfDescriptors(err error) bool {
	return errors.Is(err, syscall.EMFILE) || errors.Is(err, syscall.ENFILE)
}
