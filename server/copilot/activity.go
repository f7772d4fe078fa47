package copilot

import (
	"bytes"
	"encoding/json"
	"errors"
	"slices"
	"strconv"
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

// wireActivity is the JSON form. Raw JSON in it is a part of what was read.
type wireActivity struct {
	kind, id, conversation                   string
	role, text, value, entities, attachments []byte // nil if missing
	channel                                  wireStream
}

// wireStream is stream information, as an entity or in channelData.
type wireStream struct {
	kind       string // of the entity
	id         string
	streamKind string
	seq        int
	chunkKind  string
	cites      bool
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

// decodeActivity reads one activity. The error does not repeat any of it, and raw JSON is
// a copy: it outlives the read buffer.
func decodeActivity(b []byte) (activity, error) {
	if !validJSON(b) || !isObject(b) {
		return activity{}, errBadActivity
	}
	w := readActivity(b)
	a := activity{kind: w.kind, id: w.id, conversation: w.conversation, fromBot: isBot(w.role)}
	if a.kind == "" {
		return activity{}, errBadActivity
	}
	if !blank(w.text) {
		var ok bool
		if a.text, ok = decodeText(w.text); !ok {
			return activity{}, errBadActivity
		}
	}
	var ok bool
	if a.attachments, ok = readAttachments(w.attachments); !ok {
		return activity{}, errBadActivity
	}
	if !blank(w.value) {
		a.value = CleanJSON(bytes.Clone(w.value))
	}
	a.readEntities(w.entities, w.channel)
	return a, nil
}

// readActivity finds what is needed of an activity. Of a name that comes twice the last
// value counts, but for a value of the wrong kind where a text is not wanted.
func readActivity(b []byte) (w wireActivity) {
	for member, v := range members(b) {
		switch nameOf(member, "type", "id", "text", "value", "channelData", "entities", "attachments", "conversation", "from") {
		case "type":
			w.kind, _ = decodeString(v)
		case "id":
			w.id, _ = decodeString(v)
		case "text":
			w.text = v
		case "value":
			w.value = v
		case "channelData":
			if isObject(v) {
				w.channel = readStream(v)
			}
		case "entities":
			if v[0] == '[' && !blank(v) {
				w.entities = v
			}
		case "attachments":
			w.attachments = v
		case "conversation":
			if isObject(v) {
				w.conversation = ""
				for member, v := range members(v) {
					if nameOf(member, "id") != "" {
						w.conversation, _ = decodeString(v)
					}
				}
			}
		case "from":
			if isObject(v) {
				w.role = nil
				for member, v := range members(v) {
					if nameOf(member, "role") != "" {
						w.role = v
					}
				}
			}
		}
	}
	return w
}

// readStream reads stream information out of an object.
func readStream(b []byte) (w wireStream) {
	for member, v := range members(b) {
		switch nameOf(member, "type", "streamId", "streamType", "streamSequence", "chunkType", "citation") {
		case "type":
			w.kind, _ = decodeString(v)
		case "streamId":
			w.id, _ = decodeString(v)
		case "streamType":
			w.streamKind, _ = decodeString(v)
		case "streamSequence":
			if n, err := strconv.Atoi(string(v)); err == nil {
				w.seq = n
			}
		case "chunkType":
			w.chunkKind, _ = decodeString(v)
		case "citation":
			if v[0] == '[' && !blank(v) {
				w.cites = false
				for range elements(v) {
					w.cites = true
					break
				}
			}
		}
	}
	return w
}

// readEntities keeps the entities that are one and reads what they say about
// the message. Stream information may stand in an entity, in channelData
// (older agents), or in parts in both.
func (a *activity) readEntities(entities []byte, channel wireStream) {
	var info wireStream
	if entities != nil {
		for raw := range elements(entities) {
			if !isObject(raw) {
				continue
			}
			e := readStream(raw)
			if e.kind == "" {
				continue
			}
			if clean := CleanJSON(bytes.Clone(raw)); clean != nil {
				a.entities = append(a.entities, clean)
			}
			switch {
			case strings.EqualFold(e.kind, "streaminfo"):
				info = e
			case e.cites:
				a.cited = true
			}
		}
	}
	a.stream = streamInfo{
		id:    first(info.id, channel.id),
		kind:  strings.ToLower(first(info.streamKind, channel.streamKind)),
		seq:   max(0, first(info.seq, channel.seq)),
		delta: strings.EqualFold(first(info.chunkKind, channel.chunkKind), "delta"),
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
	if len(text) >= maxErrorText*utf8.UTFMax || strings.IndexByte(text, ':') < 0 && !strings.Contains(text, "：") ||
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
	return slices.ContainsFunc(errorPhrases, func(phrase string) bool { return endsWith(text, phrase) })
}

// endsWith reports whether a text ends with a phrase, in any case. It compares from the
// end: nearly all differ in the last character.
func endsWith(text, phrase string) bool {
	for phrase != "" {
		_, n := utf8.DecodeLastRuneInString(text)
		_, m := utf8.DecodeLastRuneInString(phrase)
		if !strings.EqualFold(text[len(text)-n:], phrase[len(phrase)-m:]) {
			return false
		}
		text, phrase = text[:len(text)-n], phrase[:len(phrase)-m]
	}
	return true
}
