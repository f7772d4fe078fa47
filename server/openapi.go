package server

import (
	_ "embed"
	"net/http"
)

//go:embed openapi.yaml
var openAPIDocument []byte

// openAPI serves openapi.yaml.
func openAPI(w http.ResponseWriter, r *http.Request) error {
	write(w, r, http.StatusOK, "application/yaml", openAPIDocument)
	return nil
}
