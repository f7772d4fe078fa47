package wire

import (
	"bytes"
	"encoding/json"
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

var errSummary = errors.New("wire: summary")

// DecodeSummary reads an entry of EncodeSummary.
func DecodeSummary(o store.Owner, id string, summary []byte) (store.Conversation, error) {
	var part [5][]byte
	for i := range part {
		var ok bool
		if part[i], summary, ok = bytes.Cut(summary, []byte{' '}); !ok {
			return store.Conversation{}, errSummary
		}
	}
	created, known := parseTime(part[1])
	updated, dated := parseTime(part[2])
	if string(part[0]) != Version || !known || !dated || !isStatus(part[3]) || !isNumber(part[4]) {
		return store.Conversation{}, errSummary
	}
	return store.Conversation{
		ID: id, Owner: o, CreatedAt: created, UpdatedAt: updated, Status: statusOf(part[3]), Turns: number(string(part[4])),
		Workflow: store.Workflow{CurrentStep: string(summary)},
	}, nil
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
	if len(part) != 6 || !isFingerprint([]byte(part[0])) || part[2] != "0" && part[2] != "1" ||
		!isNumber([]byte(part[1])) || !isNumber([]byte(part[3])) || !isNumber([]byte(part[4])) || part[5] != "" && !json.Valid([]byte(part[5])) {
		return Record{}, errRecord
	}
	return Record{
		Fingerprint: part[0], Turn: number(part[1]), Done: part[2] == "1",
		First: number(part[3]), Count: number(part[4]), Extra: part[5],
	}, nil
}
