package turn

import (
	"errors"
	"fmt"
	"runtime"
	"runtime/debug"
)

// ErrPanic is what every *PanicError is.
var ErrPanic = errors.New("turn: panic")

// PanicError is a panic that became an error, on its way to whoever answers.
type PanicError struct {
	Stack []byte // of the goroutine that panicked; for the log only

	value any
}

// NewPanicError makes an error of what recover returned. It must be called by the
// deferred function itself, so that the stack is that of the panic.
func NewPanicError(recovered any) *PanicError {
	return &PanicError{value: recovered, Stack: debug.Stack()}
}

// Error gives the text of errors of the runtime only: any other value may hold
// what a user wrote.
func (p *PanicError) Error() string {
	if e, ok := p.value.(runtime.Error); ok {
		return fmt.Sprintf("%v: %v", ErrPanic, e)
	}
	return fmt.Sprintf("%v: %T", ErrPanic, p.value)
}

// Unwrap makes errors.Is(err, ErrPanic) true.
func (p *PanicError) Unwrap() error { return ErrPanic }
