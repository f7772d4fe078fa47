package wire

import (
	"bytes"
	"encoding/json"
	"math/bits"
	"strconv"
	"time"

	"parley/store"
)

// Numbers of a conversation's fields.
const (
	nVersion = iota
	nTenant
	nUser
	nCreated
	nUpdated
	nStatus
	nUpstream
	nTurns
	nWorkflow
	nStep
	nStepData
	nMetadata
	nCount
	nState
	nFence
	nToken
	nDone
	nInput
	nKey
	nUnheard
	nHeardAt
	nKeys
	nBytes
	nLast
	nKept
	nData
	nKeyed
	nMarks
	nEnded
	nListen
	nStop
	fieldCount
)

// Fields are all of a conversation, by number, but for its failures, of which there may
// be many.
var Fields = [fieldCount]string{
	nVersion: FieldVersion, nTenant: FieldTenant, nUser: FieldUser, nCreated: FieldCreated, nUpdated: FieldUpdated,
	nStatus: FieldStatus, nUpstream: FieldUpstream, nTurns: FieldTurns, nWorkflow: FieldWorkflow, nStep: FieldStep,
	nStepData: FieldStepData, nMetadata: FieldMetadata, nCount: FieldCount, nState: FieldState, nFence: FieldFence,
	nToken: FieldToken, nDone: FieldDone, nInput: FieldInput, nKey: FieldKey, nUnheard: FieldUnheard, nHeardAt: FieldHeardAt,
	nKeys: FieldKeys, nBytes: FieldBytes, nLast: FieldLast, nKept: FieldKept, nData: FieldData, nKeyed: FieldKeyed,
	nMarks: FieldMarks, nEnded: FieldEnded, nListen: FieldListen, nStop: FieldStop,
}

// numbers are those of Fields by name.
var numbers = func() map[string]int {
	m := make(map[string]int, fieldCount)
	for n, name := range Fields {
		m[name] = n
	}
	return m
}()

// Set is the fields of one conversation, as they are stored, but for its failures. The
// zero value has none. It keeps what it is given, without a copy: a page of
// conversations is read into one of them, field by field.
type Set struct {
	values [fieldCount][]byte
	there  uint32 // a bit for each number
}

// SetOf makes a Set of the fields in a map.
func SetOf(f map[string]string) *Set {
	var s Set
	for n, name := range Fields {
		if v, there := f[name]; there {
			s.PutAt(n, []byte(v))
		}
	}
	return &s
}

// Put adds a field. One that has no number is none of a Set.
func (s *Set) Put(name string, value []byte) {
	if n, known := numbers[name]; known {
		s.PutAt(n, value)
	}
}

// PutAt adds the n-th of Fields.
func (s *Set) PutAt(n int, value []byte) {
	s.values[n] = value
	s.there |= 1 << n
}

// Len is how many there are.
func (s *Set) Len() int { return bits.OnesCount32(s.there) }

func (s *Set) has(n int) bool { return s.there>>n&1 == 1 }

// number reads a number; a missing one is 0.
func (s *Set) number(n int) int {
	i, _ := strconv.Atoi(string(s.values[n]))
	return i
}

// Starting reports whether the conversation is being started, and not visible yet.
func (s *Set) Starting() bool { return string(s.values[nState]) == StateStarting }

// Bytes is the value of FieldBytes, 0 where nobody counted them.
func (s *Set) Bytes() int { return s.number(nBytes) }

// Marks are those of FieldMarks.
func (s *Set) Marks() Marks { return Marks{1, s.values[nMarks]} }

// Counts are how many messages and idempotency records the fields speak of; of the
// records -1 where nobody counted them.
func (s *Set) Counts() (messages, records int) {
	records = -1
	if s.has(nKeys) {
		records = s.number(nKeys)
	}
	return s.number(nCount), records
}

// Decode reads a conversation's fields, which are judged first: a field that makes no
// sense is an error, as is a record of another owner.
//
// The id is that of the key it was found under, and is not stored again.
func (s *Set) Decode(o store.Owner, id string) (store.Conversation, error) {
	if err := s.judge(o); err != nil {
		return store.Conversation{}, err
	}
	created, _ := parseTime(s.values[nCreated])
	updated := created
	if s.has(nUpdated) {
		updated, _ = parseTime(s.values[nUpdated])
	}
	c := store.Conversation{
		ID: id, Owner: o, CreatedAt: created, UpdatedAt: updated,
		Status:     store.StatusActive,
		UpstreamID: string(s.values[nUpstream]),
		Turns:      s.number(nTurns),
		Workflow: store.Workflow{
			ID: string(s.values[nWorkflow]), CurrentStep: string(s.values[nStep]),
			StepData: copied(s.values[nStepData]), Metadata: copied(s.values[nMetadata]),
		},
	}
	if s.has(nStatus) {
		c.Status = statusOf(s.values[nStatus])
	}
	if string(s.values[nState]) == StateRunning {
		c.PendingTurn = c.Turns
	}
	return c, nil
}

// copied is JSON that a caller may change; nil for none.
func copied(b []byte) json.RawMessage {
	if len(b) == 0 {
		return nil
	}
	return bytes.Clone(b)
}

// statusOf is a status, without a copy of the text of one that is valid.
func statusOf(b []byte) store.Status {
	switch string(b) {
	case string(store.StatusActive):
		return store.StatusActive
	case string(store.StatusCompleted):
		return store.StatusCompleted
	case string(store.StatusAbandoned):
		return store.StatusAbandoned
	}
	return store.Status(b)
}

// parseTime reads a time in timeLayout, the one form in which strings order as the times
// do.
func parseTime(b []byte) (t time.Time, ok bool) {
	const form = "dddd-dd-ddTdd:dd:dd.dddZ"
	if len(b) != len(form) {
		return t, false
	}
	for i, c := range b {
		if f := form[i]; f == 'd' && (c < '0' || c > '9') || f != 'd' && c != f {
			return t, false
		}
	}
	at := func(from, to int) (n int) {
		for _, c := range b[from:to] {
			n = 10*n + int(c-'0')
		}
		return n
	}
	year, month, day := at(0, 4), time.Month(at(5, 7)), at(8, 10)
	hour, minute, second := at(11, 13), at(14, 16), at(17, 19)
	if hour > 23 || minute > 59 || second > 59 {
		return t, false
	}
	t = time.Date(year, month, day, hour, minute, second, at(20, 23)*int(time.Millisecond), time.UTC)
	y, m, d := t.Date() // another one if there is no such day
	return t, y == year && m == month && d == day
}
