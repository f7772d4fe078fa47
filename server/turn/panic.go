package turn

import (
	"errors"
	"fmt"
	"log/slog"
	"runtime"
	"runtime/debug"
)

// ErrPanic is matched by every *PanicError.
var ErrPanic = errors.New("turn: panic")

// PanicError is a panic that was recovered and turned into an error.
type PanicError struct {
	Stack []byte // of the goroutine that panicked; for the log only

	value any
}

// NewPanicError makes an error from what recover returned. The deferred function
// itself must call it, so that the stack is that of the panic.
func NewPanicError(recovered any) *PanicError {
	return &PanicError{value: recovered, Stack: debug.Stack()}
}

// Error has the text of runtime errors only; any other value may contain what a user
// wrote.
func (p *PanicError) Error() string {
	if e, ok := p.value.(runtime.Error); ok {
		return fmt.Sprintf("%v: %v", ErrPanic, e)
	}
	return fmt.Sprintf("%v: %T", ErrPanic, p.value)
}

// Unwrap makes errors.Is(err, ErrPanic) true.
func (p *PanicError) Unwrap() error { return ErrPanic }

// Exception is what the log says of the panic that err is or wraps, nil if there is
// none: the attributes of the semantic conventions for exceptions in logs, from which
// backends such as Azure Monitor make exceptions. The message is fixed, because that of
// the panic may be what a user wrote.
// Source: https://opentelemetry.io/docs/specs/semconv/exceptions/exceptions-logs/
func Exception(err error) []slog.Attr {
	p, ok := errors.AsType[*PanicError](err)
	if !ok {
		return nil
	}
	return []slog.Attr{
		slog.String("exception.type", fmt.Sprintf("%T", p.value)),
		slog.String("exception.message", "a panic; its text is not recorded"),
		slog.String("exception.stacktrace", string(p.Stack)),
	}
}
