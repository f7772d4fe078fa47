package copilot

import (
	"context"
	"crypto/tls"
	"errors"
	"net"
	"net/http"
)

// Unanswered is the reason of a request that got no answer, by its error: ReasonName,
// ReasonTLS, ReasonTimeout or ReasonUnreachable.
func Unanswered(err error) string {
	if _, ok := errors.AsType[*net.DNSError](err); ok {
		return ReasonName
	}
	if timeout, ok := errors.AsType[net.Error](err); ok && timeout.Timeout() || errors.Is(err, context.DeadlineExceeded) {
		return ReasonTimeout
	}
	_, untrusted := errors.AsType[*tls.CertificateVerificationError](err)
	_, plain := errors.AsType[tls.RecordHeaderError](err)
	_, alert := errors.AsType[tls.AlertError](err)
	if untrusted || plain || alert || errors.Is(err, http.ErrSchemeMismatch) {
		return ReasonTLS
	}
	return ReasonUnreachable
}
