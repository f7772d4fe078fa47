package server

import (
	"fmt"
	"io/fs"
	"net/http"
	"path"
	"slices"
)

// Try is a page in which a person tries the service, at /try. It is not part of the API.
type Try struct {
	// Files has index.html and what it loads, in one directory.
	Files fs.FS
	// Emulator says that the agent is the emulated one, whose commands the page offers.
	Emulator bool
	// TraceURL is where a trace can be seen, with {traceId} for its id; empty for nowhere.
	TraceURL string
	// Version is that of the program.
	Version string
	// Breakable has the store fail on purpose; nil for a store that cannot.
	Breakable Breakable
}

// Breakable is a store that can be told to fail. It must be safe for use from many
// goroutines.
type Breakable interface {
	Classes() []string  // in which it can fail
	Broken() string     // in which it fails now; "" while it works
	Break(class string) // has it fail so from now on; "" mends it
}

// tryPolicy lets the page run and style itself with files of its own, and ask this
// service and nobody else. What would turn text into HTML or into a script is forbidden
// to its own scripts as well.
const tryPolicy = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; " +
	"base-uri 'none'; form-action 'none'; frame-ancestors 'none'; require-trusted-types-for 'script'; trusted-types 'none'"

// tryTypes are the kinds of file that the page has.
var tryTypes = map[string]string{
	".html": "text/html; charset=utf-8", ".css": "text/css; charset=utf-8", ".js": "text/javascript; charset=utf-8", ".svg": "image/svg+xml",
}

// tryRoutes are the routes of the page.
type tryRoutes struct {
	Try
	backend      string // name of the store
	authRequired bool
	files        map[string]func(http.ResponseWriter, *http.Request) error
}

func newTry(t Try, backend string, authRequired bool) (*tryRoutes, error) {
	routes := &tryRoutes{Try: t, backend: backend, authRequired: authRequired, files: map[string]func(http.ResponseWriter, *http.Request) error{}}
	names, err := fs.Glob(t.Files, "*")
	if err != nil {
		return nil, fmt.Errorf("server: Try: %w", err)
	}
	for _, name := range names {
		body, err := fs.ReadFile(t.Files, name)
		if err != nil {
			return nil, fmt.Errorf("server: Try: %w", err)
		}
		mime := tryTypes[path.Ext(name)]
		if mime == "" {
			return nil, fmt.Errorf("server: Try: %s is of no known type", name)
		}
		routes.files[name] = asset(mime, body)
	}
	if routes.files["index.html"] == nil {
		return nil, fmt.Errorf("server: Try: index.html: %w", fs.ErrNotExist)
	}
	return routes, nil
}

func (t *tryRoutes) routes() []route {
	all := []route{
		{method: "GET", pattern: "/try", open: true, aside: true, handle: func(w http.ResponseWriter, r *http.Request) error {
			w.Header().Set("Content-Security-Policy", tryPolicy)
			return t.files["index.html"](w, r)
		}},
		{method: "GET", pattern: "/try/{file}", open: true, aside: true, handle: t.file},
		{method: "GET", pattern: "/try/api/settings", open: true, aside: true, handle: t.settings},
	}
	if t.Breakable != nil {
		all = append(all, route{method: "POST", pattern: "/try/api/store", aside: true, handle: t.breakStore})
	}
	return all
}

func (t *tryRoutes) file(w http.ResponseWriter, r *http.Request) error {
	name := r.PathValue("file")
	serve := t.files[name]
	if serve == nil || name == "index.html" {
		return errNoRoute
	}
	return serve(w, r)
}

// trySettings is what the page has to know.
type trySettings struct {
	Backend      string   `json:"backend"`
	AuthRequired bool     `json:"authRequired"`
	Emulator     bool     `json:"emulator"`
	TraceURL     string   `json:"traceUrl"`
	Version      string   `json:"version"`
	StoreClasses []string `json:"storeClasses"` // in which the store can be told to fail
	StoreFails   string   `json:"storeFails"`
}

func (t *tryRoutes) settings(w http.ResponseWriter, r *http.Request) error {
	s := trySettings{
		Backend: t.backend, AuthRequired: t.authRequired, Emulator: t.Emulator, TraceURL: t.TraceURL, Version: t.Version, StoreClasses: []string{},
	}
	if t.Breakable != nil {
		s.StoreClasses, s.StoreFails = t.Breakable.Classes(), t.Breakable.Broken()
	}
	return respond(w, r, http.StatusOK, s)
}

// breakStore has the store fail, or mends it, and answers as settings does.
func (t *tryRoutes) breakStore(w http.ResponseWriter, r *http.Request) error {
	o, err := readObject(w, r, "class")
	if err != nil {
		return err
	}
	class, err := o.string("class")
	if err != nil {
		return err
	}
	if class != "" && !slices.Contains(t.Breakable.Classes(), class) {
		return invalid(reasonFieldRange, "class", "is no class in which this store can fail")
	}
	t.Breakable.Break(class)
	return t.settings(w, r)
}
