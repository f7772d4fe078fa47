package emulator

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"errors"
	"net/http"
	"net/url"
	"strings"
)

// input is a request's body. Fields that nobody knows are ignored, as the real
// service does.
type input struct {
	ConversationID string `json:"conversationId"`
	Locale         string `json:"locale"`
	Emit           *bool  `json:"emitStartConversationEvent"`
	Activity       struct {
		Type         string          `json:"type"`
		Text         string          `json:"text"`
		Locale       string          `json:"locale"`
		Value        json.RawMessage `json:"value"`
		Conversation struct {
			ID string `json:"id"`
		} `json:"conversation"`
	} `json:"activity"`

	isTurn bool
}

// decodeInput reads a body. A turn has an activity, a start has none; their
// URLs do not tell them apart.
func decodeInput(body []byte) (input, error) {
	var in input
	if len(bytes.TrimSpace(body)) == 0 {
		return in, errors.New("empty body")
	}
	var members map[string]json.RawMessage
	if err := json.Unmarshal(body, &members); err != nil {
		return in, err
	}
	if err := json.Unmarshal(body, &in); err != nil {
		return in, err
	}
	_, in.isTurn = members["activity"]
	if in.isTurn && in.Activity.Type == "" {
		return in, errors.New("activity without type")
	}
	return in, nil
}

func (in *input) describe(req *Request) {
	req.Kind, req.Locale = KindStart, in.Locale
	if in.isTurn {
		req.Kind, req.Locale = KindTurn, in.Activity.Locale
	}
	req.Silent = req.Kind == KindStart && in.Emit != nil && !*in.Emit
	req.Text = strings.Clone(in.Activity.Text[:min(len(in.Activity.Text), maxRemember)])
	if len(in.Activity.Value) <= maxRemember {
		req.Value = in.Activity.Value
	}
}

// conversationIn finds the conversation's id in the path: what follows the
// segment "conversations", if anything does. It is false for other paths.
func conversationIn(r *http.Request) (string, bool) {
	segments := strings.Split(strings.TrimRight(r.URL.EscapedPath(), "/"), "/")
	n := len(segments)
	switch {
	case segments[n-1] == "conversations":
		return "", true
	case n > 1 && segments[n-2] == "conversations":
		id, err := url.PathUnescape(segments[n-1])
		return id, err == nil
	}
	return "", false
}

// acceptsStream reports whether the caller can take events. Older clients
// cannot, and get one JSON document.
func acceptsStream(r *http.Request) bool {
	accept := r.Header.Get("Accept")
	return accept == "" || strings.Contains(accept, "text/event-stream") || strings.Contains(accept, "*/*")
}

// ownerOf tells callers apart by their tokens.
func ownerOf(token string) string {
	parts := strings.Split(token, ".")
	if len(parts) != 3 {
		return token
	}
	payload, err := base64.RawURLEncoding.DecodeString(parts[1])
	var claims struct {
		OID string `json:"oid"`
		Sub string `json:"sub"`
	}
	if err != nil || json.Unmarshal(payload, &claims) != nil {
		return token
	}
	return first(claims.OID, claims.Sub, token)
}
