package provider

import (
	"math"
	"strings"
	"time"
	"unicode/utf8"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/trace"
	tracepb "go.opentelemetry.io/proto/otlp/trace/v1"
	"google.golang.org/protobuf/encoding/protowire"
)

// Fields of OTLP's messages, in the binary form of protobuf. What has the zero value is
// left out, as proto3 wants it, unless it is said otherwise.

// beginMessage begins a field that is a message, and tells where its content begins.
func beginMessage(b []byte, field protowire.Number) (_ []byte, at int) {
	b = append(protowire.AppendTag(b, field, protowire.BytesType), 0) // its length, if it is short
	return b, len(b)
}

// endMessage ends the message whose content begins at a place. If its length takes more
// than a byte, as that of a span does, the content moves.
func endMessage(b []byte, at int) []byte {
	content := b[at:]
	n := uint64(len(content))
	for range protowire.SizeVarint(n) - 1 {
		b = append(b, 0)
	}
	copy(b[len(b)-len(content):], content)
	return protowire.AppendVarint(b[:at-1], n)[:len(b)]
}

func appendText(b []byte, field protowire.Number, text string) []byte {
	if text == "" {
		return b
	}
	return protowire.AppendString(protowire.AppendTag(b, field, protowire.BytesType), valid(text))
}

// valid is a text in UTF-8. A collector would refuse the whole batch for one that is not.
func valid(text string) string {
	if utf8.ValidString(text) {
		return text
	}
	return strings.ToValidUTF8(text, "\uFFFD")
}

func appendID(b []byte, field protowire.Number, id []byte) []byte {
	return protowire.AppendBytes(protowire.AppendTag(b, field, protowire.BytesType), id)
}

func appendNumber(b []byte, field protowire.Number, n uint64) []byte {
	if n == 0 {
		return b
	}
	return protowire.AppendVarint(protowire.AppendTag(b, field, protowire.VarintType), n)
}

func appendTime(b []byte, field protowire.Number, t time.Time) []byte {
	n := uint64(max(0, t.UnixNano()))
	if n == 0 {
		return b
	}
	return protowire.AppendFixed64(protowire.AppendTag(b, field, protowire.Fixed64Type), n)
}

// appendFlags appends those of a span or a link, which also say whether what it is below
// is of another process.
func appendFlags(b []byte, field protowire.Number, own trace.TraceFlags, parent trace.SpanContext) []byte {
	f := uint32(own) | uint32(tracepb.SpanFlags_SPAN_FLAGS_CONTEXT_HAS_IS_REMOTE_MASK)
	if parent.IsRemote() {
		f |= uint32(tracepb.SpanFlags_SPAN_FLAGS_CONTEXT_IS_REMOTE_MASK)
	}
	return protowire.AppendFixed32(protowire.AppendTag(b, field, protowire.Fixed32Type), f)
}

// count is how many of something there are, as far as a field can tell.
func count(n int) uint64 { return uint64(min(max(0, n), math.MaxUint32)) }

// The fields of KeyValue and AnyValue, of common.proto.
const (
	pairKey, pairValue = 1, 2

	valueText, valueTruth, valueNumber, valueFloat = 1, 2, 3, 4
)

// appendAttributes appends a repeated field of KeyValue messages. Values are texts,
// numbers and truth values, and are written also if zero; see limits.
func appendAttributes(b []byte, field protowire.Number, list []attribute.KeyValue) []byte {
	for i := range list {
		a := &list[i]
		var value, at int
		b, at = beginMessage(b, field)
		b = appendText(b, pairKey, string(a.Key))
		b, value = beginMessage(b, pairValue)
		b = endMessage(endMessage(appendValue(b, a.Value), value), at)
	}
	return b
}

func appendValue(b []byte, v attribute.Value) []byte {
	switch v.Type() {
	case attribute.INT64:
		return protowire.AppendVarint(protowire.AppendTag(b, valueNumber, protowire.VarintType), uint64(v.AsInt64())) //nolint:gosec // as protobuf writes them
	case attribute.FLOAT64:
		return protowire.AppendFixed64(protowire.AppendTag(b, valueFloat, protowire.Fixed64Type), math.Float64bits(v.AsFloat64()))
	case attribute.BOOL:
		return protowire.AppendVarint(protowire.AppendTag(b, valueTruth, protowire.VarintType), protowire.EncodeBool(v.AsBool()))
	default:
		return protowire.AppendString(protowire.AppendTag(b, valueText, protowire.BytesType), valid(v.String()))
	}
}
