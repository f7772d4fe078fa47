// Package apispec checks HTTP exchanges against an OpenAPI document: what a test
// asked, and what it was answered. It is for tests; the service does not import it.
package apispec

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"

	"github.com/getkin/kin-openapi/openapi3"
	"github.com/getkin/kin-openapi/openapi3filter"
	"github.com/getkin/kin-openapi/routers"
	"github.com/getkin/kin-openapi/routers/legacy"
)

// Document is an OpenAPI document that exchanges are checked against. It may be
// used from many goroutines.
type Document struct {
	router  routers.Router
	problem *openapi3.Schema
	// events are the schemas of the events of streams, by the event's name.
	events map[string]*openapi3.Schema
}

// Parse reads a document. It fails when the document is not valid OpenAPI, or
// has no schema for problems or for the events of its streams.
//
// The document lets answers have more fields than it names, so that old clients
// go on working. Here every field of an answer has to be in it: a field nobody
// documented is a fault.
func Parse(document []byte) (*Document, error) {
	doc, err := openapi3.NewLoader().LoadFromData(document)
	if err != nil {
		return nil, err
	}
	seen := map[*openapi3.Schema]bool{}
	for _, item := range doc.Paths.Map() {
		for _, operation := range item.Operations() {
			for _, response := range operation.Responses.Map() {
				for _, media := range response.Value.Content {
					closeObjects(media.Schema, seen)
				}
			}
		}
	}
	d := &Document{events: map[string]*openapi3.Schema{}}
	if d.router, err = legacy.NewRouter(doc); err != nil {
		return nil, err
	}
	schema := func(name string) *openapi3.Schema {
		var ref *openapi3.SchemaRef
		if doc.Components != nil {
			ref = doc.Components.Schemas[name]
		}
		if ref == nil {
			err = errors.Join(err, fmt.Errorf("the document has no schema %s", name))
			return nil
		}
		closeObjects(ref, seen)
		return ref.Value
	}
	d.problem = schema("Problem")
	for event, name := range streamEvents(doc) {
		d.events[event] = schema(name)
	}
	if len(d.events) == 0 {
		err = errors.Join(err, errors.New("the document names no events of its streams"))
	}
	return d, err
}

// closeObjects forbids the fields that a schema does not name, in it and in all
// it is made of. An object that names none stays open: it is the caller's data.
func closeObjects(ref *openapi3.SchemaRef, seen map[*openapi3.Schema]bool) {
	if ref == nil || seen[ref.Value] {
		return
	}
	s := ref.Value
	seen[s] = true
	if len(s.Properties) > 0 {
		no := false
		s.AdditionalProperties.Has = &no
	}
	for _, property := range s.Properties {
		closeObjects(property, seen)
	}
	closeObjects(s.Items, seen)
	for _, one := range s.OneOf {
		closeObjects(one, seen)
	}
}

// streamEvents reads x-events of the document's event streams: the schema of
// each event's data, by the event's name.
func streamEvents(doc *openapi3.T) map[string]string {
	events := map[string]string{}
	if doc.Components == nil {
		return events
	}
	for _, response := range doc.Components.Responses {
		media := response.Value.Content[eventStream]
		if media == nil {
			continue
		}
		named, _ := media.Extensions["x-events"].(map[string]any)
		for event, ref := range named {
			name, _ := ref.(string)
			events[event] = strings.TrimPrefix(name, "#/components/schemas/")
		}
	}
	return events
}

const eventStream = "text/event-stream"

// formats are those that the library does not check by itself.
func formats() openapi3.SchemaValidationOption {
	return openapi3.WithStringFormatValidator("uuid", openapi3.NewRegexpFormatValidator(openapi3.FormatOfStringForUUIDOfRFC9562))
}

// Exchange is a request and what came back.
type Exchange struct {
	Request *http.Request // its Body is not read
	Sent    []byte        // the body that was sent
	Status  int
	Header  http.Header // of the answer
	Body    []byte      // of the answer; of a stream that was cut off, what came
}

// Check returns what is wrong with an exchange by the document, or nil. A request
// that succeeded must be valid, too; one that was refused may be anything.
func (d *Document) Check(x Exchange) error {
	err := d.check(x)
	if err != nil {
		err = fmt.Errorf("%s %s, status %d: not what the API document says: %w", x.Request.Method, x.Request.URL.Path, x.Status, err)
	}
	return err
}

func (d *Document) check(x Exchange) error {
	if x.Request.Method == http.MethodOptions { // CORS; no route's business
		return nil
	}
	request := x.Request.Clone(x.Request.Context())
	if request.Method == http.MethodHead {
		request.Method = http.MethodGet
	}
	request.Body = io.NopCloser(bytes.NewReader(x.Sent))
	route, params, err := d.router.FindRoute(request)
	if err != nil {
		return d.checkUnknown(x)
	}
	in := &openapi3filter.RequestValidationInput{
		Request: request, PathParams: params, Route: route,
		Options: &openapi3filter.Options{
			AuthenticationFunc: openapi3filter.NoopAuthenticationFunc, SkipSettingDefaults: true,
			SchemaValidationOptions: []openapi3.SchemaValidationOption{formats()},
			// A body that is of no use to a route without one is still not read.
			ExcludeRequestBody: route.Operation.RequestBody == nil || len(x.Sent) == 0 && !route.Operation.RequestBody.Value.Required,
		},
	}
	if x.Status < http.StatusMultipleChoices {
		if err := openapi3filter.ValidateRequest(x.Request.Context(), in); err != nil {
			return fmt.Errorf("request: %w", err)
		}
	}
	stream := isStream(x.Header)
	out := &openapi3filter.ResponseValidationInput{
		RequestValidationInput: in, Status: x.Status, Header: x.Header,
		Options: &openapi3filter.Options{
			IncludeResponseStatus: true, SchemaValidationOptions: []openapi3.SchemaValidationOption{formats()},
			ExcludeResponseBody: stream || x.Request.Method == http.MethodHead,
		},
	}
	if err := openapi3filter.ValidateResponse(x.Request.Context(), out.SetBodyBytes(x.Body)); err != nil {
		return fmt.Errorf("answer: %w", err)
	}
	if !stream {
		return nil
	}
	if documented := route.Operation.Responses.Status(x.Status); documented == nil || documented.Value.Content[eventStream] == nil {
		return errors.New("answer: the route has no streams")
	}
	return d.checkStream(x.Body)
}

// checkUnknown checks the answer to a request that no route is for. Outside /api/
// a front end or the metrics page may have answered.
func (d *Document) checkUnknown(x Exchange) error {
	if x.Status < http.StatusMultipleChoices {
		if strings.HasPrefix(x.Request.URL.Path, "/api/") {
			return errors.New("no such route")
		}
		return nil
	}
	if got := x.Header.Get("Content-Type"); got != "application/problem+json" {
		return fmt.Errorf("a failure is of type %q", got)
	}
	if x.Request.Method == http.MethodHead {
		return nil
	}
	return valid(d.problem, x.Body)
}

// checkStream checks the data of every event, and that the last is the only end.
func (d *Document) checkStream(body []byte) error {
	ended := false
	for event, err := range Events(bytes.NewReader(body)) {
		switch {
		case err != nil:
			return err
		case ended:
			return fmt.Errorf("event %q after the end", event.Type)
		}
		schema := d.events[event.Type]
		if schema == nil {
			return fmt.Errorf("event %q", event.Type)
		}
		if err := valid(schema, []byte(event.Data)); err != nil {
			return fmt.Errorf("event %s: %w", event.Type, err)
		}
		ended = event.Type == "done" || event.Type == "error"
	}
	return nil
}

// valid checks JSON by a schema.
func valid(schema *openapi3.Schema, data []byte) error {
	var v any
	if err := json.Unmarshal(data, &v); err != nil {
		return err
	}
	return schema.VisitJSON(v, openapi3.EnableJSONSchema2020(), openapi3.VisitAsResponse(), formats())
}
