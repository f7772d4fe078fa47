package server

import (
	"bytes"
	_ "embed"
	"net/http"
)

//go:embed openapi.yaml
var openAPIDocument []byte

// OpenAPI is the document that describes the API: openapi.yaml.
func OpenAPI() []byte { return bytes.Clone(openAPIDocument) }

// openAPI serves openapi.yaml.
func openAPI(w http.ResponseWriter, r *http.Request) error {
	write(w, r, http.StatusOK, "application/yaml", openAPIDocument)
	return nil
}
