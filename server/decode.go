package server

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"mime"
	"net/http"
	"slices"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/go-json-experiment/json/jsontext"
)

const (
	maxBody  = 256 << 10
	maxDepth = 64

	mimeJSON = "application/json"
)

// readBody reads the whole JSON body first, so that nothing is done for a request
// whose end is malformed. The result is empty only if the request has no body; then
// the content type does not matter.
func readBody(w http.ResponseWriter, r *http.Request) ([]byte, error) {
	if r.ContentLength > maxBody {
		return nil, errTooLarge
	}
	if r.Body == nil || r.Body == http.NoBody {
		return nil, nil
	}
	body, err := readAll(w, r)
	if _, ok := errors.AsType[*http.MaxBytesError](err); ok {
		return nil, errTooLarge
	}
	if err != nil {
		// Not the context's error, although net/http cancels it now: half a body may
		// also come from a client that is still connected, slow or broken.
		return nil, invalid(reasonBodyIncomplete, "body", "ended early")
	}
	if len(body) == 0 {
		return nil, nil
	}
	return body, checkType(r.Header)
}

// readAll reads a body. One that says how long it is ends there, or too early.
func readAll(w http.ResponseWriter, r *http.Request) ([]byte, error) {
	if r.ContentLength < 0 {
		return io.ReadAll(http.MaxBytesReader(w, r.Body, maxBody))
	}
	body := make([]byte, r.ContentLength)
	_, err := io.ReadFull(r.Body, body)
	return body, err
}

// checkType reports a body that is not declared as JSON in UTF-8. Being strict also
// blocks cross-site form posts, which cannot send this type.
func checkType(h http.Header) error {
	wrong := func(reason Reason) error { return &requestError{kind: errMediaType, reason: reason} }
	types := h.Values("Content-Type")
	switch {
	case h.Get("Content-Encoding") != "":
		return wrong(reasonEncoding)
	case len(types) == 0:
		return wrong(reasonTypeMissing)
	}
	if len(types) == 1 && types[0] == mimeJSON { // as nearly always
		return nil
	}
	media, params, err := mime.ParseMediaType(types[0])
	charset, has := params["charset"]
	switch {
	case len(types) > 1, err != nil, media != mimeJSON:
		return wrong(reasonTypeOther)
	case has && !strings.EqualFold(charset, "utf-8"):
		return wrong(reasonCharset)
	}
	return nil
}

// object is a JSON object split into its known members.
type object struct {
	path   string // where it stands in the body, "" for the body itself
	fields []member
}

// member is one of an object, as it was sent. Its value is a part of the body.
type member struct {
	name  string
	value json.RawMessage
}

// parseBody reads a body as one JSON object. Package encoding/json accepts names in
// any case, the last of two equal members, and invalid UTF-8. Each of these lets
// two readers of one request disagree about what it says.
func parseBody(body []byte, known ...string) (object, error) {
	if len(body) == 0 {
		return object{}, invalid(reasonBodyMissing, "body", "is missing")
	}
	if !utf8.Valid(body) {
		return object{}, invalid(reasonBodyNotUTF8, "body", "is not valid UTF-8")
	}
	if tooDeep(body) {
		return object{}, invalid(reasonBodyTooDeep, "body", fmt.Sprintf("nests deeper than %d levels", maxDepth))
	}
	o, err := parseObject("", body, known...)
	if err != nil && !json.Valid(body) { // what is wrong with the object may not be all
		return object{}, invalid(reasonBodyNotJSON, "body", "is not one JSON value")
	}
	return o, err
}

// parseObject splits a JSON object into members. Unknown members are skipped; a known
// one may occur once. Without an error, raw was one valid JSON value.
func parseObject(path string, raw json.RawMessage, known ...string) (object, error) {
	o := object{path: path, fields: make([]member, 0, len(known))}
	dec := newDecoder(raw)
	if first, err := dec.ReadToken(); err != nil || first.Kind() != jsontext.KindBeginObject {
		return object{}, invalid(reasonFieldType, o.whole(), "must be an object")
	}
	for dec.PeekKind() == jsontext.KindString {
		name, err := dec.ReadToken()
		if err != nil {
			return object{}, invalid(reasonBodyNotJSON, o.whole(), "is malformed")
		}
		key := name.String()
		value, err := dec.ReadValue()
		if err != nil {
			return object{}, invalid(reasonBodyNotJSON, o.whole(), "is malformed")
		}
		if !slices.Contains(known, key) {
			continue
		}
		if o.has(key) {
			return object{}, invalid(reasonFieldTwice, o.at(key), "occurs twice")
		}
		end := int(dec.InputOffset())
		o.fields = append(o.fields, member{key, raw[end-len(value) : end]}) // value is the decoder's own
	}
	_, err := dec.ReadToken() // the end of the object
	if err == nil {
		_, err = dec.ReadToken()
	}
	if !errors.Is(err, io.EOF) {
		return object{}, invalid(reasonBodyNotJSON, o.whole(), "is malformed")
	}
	return o, nil
}

// newDecoder reads JSON. The decoder of package json takes seven times as long and
// 28 allocations more.
func newDecoder(raw json.RawMessage) *jsontext.Decoder {
	return jsontext.NewDecoder(bytes.NewBuffer(raw), jsontext.AllowDuplicateNames(true), jsontext.AllowInvalidUTF8(true))
}

// at is the path of a member, for error messages.
func (o object) at(name string) string {
	if o.path == "" {
		return name
	}
	return o.path + "." + name
}

// whole is the name of the object itself.
func (o object) whole() string {
	if o.path == "" {
		return "body"
	}
	return o.path
}

// has reports whether a member is present.
func (o object) has(name string) bool {
	_, ok := o.raw(name)
	return ok
}

// raw returns a member as it was sent.
func (o object) raw(name string) (value json.RawMessage, ok bool) {
	for i := range o.fields {
		if o.fields[i].name == name {
			return o.fields[i].value, true
		}
	}
	return nil, false
}

// string returns a required member that must be a string.
func (o object) string(name string) (string, error) {
	raw, ok := o.raw(name)
	if !ok {
		return "", invalid(reasonFieldMissing, o.at(name), "is missing")
	}
	// A null would leave s empty without an error.
	if raw[0] != '"' {
		return "", invalid(reasonFieldType, o.at(name), "must be a string")
	}
	if bytes.IndexByte(raw, '\\') < 0 { // as most: worth the short way
		return string(raw[1 : len(raw)-1]), nil
	}
	var s string
	if json.Unmarshal(raw, &s) != nil {
		return "", invalid(reasonFieldType, o.at(name), "must be a string")
	}
	return s, nil
}

// text returns a required string that is not blank, has at most limit characters and
// no NUL, which other programs take for the end of a string. Characters are code
// points, as in JSON Schema. A limit in bytes would allow less text in some languages
// than in others.
func (o object) text(name string, limit int) (string, error) {
	s, err := o.string(name)
	switch {
	case err != nil:
		return "", err
	case strings.TrimFunc(s, isSpace) == "":
		return "", invalid(reasonFieldEmpty, o.at(name), "must not be empty")
	case utf8.RuneCountInString(s) > limit:
		return "", invalid(reasonFieldTooLong, o.at(name), fmt.Sprintf("must not be longer than %d characters", limit))
	case strings.ContainsRune(s, 0):
		return "", invalid(reasonFieldForm, o.at(name), "must not contain NUL")
	}
	return s, nil
}

// isSpace is what the document's patterns take for a space: what JavaScript does,
// and the next-line character.
func isSpace(r rune) bool { return unicode.IsSpace(r) || r == '\ufeff' }

// object returns a required member that must be an object, as it was sent.
func (o object) object(name string) (json.RawMessage, error) {
	raw, ok := o.raw(name)
	switch {
	case !ok:
		return nil, invalid(reasonFieldMissing, o.at(name), "is missing")
	case raw[0] != '{':
		return nil, invalid(reasonFieldType, o.at(name), "must be an object")
	}
	return raw, nil
}

// strings returns a member that is a list of strings, nil when it is absent.
func (o object) strings(name string) ([]string, error) {
	raw, ok := o.raw(name)
	if !ok {
		return nil, nil
	}
	var items []*string
	if raw[0] != '[' || json.Unmarshal(raw, &items) != nil || slices.Contains(items, nil) {
		return nil, invalid(reasonFieldType, o.at(name), "must be a list of strings")
	}
	list := make([]string, 0, len(items))
	for _, s := range items {
		if strings.ContainsRune(*s, 0) {
			return nil, invalid(reasonFieldForm, o.at(name), "must not contain NUL")
		}
		list = append(list, *s)
	}
	return list, nil
}

// tooDeep reports whether brackets outside of strings nest deeper than
// maxDepth. It runs before any parser that recurses.
func tooDeep(b []byte) bool {
	depth, quoted := 0, false
	for i := 0; i < len(b); i++ {
		switch c := b[i]; {
		case quoted && c == '\\':
			i++
		case c == '"':
			quoted = !quoted
		case quoted:
		case c == '{' || c == '[':
			if depth++; depth > maxDepth {
				return true
			}
		case c == '}' || c == ']':
			depth--
		}
	}
	return false
}
