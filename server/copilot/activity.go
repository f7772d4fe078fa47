package copilot

import (
	"bytes"
	"encoding/json"
	"errors"
	"strings"
	"unicode/utf8"

	jsonv1 "github.com/go-json-experiment/json/v1"
)

// activity is what the client uses of one activity. Agents write them freely:
// a field that is missing, null, "" or [] means the same, and a field of the
// wrong kind counts as missing, but for those that carry the answer itself.
type activity struct {
	kind         string
	id           string
	conversation string
	fromBot      bool
	text         string // not yet valid UTF-8: see decodeText
	value        json.RawMessage
	entities     []json.RawMessage
	attachments  []Attachment
	stream       streamInfo
	cited        bool
}

// streamInfo says where an activity belongs in a text that is being written.
type streamInfo struct {
	id    string
	kind  string // informative, streaming, final; empty when the activity is no part of a stream
	seq   int    // from 1; 0 when not given
	delta bool   // text is what comes next, not all so far
}

const (
	kindMessage = "message"
	kindTyping  = "typing"
	kindEnd     = "endOfConversation"

	streamInformative = "informative"
	streamStreaming   = "streaming"
	streamFinal       = "final"
)

// wireActivity is the JSON form. Raw JSON in it is a copy: the decoder makes
// one, so it outlives the read buffer.
type wireActivity struct {
	Type         lax[string]     `json:"type"`
	ID           lax[string]     `json:"id"`
	Text         json.RawMessage `json:"text"`
	Value        json.RawMessage `json:"value"`
	ChannelData  lax[wireStream] `json:"channelData"`
	Entities     lax[rawList]    `json:"entities"`
	Attachments  json.RawMessage `json:"attachments"`
	Conversation lax[struct {
		ID lax[string] `json:"id"`
	}] `json:"conversation"`
	From lax[struct {
		Role json.RawMessage `json:"role"`
	}] `json:"from"`
}

type rawList = []json.RawMessage

// wireStream is stream information, as an entity or in channelData.
type wireStream struct {
	Type      lax[string]  `json:"type"`
	StreamID  lax[string]  `json:"streamId"`
	Kind      lax[string]  `json:"streamType"`
	Seq       lax[int]     `json:"streamSequence"`
	ChunkType lax[string]  `json:"chunkType"`
	Citation  lax[rawList] `json:"citation"`
}

// lax is a T that is zero when the JSON holds something else.
type lax[T any] struct{ v T }

// UnmarshalJSON implements json.Unmarshaler. It never fails.
func (l *lax[T]) UnmarshalJSON(b []byte) error {
	switch v := any(&l.v).(type) {
	case *string: // most fields: worth the short way
		*v, _ = decodeString(b)
		return nil
	default:
		var fresh T
		if !blank(b) && jsonv1.Unmarshal(b, &fresh) == nil {
			l.v = fresh
		}
		return nil
	}
}

// decodeString decodes a JSON string, and is false for anything else.
func decodeString(b []byte) (string, bool) {
	if len(b) < 2 || b[0] != '"' {
		return "", false
	}
	if plain := b[1 : len(b)-1]; bytes.IndexByte(plain, '\\') < 0 && utf8.Valid(plain) {
		return string(plain), true
	}
	var s string
	err := jsonv1.Unmarshal(b, &s)
	return s, err == nil
}

// Why an activity is left out.
var errBadActivity = errors.New("bad activity")

// decodeActivity reads one activity. The error does not repeat any of it. It uses the
// package json of Go 1.27, which takes half of the time and means the same.
func decodeActivity(b []byte) (activity, error) {
	var w wireActivity
	if jsonv1.Unmarshal(b, &w) != nil {
		return activity{}, errBadActivity
	}
	a := activity{kind: w.Type.v, id: w.ID.v, conversation: w.Conversation.v.ID.v, fromBot: isBot(w.From.v.Role)}
	if a.kind == "" {
		return activity{}, errBadActivity
	}
	if !blank(w.Text) {
		var ok bool
		if a.text, ok = decodeText(w.Text); !ok {
			return activity{}, errBadActivity
		}
	}
	var ok bool
	if a.attachments, ok = readAttachments(w.Attachments); !ok {
		return activity{}, errBadActivity
	}
	if !blank(w.Value) {
		a.value = CleanJSON(w.Value)
	}
	a.readEntities(w.Entities.v, w.ChannelData.v)
	return a, nil
}

// readEntities keeps the entities that are one and reads what they say about
// the message. Stream information may stand in an entity, in channelData
// (older agents), or in parts in both.
func (a *activity) readEntities(entities []json.RawMessage, channel wireStream) {
	var info wireStream
	for _, raw := range entities {
		var e wireStream
		if !isObject(raw) || jsonv1.Unmarshal(raw, &e) != nil || e.Type.v == "" {
			continue
		}
		if clean := CleanJSON(raw); clean != nil {
			a.entities = append(a.entities, clean)
		}
		switch {
		case strings.EqualFold(e.Type.v, "streaminfo"):
			info = e
		case len(e.Citation.v) > 0:
			a.cited = true
		}
	}
	a.stream = streamInfo{
		id:    first(info.StreamID.v, channel.StreamID.v),
		kind:  strings.ToLower(first(info.Kind.v, channel.Kind.v)),
		seq:   max(0, first(info.Seq.v, channel.Seq.v)),
		delta: strings.EqualFold(first(info.ChunkType.v, channel.ChunkType.v), "delta"),
	}
}

func first[T comparable](a, b T) T {
	var zero T
	if a != zero {
		return a
	}
	return b
}

// isBot reads a role: a name, or a number in exported conversations, where 0 is
// the agent. An activity without a role is the agent's.
func isBot(raw json.RawMessage) bool {
	if blank(raw) {
		return true
	}
	if name, ok := decodeString(raw); ok {
		return strings.EqualFold(name, "bot") || strings.EqualFold(name, "agent")
	}
	var number float64
	return jsonv1.Unmarshal(raw, &number) == nil && number == 0
}

// blank reports whether raw is missing, null, or an empty string or list.
func blank(raw json.RawMessage) bool {
	switch string(bytes.TrimSpace(raw)) {
	case "", "null", `""`, "[]":
		return true
	}
	return false
}

func isObject(raw json.RawMessage) bool {
	t := bytes.TrimSpace(raw)
	return len(t) > 0 && t[0] == '{'
}

// message is the activity as callers see it.
func (a *activity) message() Message {
	return Message{
		ID: a.id, FromBot: a.fromBot, Text: validText(a.text), Value: a.value,
		Entities: a.entities, Attachments: a.attachments,
	}
}

// errorCode is the platform's code in a text of the activity, else "".
func (a *activity) errorCode(text string) string {
	if !a.fromBot || a.cited {
		return ""
	}
	return errorCodeIn(text)
}

// isPiece reports whether the activity is part of a text that is being written
// and nothing else. Some agents send pieces as messages.
func (a *activity) isPiece() bool {
	return a.fromBot && a.stream.kind == streamStreaming &&
		(a.kind == kindTyping || a.kind == kindMessage && len(a.attachments) == 0 && a.value == nil && !a.cited)
}

// errorPhrases are the platform's words for a failure that it reports in ordinary words,
// in any case. A colon and the code follow. The English, Spanish and Japanese forms have
// been seen; the others follow from the languages that agents speak.
var errorPhrases = []string{"error code", "código de error", "エラー コード", "hata kodu", "code d'erreur", "code d’erreur", "fehlercode"}

const (
	// maxErrorCode is the longest code, in bytes.
	maxErrorCode = 64
	codeLetters  = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789_"
	spaces       = " \t\n\f\r"
)

// maxErrorText is how long a text that only reports an error can be. Longer
// ones are answers that happen to speak about error codes.
const maxErrorText = 1000

// errorCodeIn gives the code in a text that reports an error, else "". A regular
// expression for it takes twenty times as long, for most answers with a colon in them.
func errorCodeIn(text string) string {
	if len(text) >= maxErrorText*utf8.UTFMax || !strings.ContainsAny(text, ":：") ||
		utf8.RuneCountInString(text) >= maxErrorText {
		return ""
	}
	for i, r := range text {
		if r != ':' && r != '：' || !endsAsError(strings.TrimRight(text[:i], spaces)) {
			continue
		}
		after := strings.TrimLeft(text[i+utf8.RuneLen(r):], spaces)
		code := after[:len(after)-len(strings.TrimLeft(after, codeLetters))]
		if code != "" && len(code) <= maxErrorCode {
			return code
		}
	}
	return ""
}

// endsAsError reports whether a text ends with one of errorPhrases.
func endsAsError(text string) bool {
	for _, phrase := range errorPhrases {
		begin := len(text)
		for range utf8.RuneCountInString(phrase) { // in another case it may have another length
			_, n := utf8.DecodeLastRuneInString(text[:begin])
			begin -= n
		}
		if strings.EqualFold(text[begin:], phrase) {
			return true
		}
	}
	return false
}
