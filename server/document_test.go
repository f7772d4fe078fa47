package server

import (
	"encoding/json"
	"fmt"
	"maps"
	"net/http"
	"slices"
	"strings"
	"testing"

	"go.yaml.in/yaml/v3"
)

// schema is a schema of the document, as far as requests use it.
type schema struct {
	Ref        string            `yaml:"$ref"`
	Type       any               `yaml:"type"`
	Format     string            `yaml:"format"`
	Pattern    string            `yaml:"pattern"`
	Enum       []string          `yaml:"enum"`
	MinLength  *int              `yaml:"minLength"`
	MaxLength  *int              `yaml:"maxLength"`
	Minimum    *int              `yaml:"minimum"`
	Maximum    *int              `yaml:"maximum"`
	Required   []string          `yaml:"required"`
	Properties map[string]schema `yaml:"properties"`
	Items      *schema           `yaml:"items"`
}

type parameter struct {
	Ref      string `yaml:"$ref"`
	Name, In string
	Schema   schema
}

type operation struct {
	OperationID string      `yaml:"operationId"`
	Parameters  []parameter `yaml:"parameters"`
	RequestBody struct {
		Content map[string]struct{ Schema schema }
	} `yaml:"requestBody"`
}

// document is what openapi.yaml says of requests.
type document struct {
	Paths      map[string]map[string]yaml.Node
	Components struct {
		Schemas    map[string]schema
		Parameters map[string]parameter
	}
}

func (d *document) schema(s schema) schema {
	if name, ok := strings.CutPrefix(s.Ref, "#/components/schemas/"); ok {
		return d.Components.Schemas[name]
	}
	return s
}

// bound is a value at a bound of the document, or just beyond one.
type bound struct {
	path  []string // of the member of the body
	value any      // nil leaves the member out
	ok    bool
	what  string
}

// sample is a good value of a schema; name is of the member that has it.
func (d *document) sample(name string, s schema) any {
	s = d.schema(s)
	switch {
	case name == "action":
		return "Action.Submit"
	case s.Format == "uuid":
		return unknown
	case s.Format == "uri":
		return "https://microsoft.com"
	case len(s.Enum) > 0:
		return s.Enum[0]
	case s.Type == "array":
		return []any{d.sample("", *s.Items)}
	case s.Type == "object":
		o := map[string]any{}
		for member, of := range s.Properties {
			o[member] = d.sample(member, of)
		}
		return o
	}
	return "x"
}

// bounds walks everything that a schema demands.
func (d *document) bounds(path []string, s schema, required bool) []bound {
	s = d.schema(s)
	var all []bound
	add := func(what string, ok bool, value any) {
		all = append(all, bound{slices.Clone(path), value, ok, what})
	}
	if len(path) > 0 && path[len(path)-1] != "url" { // which the action gives its meaning
		add("is missing", !required, nil)
		add("is a number", false, 7)
		add("is null", false, json.RawMessage("null"))
	}
	for _, letter := range []string{"a", "é", "字", "😀"} {
		if s.MinLength != nil && *s.MinLength > 0 {
			add("is too short", false, strings.Repeat(letter, *s.MinLength-1))
		}
		if s.MaxLength != nil && *s.MaxLength*len(letter) < maxBody/2+maxBody/3 {
			add("is as long as may be in "+letter, true, strings.Repeat(letter, *s.MaxLength))
			add("is longer in "+letter, false, strings.Repeat(letter, *s.MaxLength+1))
		}
	}
	if strings.Contains(s.Pattern, `\x00`) {
		add("has a NUL", false, "a\x00")
	}
	if strings.Contains(s.Pattern, `\s`) {
		for _, space := range []string{" ", "\t\n\v\f\r", "\u0085", "\u00a0", "\u2028\u2029", "\u3000", "\ufeff"} {
			add(fmt.Sprintf("is %q", space), false, space)
		}
	}
	for _, value := range s.Enum {
		add("is "+value, true, value)
		add("is not "+value, false, strings.ToUpper(value))
	}
	if s.Format == "uuid" {
		add("is no UUID", false, "x"+unknown[1:])
		add("is a UUID in braces", false, "{"+unknown+"}")
	}
	if s.Items != nil {
		for _, b := range d.bounds(path, *s.Items, true) {
			if b.value != nil {
				b.value, b.what = []any{b.value}, "has an item that "+b.what
				all = append(all, b)
			}
		}
	}
	for _, name := range slices.Sorted(maps.Keys(s.Properties)) {
		all = append(all, d.bounds(append(path, name), s.Properties[name], slices.Contains(s.Required, name))...)
	}
	return all
}

// with is body with the value at the bound.
func (b bound) with(body map[string]any) map[string]any {
	body = maps.Clone(body)
	name := b.path[0]
	switch inner, _ := body[name].(map[string]any); {
	case len(b.path) > 1:
		body[name] = bound{path: b.path[1:], value: b.value}.with(inner)
	case b.value == nil:
		delete(body, name)
	default:
		body[name] = b.value
	}
	return body
}

// call is a good request but for what stands at the bound.
func (d *document) call(t *testing.T, method, path, conversation string, op operation, b bound) call {
	t.Helper()
	c := call{Method: strings.ToUpper(method), Path: strings.ReplaceAll(path, "{id}", conversation)}
	media, ok := op.RequestBody.Content["application/json"]
	if !ok {
		return c
	}
	body, _ := d.sample("", media.Schema).(map[string]any)
	if _, has := body["conversationId"]; has {
		body["conversationId"] = conversation
	}
	if len(b.path) > 0 {
		body = b.with(body)
	}
	raw, err := json.Marshal(body)
	if err != nil {
		t.Fatal(err)
	}
	c.Body = string(raw)
	return c.with("Content-Type", "application/json")
}

// What the document says of a request is what the service holds it to: each bound
// of each member of each body, at the bound and just beyond it, in letters of one
// to four bytes.
func TestBodiesAreBoundAsDocumented(t *testing.T) {
	w, d := newHarness(t, nil), readDocument(t)
	walked := 0
	for path, methods := range d.Paths {
		for method, node := range methods {
			var op operation
			if method == "parameters" || node.Decode(&op) != nil {
				continue
			}
			body, ok := op.RequestBody.Content["application/json"]
			if !ok || len(body.Schema.Properties) == 0 {
				continue
			}
			for _, b := range d.bounds(nil, body.Schema, true) {
				id := w.start()
				rec := w.do(d.call(t, method, path, id, op, b))
				name := strings.Join(b.path, ".")
				if b.ok && rec.Code != http.StatusOK || !b.ok && (rec.Code != http.StatusBadRequest && rec.Code != http.StatusForbidden || field[string](t, rec, "field") != name) {
					t.Errorf("%s: %s %s: %d %.200s", op.OperationID, name, b.what, rec.Code, rec.Body)
				}
				walked++
			}
		}
	}
	if walked < 150 {
		t.Errorf("only %d bounds were tried: the document was not understood", walked)
	}
}

// The same for what stands in a query or a header.
func TestParametersAreBoundAsDocumented(t *testing.T) {
	w, d := newHarness(t, nil), readDocument(t)
	walked := map[string]int{}
	var op operation
	try := func(p parameter, method, path, value string, ok bool) {
		walked[p.Name]++
		c := d.call(t, method, path, w.start(), op, bound{})
		switch p.In {
		case "query":
			c.Path += "?" + p.Name + "=" + value
		case "header":
			c = c.with(p.Name, value)
		}
		rec := w.do(c)
		if refused := rec.Code == http.StatusBadRequest && field[string](t, rec, "field") == p.Name; refused == ok {
			t.Errorf("%s %s: %s %.20q (%d): %d %s", method, path, p.Name, value, len(value), rec.Code, rec.Body)
		}
	}
	for path, methods := range d.Paths {
		for method, node := range methods {
			op = operation{}
			if method == "parameters" || node.Decode(&op) != nil {
				continue
			}
			for _, p := range op.Parameters {
				if name, ok := strings.CutPrefix(p.Ref, "#/components/parameters/"); ok {
					p = d.Components.Parameters[name]
				}
				s := d.schema(p.Schema)
				if s.Minimum != nil {
					try(p, method, path, fmt.Sprint(*s.Minimum-1), false)
					try(p, method, path, fmt.Sprint(*s.Minimum), true)
				}
				if s.Maximum != nil {
					try(p, method, path, fmt.Sprint(*s.Maximum), true)
					try(p, method, path, fmt.Sprint(*s.Maximum+1), false)
				}
				if s.Type == "integer" {
					try(p, method, path, "x", false)
					try(p, method, path, "", false)
				}
				if s.MaxLength != nil {
					try(p, method, path, "", false)
					try(p, method, path, strings.Repeat("a", *s.MaxLength), true)
					try(p, method, path, strings.Repeat("a", *s.MaxLength+1), false)
				}
				if s.Pattern == "^[!-~]+$" {
					try(p, method, path, "!~", true)
					try(p, method, path, "a b", false)
					try(p, method, path, "字", false)
				}
			}
		}
	}
	if walked["limit"] != 12 || walked["after"] != 6 || walked["before"] != 6 || walked["Idempotency-Key"] != 24 {
		t.Errorf("bounds that were tried: %v", walked)
	}
}

func readDocument(t *testing.T) *document {
	t.Helper()
	var d document
	if err := yaml.Unmarshal(openAPIDocument, &d); err != nil {
		t.Fatal(err)
	}
	return &d
}
