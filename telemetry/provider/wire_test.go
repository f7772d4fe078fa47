package provider

import (
	"bytes"
	"testing"

	"google.golang.org/protobuf/encoding/protowire"
)

// The length of a message takes more bytes than were left for it, if it is long.
func TestMessagesHaveTheirLength(t *testing.T) {
	for _, n := range []int{0, 1, 127, 128, 1<<14 - 1, 1 << 14, 1<<21 - 1, 1 << 21} {
		content := bytes.Repeat([]byte("0123456789abcdef"), n/16+1)[:n]
		b, outer := beginMessage([]byte("before"), 1)
		b, inner := beginMessage(b, 2)
		b = endMessage(endMessage(append(b, content...), inner), outer)
		want := protowire.AppendBytes(protowire.AppendTag(nil, 2, protowire.BytesType), content)
		want = protowire.AppendBytes(protowire.AppendTag([]byte("before"), 1, protowire.BytesType), want)
		if !bytes.Equal(b, want) {
			t.Errorf("a message of %d bytes is not as protobuf writes it", n)
		}
	}
}
