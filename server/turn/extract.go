package turn

import (
	"bytes"
	"encoding/json"
	"strings"

	"parley/server/copilot"
	"parley/store"
)

// Bounds of the search for JSON in text. An object may begin at each brace, and each
// attempt may read to the end, so the search is quadratic without them.
const (
	maxSearched = 256 << 10
	maxTries    = 32
)

// payloadOf finds the data in an activity, nil if there is none. The activity's value
// has high confidence, its entities medium, JSON in its text low.
func payloadOf(m copilot.Message) *store.Payload {
	if data := members(m.Value); data != nil {
		return &store.Payload{Source: "value", Confidence: "high", Data: data}
	}
	if data := mergeEntities(m.Entities); data != nil {
		return &store.Payload{Source: "entities", Confidence: "medium", Data: data}
	}
	if data := jsonIn(m.Text); data != nil {
		return &store.Payload{Source: "text", Confidence: "low", Data: data}
	}
	return nil
}

// members returns raw on one line if it is an object with at least one member, else
// nil.
func members(raw json.RawMessage) json.RawMessage {
	if len(raw) == 0 { // as in most messages
		return nil
	}
	var object map[string]json.RawMessage
	if json.Unmarshal(raw, &object) != nil || len(object) == 0 {
		return nil
	}
	var b bytes.Buffer
	if raw = copilot.CleanJSON(raw); json.Compact(&b, raw) != nil {
		return nil
	}
	return b.Bytes()
}

// noData reports whether an entity of this type only describes the message:
// streaming, citations, the AI-generated label, the agent's reasoning, mentions.
func noData(kind string) bool {
	switch strings.ToLower(kind) {
	case "streaminfo", "https://schema.org/message", "thought", "toolcall", "clientinfo", "mention", "productinfo":
		return true
	}
	return false
}

// mergeEntities merges the members of all data entities into one object, without
// their types. Of two members with the same name the later one wins.
func mergeEntities(entities []json.RawMessage) json.RawMessage {
	if len(entities) == 0 { // as most
		return nil
	}
	merged := map[string]json.RawMessage{}
	for _, raw := range entities {
		var entity map[string]json.RawMessage
		if json.Unmarshal(raw, &entity) != nil {
			continue
		}
		var kind string
		if json.Unmarshal(entity["type"], &kind) == nil && noData(kind) {
			continue
		}
		delete(entity, "type")
		for name, value := range entity {
			merged[name] = value
		}
	}
	if len(merged) == 0 {
		return nil
	}
	b, err := EncodeJSON(merged) // sorts the names
	if err != nil {
		return nil
	}
	return bytes.TrimSpace(b)
}

// jsonIn finds a JSON object with members in text: first in a fence marked json, then
// anywhere.
func jsonIn(text string) json.RawMessage {
	if len(text) > maxSearched {
		return nil
	}
	const fence = "```"
	for rest, tries := text, 0; tries < maxTries; tries++ {
		_, after, open := strings.Cut(rest, fence)
		block, next, closed := strings.Cut(after, fence)
		if !open || !closed {
			break
		}
		if len(block) >= 4 && strings.EqualFold(block[:4], "json") {
			if data := members(json.RawMessage(strings.TrimSpace(block[4:]))); data != nil {
				return data
			}
		}
		rest = next
	}
	for rest, tries := text, 0; tries < maxTries; tries++ {
		at := strings.IndexByte(rest, '{')
		if at < 0 {
			return nil
		}
		rest = rest[at:]
		var raw json.RawMessage
		dec := json.NewDecoder(strings.NewReader(rest))
		if dec.Decode(&raw) != nil {
			rest = rest[1:]
			continue
		}
		if data := members(raw); data != nil {
			return data
		}
		rest = rest[dec.InputOffset():]
	}
	return nil
}
