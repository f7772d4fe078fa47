package turn

import (
	"errors"
	"fmt"
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
