package main

import (
	"net/http"
	"os"
	"sync"
	"testing"

	"parley/contracttest/apispec"
)

// document is openapi.yaml, which the answers of the program are checked against.
var document = sync.OnceValues(func() (*apispec.Document, error) {
	raw, err := os.ReadFile(root + "server/openapi.yaml")
	if err != nil {
		return nil, err
	}
	return apispec.Parse(raw)
})

// checked is http.DefaultClient, and fails the test for every answer that is not
// what openapi.yaml says.
func checked(t testing.TB) *http.Client {
	t.Helper()
	return &http.Client{Transport: checking(t, http.DefaultTransport)}
}

func checking(t testing.TB, next http.RoundTripper) http.RoundTripper {
	t.Helper()
	d, err := document()
	if err != nil {
		t.Error(err)
		return next
	}
	return d.Transport(next, func(err error) { t.Error(err) })
}
