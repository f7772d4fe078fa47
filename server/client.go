package server

import (
	"crypto/sha256"
	_ "embed"
	"encoding/hex"
	"net/http"
)

// The client for front ends, and its types, which make client makes.
var (
	//go:embed client/client.js
	clientScript []byte
	//go:embed client/client.d.ts
	clientTypes []byte
)

// asset answers with a file that changes only with the program. Browsers keep it, and
// ask each time whether it is still the same.
func asset(mime string, body []byte) func(http.ResponseWriter, *http.Request) error {
	sum := sha256.Sum256(body)
	tag := `"` + hex.EncodeToString(sum[:16]) + `"`
	return func(w http.ResponseWriter, r *http.Request) error {
		w.Header().Set("Cache-Control", "no-cache")
		w.Header().Set("ETag", tag)
		if r.Header.Get("If-None-Match") == tag {
			w.WriteHeader(http.StatusNotModified)
			return nil
		}
		write(w, r, http.StatusOK, mime, body)
		return nil
	}
}
