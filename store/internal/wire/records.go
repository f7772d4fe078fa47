package wire

import (
	"errors"
	"strconv"
	"strings"

	"parley/store"
)

// EncodeSummary is a conversation's entry in the list of its owner: what a list
// shows, in a form that a script can put together without knowing JSON. The
// step stands last because it alone is free text.
func EncodeSummary(created, updated, status, turns, step string) string {
	return strings.Join([]string{Version, created, updated, status, turns, step}, " ")
}

// DecodeSummary reads an entry of EncodeSummary.
func DecodeSummary(o store.Owner, id, s string) (store.Conversation, error) {
	part := strings.SplitN(s, " ", 6)
	if len(part) != 6 {
		return store.Conversation{}, errors.New("wire: summary")
	}
	f := map[string]string{
		FieldVersion: part[0], FieldTenant: o.Tenant, FieldUser: o.User,
		FieldCreated: part[1], FieldUpdated: part[2], FieldStatus: part[3], FieldTurns: part[4],
	}
	if part[5] != "" {
		f[FieldStep] = part[5]
	}
	return DecodeConversation(o, id, f)
}

// Record is what is kept of an idempotency key.
type Record struct {
	Fingerprint string
	Turn        int
	Done        bool
	First       int    // index in the message list of the first message of the completion
	Count       int    // how many messages it has
	Extra       string // Outcome.Extra
}

// Encode gives the stored form. Extra stands last because it is free text.
func (r Record) Encode() string {
	done := "0"
	if r.Done {
		done = "1"
	}
	return strings.Join([]string{
		r.Fingerprint, strconv.Itoa(r.Turn), done,
		strconv.Itoa(r.First), strconv.Itoa(r.Count), r.Extra,
	}, " ")
}

// errRecord is all that is said of an idempotency record that makes no sense.
var errRecord = errors.New("wire: idempotency record")

// DecodeRecord reads a record of Encode.
func DecodeRecord(s string) (Record, error) {
	part := strings.SplitN(s, " ", 6)
	if len(part) != 6 || !isFingerprint(part[0]) || part[2] != "0" && part[2] != "1" ||
		!isNumber(part[1]) || !isNumber(part[3]) || !isNumber(part[4]) || part[5] != "" && !isJSON(part[5]) {
		return Record{}, errRecord
	}
	return Record{
		Fingerprint: part[0], Turn: number(part[1]), Done: part[2] == "1",
		First: number(part[3]), Count: number(part[4]), Extra: part[5],
	}, nil
}
