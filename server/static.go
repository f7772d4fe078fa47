package server

import (
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
	info, err := fs.Stat(s.fs, name)
	switch {
	case err == nil && !info.IsDir():
	case err != nil && path.Ext(name) != "":
		return errNoRoute
	default:
		// Directories are answered with the index, and so never listed.
		name = "index.html"
		if _, err := fs.Stat(s.fs, name); err != nil {
			return errNoRoute
		}
	}
	// Browsers revalidate every file, so that a new front end is used at once.
	w.Header().Set("Cache-Control", "no-cache")
	// A page may load its own assets and be framed by its own origin.
	w.Header().Set("Content-Security-Policy", "frame-ancestors 'self'")
	readWithin(w, fileTime)
	http.ServeFileFS(w, withPath(r, "/"), s.fs, name) //nolint:gosec // an fs.FS takes only clean paths below its root, and ours without dot files
	return nil
}

// withPath hides the request's path from the file server, which would answer
// one that ends in /index.html with a redirect.
func withPath(r *http.Request, p string) *http.Request {
	r = r.Clone(r.Context())
	r.URL.Path = p
	return r
}

// hidden reports whether any part of a path begins with a dot, or contains a
// character that some file systems treat as a separator.
func hidden(name string) bool {
	for part := range strings.SplitSeq(name, "/") {
		if strings.HasPrefix(part, ".") || strings.ContainsAny(part, "\\:\x00") {
			return true
		}
	}
	return false
}
