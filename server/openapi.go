package server

import (
	_ "embed"
	"net/http"
)

//go:embed openapi.yaml
var openAPIDocument []byte

// openAPI answers with the description of this API.
func (s *Server) openAPI(w http.ResponseWriter, r *http.Request) error {
	s.write(w, r, http.StatusOK, "application/yaml", openAPIDocument)
	return nil
}
