package copilot

import (
	"encoding/json"
	"strings"
)

// Attachment is something beside a message's text.
type Attachment struct {
	ContentType string          // media type, as the agent wrote it
	Content     json.RawMessage // empty when the attachment is by URL, or nests too deep
	Name        string          // of a file
	URL         string          // of what is not in Content; not to be trusted
	// Title and Text are what a card of another kind than an Adaptive Card says.
	Title, Text string
}

const cardPrefix = "application/vnd.microsoft.card."

// Label names the kind of an attachment in words, such as "sign-in card".
func (a Attachment) Label() string {
	media, _, _ := strings.Cut(a.ContentType, ";")
	media = strings.ToLower(strings.TrimSpace(media))
	if kind, ok := strings.CutPrefix(media, cardPrefix); ok {
		switch kind {
		case "oauth", "signin":
			return "sign-in card"
		case "hero", "thumbnail", "receipt", "audio", "video", "animation":
			return kind + " card"
		}
		return "card"
	}
	switch kind, _, _ := strings.Cut(media, "/"); kind {
	case "image", "audio", "video":
		return kind
	}
	return "file"
}

// Placeholder is a text to show instead of attachments that cannot be shown: what
// each is and says, a line each. It is empty for none.
func Placeholder(attachments []Attachment) string {
	var lines []string
	for _, a := range attachments {
		line := "[" + a.Label() + " that cannot be shown here]"
		for _, say := range []string{a.Name, a.Title, a.Text} {
			if say = strings.TrimSpace(say); say != "" {
				line += " " + say
			}
		}
		lines = append(lines, line)
	}
	return strings.Join(lines, "\n\n")
}

// wireAttachment is the JSON form.
type wireAttachment struct {
	ContentType lax[string]     `json:"contentType"`
	Content     json.RawMessage `json:"content"`
	Name        lax[string]     `json:"name"`
	URL         lax[string]     `json:"contentUrl"`
}

// readAttachments decodes a list of attachments and leaves out what is none. It
// is false for anything but a list.
func readAttachments(raw json.RawMessage) ([]Attachment, bool) {
	if blank(raw) {
		return nil, true
	}
	var list []json.RawMessage
	if json.Unmarshal(raw, &list) != nil {
		return nil, false
	}
	var all []Attachment
	for _, raw := range list {
		var w wireAttachment
		if !isObject(raw) || json.Unmarshal(raw, &w) != nil {
			continue
		}
		a := Attachment{ContentType: w.ContentType.v, Name: w.Name.v, URL: w.URL.v}
		if !blank(w.Content) {
			a.Content = CleanJSON(w.Content)
		}
		if a.Label() != "card" { // an Adaptive Card says what it says in its elements
			var says struct {
				Title lax[string] `json:"title"`
				Text  lax[string] `json:"text"`
			}
			if isObject(a.Content) && json.Unmarshal(a.Content, &says) == nil {
				a.Title, a.Text = says.Title.v, says.Text.v
			}
		}
		all = append(all, a)
	}
	return all, true
}
