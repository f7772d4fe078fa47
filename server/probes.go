package server

import "net/http"

// probeRoutes are the routes for health, liveness and readiness.
type probeRoutes struct {
	state        *Health
	authRequired bool
	brief        bool // see Config.BriefHealth
	withoutStore bool // see Config.ReadyWithoutStore
}

func (p *probeRoutes) health(w http.ResponseWriter, r *http.Request) error {
	report := p.state.report()
	report.AuthRequired = p.authRequired
	status := http.StatusOK
	if report.Redis == disconnected {
		status = http.StatusServiceUnavailable
	}
	if p.brief {
		return respond(w, r, status, struct {
			Status string `json:"status"`
			Redis  string `json:"redis"`
		}{report.Status, report.Redis})
	}
	return respond(w, r, status, report)
}

func (p *probeRoutes) livez(w http.ResponseWriter, r *http.Request) error {
	return respond(w, r, http.StatusOK, map[string]string{"status": "ok"})
}

func (p *probeRoutes) readyz(w http.ResponseWriter, r *http.Request) error {
	body := struct {
		Status   string   `json:"status"` // ready, starting, draining or disconnected
		Warnings []string `json:"warnings,omitempty"`
	}{"ready", p.state.warnings()}
	status := http.StatusOK
	if why := p.state.unready(); why != "" {
		body.Status, status = why, http.StatusServiceUnavailable
		if why == disconnected && p.withoutStore {
			status = http.StatusOK
		}
	}
	if p.brief {
		body.Warnings = nil
	}
	return respond(w, r, status, body)
}
