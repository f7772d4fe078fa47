package server

import (
	"context"
	"log/slog"
	"net/http"
)

// AdminHandler answers /livez, /readyz and /health in full for a port that only
// operators reach. No limit of the API applies to it, and it is neither logged nor
// reported to OnDone: whoever asks is no user.
func (s *Server) AdminHandler() http.Handler { return s.admin }

func (s *Server) adminMux() http.Handler {
	quiet := s.cfg
	quiet.OnDone = func(context.Context, Done) {}
	quiet.Log = slog.New(slog.DiscardHandler)
	a := &adapter{cfg: &quiet, admission: newAdmission(&quiet), pages: &pages{off: true}}
	probes := *s.probes
	probes.brief = false
	mux := http.NewServeMux()
	for pattern, handle := range map[string]func(http.ResponseWriter, *http.Request) error{
		"GET /livez": probes.livez, "GET /readyz": probes.readyz, "GET /health": probes.health,
	} {
		mux.Handle(pattern, a.adapt(route{pattern: pattern, open: true, handle: handle}))
	}
	return mux
}
