package server

import (
	"errors"
	"iter"
	"net/http"
	"syscall"

	"parley/server/copilot"
	"parley/server/turn"
	"parley/store"
)

// Failures gives the rows of the table in order.
func Failures() iter.Seq[Failure] {
	return func(yield func(Failure) bool) {
		for _, f := range failures {
			if !yield(f) {
				return
			}
		}
	}
}

// Class names the failure class of an error, by its type and never by its
// text; it is "" for nil and "internal" for an error nobody foresaw.
func Class(err error) string {
	if err == nil {
		return ""
	}
	return lookup(err).Class
}

// lookup finds the row of an error. An error of the store or of the agent that has
// no row gets a fallback row of the same side. So an outage of the store is never
// 502 and a failure of the agent never 503, even if the table is incomplete.
func lookup(err error) *Failure {
	if lacksDescriptors(err) {
		// Whatever could not be opened, the lack is this process's own.
		return rowOf(classOverloaded)
	}
	if e, ok := errors.AsType[*turn.RelayedError](err); ok {
		return rowOf(e.Class) // another instance has looked it up
	}
	from, fallback := ofRequest, classInternal
	if e, ok := errors.AsType[*store.Error](err); ok && !errors.Is(e, store.ErrOverloaded) {
		from, fallback, err = ofStore, classStoreRejected, e.Kind
	} else if e, ok := errors.AsType[*copilot.Error](err); ok {
		from, fallback, err = ofAgent, classUpstreamProtocol, e.Kind
	}
	for i := range failures {
		if from != ofRequest && failures[i].origin != from {
			continue
		}
		for _, sentinel := range failures[i].is {
			if errors.Is(err, sentinel) {
				return &failures[i]
			}
		}
	}
	return rowOf(fallback)
}

// lacksDescriptors reports whether something failed, the store or the agent it may
// be, because this process or this machine can open nothing more.
func lacksDescriptors(err error) bool {
	if e, ok := errors.AsType[*store.Error](err); ok {
		err = e.Cause
	} else if e, ok := errors.AsType[*copilot.Error](err); ok {
		err = e.Cause
	}
	return errors.Is(err, syscall.EMFILE) || errors.Is(err, syscall.ENFILE)
}

// rowOf finds a row by its class; an unknown class is internal.
func rowOf(class string) *Failure {
	for i := range failures {
		if failures[i].Class == class {
			return &failures[i]
		}
	}
	return &failures[len(failures)-1]
}

// failureOf is the row of an error of this request. A cancellation that did not
// come from the client is a bug of this service.
func failureOf(r *http.Request, err error) *Failure {
	f := lookup(err)
	if f.Class == classClientCanceled && r.Context().Err() == nil {
		return rowOf(classInternal)
	}
	return f
}
