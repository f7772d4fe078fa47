// Package wire is the stored form of conversations: the one schema that both
// backends keep, so that the easy one cannot be kinder than the real one. It is
// versioned; golden files hold one record of every generation.
//
// A conversation is a hash of the Field… names below, and a list with one
// element per message. Times are ISO 8601 in UTC with milliseconds. The scripts
// of the Redis backend name the same fields; the contract suite, which compares
// what both backends return, is what keeps the two from drifting.
package wire

import (
	"crypto/rand"
	"crypto/sha256"
	"encoding/base32"
	"encoding/base64"
	"encoding/binary"
	"encoding/json"
	"errors"
	"sort"
	"strconv"
	"strings"
	"time"

	jsonv1 "github.com/go-json-experiment/json/v1"

	"parley/store"
)

// Version is the generation that this package writes. It reads that and the
// legacy flat JSON (see DecodeLegacy).
const Version = "1"

// Fields of a conversation's hash.
const (
	FieldVersion    = "v"
	FieldTenant     = "tenantId"
	FieldUser       = "userId"
	FieldCreated    = "createdAt"
	FieldUpdated    = "updatedAt"
	FieldStatus     = "status"
	FieldEnded      = "ended" // EndedByAgent while the agent's end, and nobody else, has completed it
	FieldUpstream   = "upstreamId"
	FieldTurns      = "turns"
	FieldWorkflow   = "workflowId"
	FieldStep       = "currentStep"
	FieldStepData   = "stepData"
	FieldMetadata   = "metadata"
	FieldCount      = "n"       // elements of the message list
	FieldState      = "state"   // of the last turn: one of the State… values
	FieldFence      = "fence"   // counts the begins
	FieldToken      = "token"   // of the last begin
	FieldDone       = "done"    // token of the turn that completed last
	FieldInput      = "fp"      // fingerprint of the last turn's input
	FieldKey        = "key"     // KeyTag of the last turn, empty if it came without one
	FieldUnheard    = "unheard" // Record of the last turn, if its caller was told that it failed
	FieldHeardAt    = "heardAt" // when that was given for the first time, Unix milliseconds
	FieldKeys       = "keys"    // how many entries there are beside the messages, see Record; missing where nobody counted
	FieldBytes      = "bytes"   // of all messages, as elements; missing in records of the first edition
	FieldLast       = "last"    // bytes of the last message, as an element, if that is large; missing in memory
	FieldKept       = "kept"    // bytes of what is kept beside the messages, see Record
	FieldData       = "sd"      // turn whose begin, or completion, set the step data; missing for 0
	FieldKeyed      = "kt"      // last turn that had a key, and whose begin set no step data or whose completion did
	FieldMarks      = "at"      // where the first turns begin, see Mark
	FieldListen     = "listen"  // until when somebody follows the last turn, Unix milliseconds
	FieldStop       = "stop"    // token of the turn that was asked to end
	FieldFailPrefix = "f"       // f3 = class: turn 3 failed
)

// EndedByAgent is the value of FieldEnded in a conversation that goes on with the next
// turn. Records from before this was kept do not say who completed them. They stay
// closed, so that nobody's own closing is undone by a guess.
const EndedByAgent = "1"

// States of a conversation's last turn.
const (
	StateStarting = "starting" // of a new conversation: not visible yet
	StateRunning  = "running"
	StateDone     = "done"
	StateFailed   = "failed"
)

const timeLayout = "2006-01-02T15:04:05.000Z"

// Time formats t as it is stored. Strings of it order as the times do.
func Time(t time.Time) string { return t.UTC().Format(timeLayout) }

// Millis is t cut to the precision that is stored.
func Millis(t time.Time) time.Time { return t.UTC().Truncate(time.Millisecond) }

// OwnerTag is the part of every key that names the owner: a digest, so that no
// personal datum stands in a key and no character of an id can break a Redis
// hash tag. Lengths are mixed in so that ("ab","c") and ("a","bc") differ.
//
// It is made for each call of a store, and allocates its result alone where the ids are
// as short as ids of directories are.
func OwnerTag(o store.Owner) string {
	text := make([]byte, 0, 128)
	for _, part := range [...]string{o.Tenant, o.User} {
		text = binary.BigEndian.AppendUint64(text, uint64(len(part)))
		text = append(text, part...)
	}
	sum := sha256.Sum256(text)
	var tag [2 * sha256.Size]byte // has room for all
	lowerBase32.Encode(tag[:], sum[:])
	return string(tag[:26])
}

// lowerBase32 is base32 (RFC 4648, section 6) in small letters.
var lowerBase32 = base32.NewEncoding("abcdefghijklmnopqrstuvwxyz234567")

// KeyTag is the stored name of a begin's idempotency key; empty for none. Clients
// put anything into keys, so only the digest is kept. The key of a start has a
// name of its own, because a client may use the same for a turn.
func KeyTag(b store.Begin) string {
	if b.Key == "" {
		return ""
	}
	scoped := b.Key
	if b.New {
		scoped = "\x00" + b.Key // which no key has
	}
	sum := sha256.Sum256([]byte(scoped))
	return base64.RawURLEncoding.EncodeToString(sum[:16])
}

// NewToken makes the token of a begin: 72 random bits, which only have to be
// unique within a conversation; short because each keeps two.
func NewToken() string {
	var b [9]byte
	_, _ = rand.Read(b[:]) // never fails
	var text [12]byte      // EncodeToString would allocate one as well
	base64.RawURLEncoding.Encode(text[:], b[:])
	return string(text[:])
}

// NewFields are the fields of a conversation that is being started, but for the
// times: those are the business of who has the clock.
func NewFields(b store.Begin) map[string]string {
	return map[string]string{
		FieldVersion: Version,
		FieldTenant:  b.Owner.Tenant,
		FieldUser:    b.Owner.User,
		FieldStatus:  string(store.StatusActive),
		FieldTurns:   "0",
		FieldCount:   "0",
	}
}

// WorkflowFields are the fields that w sets, without its empty ones.
func WorkflowFields(w store.Workflow) map[string]string {
	f := make(map[string]string, 4)
	for name, value := range map[string]string{
		FieldWorkflow: w.ID, FieldStep: w.CurrentStep,
		FieldStepData: string(w.StepData), FieldMetadata: string(w.Metadata),
	} {
		if value != "" {
			f[name] = value
		}
	}
	return f
}

// Workflow reads the workflow out of a conversation's fields.
func Workflow(f map[string]string) store.Workflow {
	return store.Workflow{
		ID: f[FieldWorkflow], CurrentStep: f[FieldStep],
		StepData: raw(f[FieldStepData]), Metadata: raw(f[FieldMetadata]),
	}
}

func raw(s string) json.RawMessage {
	if s == "" {
		return nil
	}
	return json.RawMessage(s)
}

// DecodeConversation is Decode of the fields in a map, with the failures among them.
func DecodeConversation(o store.Owner, id string, f map[string]string) (store.Conversation, error) {
	c, err := SetOf(f).Decode(o, id)
	if err != nil {
		return store.Conversation{}, err
	}
	for name, class := range f {
		if n, ok := failedTurn(name); ok {
			c.Failures = append(c.Failures, store.TurnFailure{Turn: n, Class: class})
		}
	}
	sort.Slice(c.Failures, func(i, j int) bool { return c.Failures[i].Turn < c.Failures[j].Turn })
	return c, nil
}

func failedTurn(field string) (int, bool) {
	digits, ok := strings.CutPrefix(field, FieldFailPrefix)
	if !ok {
		return 0, false
	}
	n, err := strconv.Atoi(digits)
	return n, err == nil
}

// errMessage is all that is said of a message that does not decode.
var errMessage = errors.New("wire: message")

// message is the JSON of a list element. The turn stands before it, because
// only the store knows the number when the element is appended.
type message struct {
	store.Message
	Turn *int `json:"turn,omitempty"` // shadows Message.Turn, so that it is not written twice
}

// EncodeMessage gives a message's JSON without its turn; see Element.
func EncodeMessage(m store.Message) (string, error) {
	b, err := appendMessage(make([]byte, 0, messageSize+len(m.Text)), &m)
	return string(b), err
}

// messageSize is about how many bytes a message of text takes, without the text.
const messageSize = 128

func appendMessage(b []byte, m *store.Message) ([]byte, error) {
	if all, ok := appendPlain(b, m); ok {
		return all, nil
	}
	encoded, err := json.Marshal(message{Message: *m})
	if err != nil {
		return nil, errMessage
	}
	return append(b, encoded...), nil
}

// Element is an element of the message list.
func Element(turn int, encoded string) string { return strconv.Itoa(turn) + " " + encoded }

// ElementTurn is the turn of a list element, -1 if it has none.
func ElementTurn(element string) int {
	number, _, _ := strings.Cut(element, " ")
	n, err := strconv.Atoi(number)
	if err != nil || n < 0 {
		return -1
	}
	return n
}

// DecodeElement reads an element of the message list.
func DecodeElement(element string) (store.Message, error) {
	number, encoded, ok := strings.Cut(element, " ")
	turn, err := strconv.Atoi(number)
	if !ok || err != nil || turn < 0 {
		return store.Message{}, errMessage
	}
	m, ok := plain(encoded)
	if !ok {
		var decoded message
		// The package json of Go 1.27 takes a fourth of the time and means the same.
		if jsonv1.Unmarshal([]byte(encoded), &decoded) != nil {
			return store.Message{}, errMessage
		}
		m = decoded.Message
	}
	m.Turn = turn
	if err := checkMessage(&m); err != nil {
		return store.Message{}, err
	}
	return m, nil
}

func checkMessage(m *store.Message) error {
	if m.ID == "" || (m.Role != store.RoleUser && m.Role != store.RoleAssistant) ||
		(m.Kind != store.KindText && m.Kind != store.KindCard) {
		return errMessage
	}
	return nil
}

// Bytes is how many bytes elements have.
func Bytes(elements []string) int {
	n := 0
	for _, e := range elements {
		n += len(e)
	}
	return n
}

// DecodeElements reads a part of the message list.
func DecodeElements(elements []string) ([]store.Message, error) {
	out := make([]store.Message, 0, len(elements))
	for _, e := range elements {
		m, err := DecodeElement(e)
		if err != nil {
			return nil, err
		}
		out = append(out, m)
	}
	return out, nil
}
