package turn

import "parley/store"

const (
	// messageOverhead is what the stored form of a message has beside its texts, at most.
	messageOverhead = 256
	// minMessage is the least that a message counts, so that an answer of many small
	// ones keeps the store no longer than one of a few large ones.
	minMessage = 1 << 10
)

// size is at least how many bytes a part of an answer takes in its stored form. It is
// computed without encoding anything, because it is asked for every activity.
func (s said) size() int {
	n := payloadSize(s.payload)
	for _, m := range s.messages {
		n += max(minMessage, messageOverhead+jsonSize(m.Text)+len(m.CardJSON)+jsonSize(m.CardID)+payloadSize(m.ExtractedPayload)+len(m.AgentError)+len(m.TraceID))
	}
	return n
}

func payloadSize(p *store.Payload) int {
	if p == nil {
		return 0
	}
	return len(p.Data)
}

// jsonSize is at least the length of a string in JSON, where a character that is
// escaped takes up to six bytes.
func jsonSize(s string) int {
	n := len(s)
	for i := range len(s) {
		switch c := s[i]; {
		case c == '"', c == '\\':
			n++
		case c < ' ', c == '<', c == '>', c == '&':
			n += 5
		case c == 0xE2: // which begins the line separators
			n += 3
		}
	}
	return n
}
