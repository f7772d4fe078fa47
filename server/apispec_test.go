package server

import (
	"context"
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"parley/contracttest/apispec"
)

// apiDocument is openapi.yaml, which every answer that a test gets is checked against.
var apiDocument = sync.OnceValues(func() (*apispec.Document, error) { return apispec.Parse(openAPIDocument) })

// check fails the test when an exchange is not what openapi.yaml says.
func check(t testing.TB, x apispec.Exchange) {
	t.Helper()
	d, err := apiDocument()
	if err != nil {
		t.Fatal(err)
	}
	if err := d.Check(x); err != nil {
		t.Error(err)
	}
}

// recorded checks an answer that a recorder holds, if there is one.
func recorded(ctx context.Context, t testing.TB, c call, rec *httptest.ResponseRecorder) {
	t.Helper()
	if rec.Code == noAnswer {
		return
	}
	check(t, apispec.Exchange{Request: c.request(ctx), Sent: []byte(c.Body), Status: rec.Code, Header: rec.Result().Header, Body: rec.Body.Bytes()})
}

// checked is a transport that checks every answer.
func checked(t testing.TB) http.RoundTripper {
	t.Helper()
	d, err := apiDocument()
	if err != nil {
		t.Fatal(err)
	}
	return d.Transport(http.DefaultTransport, func(err error) { t.Error(err) })
}

// The golden files are answers of the API as openapi.yaml has them. This reads
// them on their own, so that one nobody makes any more is found as well.
func TestGoldenAnswersAreDocumented(t *testing.T) {
	files, err := filepath.Glob(filepath.Join("..", "testdata", "*", "*.json"))
	if err != nil {
		t.Fatal(err)
	}
	seen := map[string]int{}
	for _, file := range files {
		kind := filepath.Base(filepath.Dir(file))
		if kind != "api" && kind != "failures" {
			continue
		}
		seen[kind]++
		b, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		var golden goldenExchange
		if kind == "api" {
			err = json.Unmarshal(b, &golden)
		} else {
			golden.Request = send(unknown, "hello") // any request to a route with these failures
			err = json.Unmarshal(b, &golden.Response)
		}
		if err != nil {
			t.Fatalf("%s: %v", file, err)
		}
		header := http.Header{"Traceparent": {harnessTraceparent}} // on every answer, and in no golden file
		for name, value := range golden.Response.Headers {
			header.Set(name, value)
		}
		t.Run(strings.TrimSuffix(filepath.Base(file), ".json"), func(t *testing.T) {
			c, a := golden.Request, golden.Response
			check(t, apispec.Exchange{Request: c.request(t.Context()), Sent: []byte(c.Body), Status: a.Status, Header: header, Body: a.Body})
		})
	}
	if seen["api"] < 40 || seen["failures"] < 30 {
		t.Errorf("only %v golden files", seen)
	}
}
