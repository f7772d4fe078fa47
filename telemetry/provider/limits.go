package provider

import (
	"go.opentelemetry.io/otel/attribute"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
)

// limits are those of the SDK, by its variables; below zero there is none. Values are
// texts, numbers and truth values: nothing here records lists or maps.
type limits struct{ sdktrace.SpanLimits }

// allow reports whether a span may have these attributes as they are.
func (l *limits) allow(list []attribute.KeyValue) bool {
	if l.AttributeValueLengthLimit >= 0 || l.AttributeCountLimit >= 0 && len(list) > l.AttributeCountLimit {
		return false
	}
	for i, a := range list {
		if !a.Valid() {
			return false
		}
		for _, b := range list[:i] {
			if a.Key == b.Key {
				return false
			}
		}
	}
	return true
}

// shortened cuts a text to a number of characters.
func shortened(a attribute.KeyValue, limit int) attribute.KeyValue {
	if limit < 0 || a.Value.Type() != attribute.STRING {
		return a
	}
	text, n := a.Value.AsString(), 0
	for i := range text {
		if n == limit {
			return a.Key.String(text[:i])
		}
		n++
	}
	return a
}

// limited is what an event or a link may have of its attributes, and how many are left out.
func limited(list []attribute.KeyValue, limit int) (_ []attribute.KeyValue, dropped int) {
	if limit < 0 || len(list) <= limit {
		return list, 0
	}
	return list[:limit:limit], len(list) - limit
}

// appended appends an event or a link, and leaves out the oldest if there are too many.
func appended[T any](list []T, e T, limit, dropped int) ([]T, int) {
	if limit == 0 {
		return list, dropped + 1
	}
	if limit > 0 && len(list) == limit {
		copy(list, list[1:])
		list, dropped = list[:limit-1], dropped+1
	}
	return append(list, e), dropped
}
