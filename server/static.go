package server

import (
	"errors"
	"io/fs"
	"net/http"
	"path"
	"strings"
)

// staticFiles is a built front end.
type staticFiles struct{ fs fs.FS }

// serve answers with a file of the front end, or with its index.html for a path
// without an extension, because the front end has routes of its own.
func (s staticFiles) serve(w http.ResponseWriter, r *http.Request) error {
	if r.Method != http.MethodGet && r.Method != http.MethodHead {
		return &requestError{kind: errMethod, header: http.Header{"Allow": {"GET, HEAD"}}}
	}
	name := strings.Trim(path.Clean(r.URL.Path), "/")
	if hidden(name) {
		return errNoRoute
	}
	if name == "" {
		name = "."
	}
	f, err := openReread(s.fs, name)
	if errors.Is(err, errNoFile) && path.Ext(name) == "" || errors.Is(err, errDirectory) {
		// Directories are answered with the index, and so never listed.
		f, err = openReread(s.fs, "index.html")
	}
	switch {
	case errors.Is(err, errNoFile), errors.Is(err, errDirectory):
		return errNoRoute
	case err != nil:
		return err
	}
	// Browsers revalidate every file, so that a new front end is used at once.
	w.Header().Set("Cache-Control", "no-cache")
	// A page may load its own assets and be framed by its own origin.
	w.Header().Set("Content-Security-Policy", "frame-ancestors 'self'")
	http.ServeContent(steadily{w}, r, f.name, f.info.ModTime(), f)
	flush(w)
	return nil
}

// hidden reports whether any part of a path begins with a dot, or is written in
// a way that some file systems read as another path.
func hidden(name string) bool {
	for part := range strings.SplitSeq(name, "/") {
		if strings.HasPrefix(part, ".") || strings.ContainsAny(part, "\\:\x00") {
			return true
		}
	}
	return false
}
