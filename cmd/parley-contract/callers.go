package main

import (
	"os"
	"testing"
	"time"

	"parley/contracttest/agenttest"
	"parley/contracttest/apirules"
	"parley/contracttest/claims"
	"parley/contracttest/matrix"
	"parley/contracttest/ports"
	"parley/contracttest/report"
	"parley/server/auth/authtest"
)

const (
	callers    = "callers"
	whyCallers = "one tenant that takes whatever there is must be no outage for another, and must not be blamed on Redis"
	howCallers = "one tenant attacks for some seconds while users of another send; their answers and times are compared with those of before"

	attackFor         = 2 * time.Second
	attackConnections = 200
)

// attacks are the units of the chapter callers. Each runs alone: it takes the machine.
func attacks(o *options, lacks claims.Lacking) []unit {
	var all []unit
	for _, a := range matrix.Attacks() {
		if o.quick || o.store == onRedis && !a.OnRedis || o.store == inMemory && !a.InMemory {
			continue
		}
		u := unit{
			name: a.ID, why: whyCallers, how: howCallers, tested: []claims.Claim{claims.Callers}, alone: true,
			rules: []report.Rule{matrix.AttackEntry{ID: a.ID, About: a.About, Promise: a.Promise, Store: o.store}.Rule()},
			try:   func(t *attempt) map[string]report.Finding { return t.attack(a) },
		}
		switch {
		case o.url != "":
			u.skip = "the server runs already, and this needs one that the suite starts"
		case !lacks.Has(claims.Callers):
			u.skip = "not claimed: " + string(claims.Callers)
		}
		all = append(all, u)
	}
	return all
}

// attack has a server attacked.
func (t *attempt) attack(a matrix.Attack) map[string]report.Finding {
	e := matrix.RunAttacks(t, t.site(a), []matrix.Attack{a}, attackFor, true)
	return map[string]report.Finding{e.Rule().ID: e.Finding()}
}

// site starts a server with sign-in, an agent and a port for operators.
func (t *attempt) site(a matrix.Attack) matrix.Site {
	admin := ports.Of(t)
	shared := t.rig.redis
	s, issuer, static := matrix.NewSite(t, shared, attackConnections)
	w := wiring{
		Wiring: apirules.Wiring{
			Settings: matrix.Settings{RedisURL: s.ThroughProxy(shared), Prefix: s.Prefix, Timeout: 5 * time.Second, AgentURL: agenttest.Start(t).URL(), AgentTimeout: 5 * time.Second},
			Issuer:   issuer.URL(), IssuerKeys: issuer.KeysURL(), IssuerCAFile: issuer.CAFile(t), Audience: authtest.ClientID,
			Tenants: matrix.AttackingTenant + "," + matrix.OtherTenant, TurnWait: turnWait,
		},
		admin: admin.Number, static: static, settings: a.Settings, deaf: a.Deaf,
	}
	r := t.launch(t, w)
	s.Base, s.Admin, s.PID = r.base, r.base, r.cmd.Process.Pid
	if w.setting("ADMIN_PORT", admin.Number) != "" {
		s.Admin = "http://" + admin.Addr
	}
	return s
}

// wiring is a Wiring with what only attacks need.
type wiring struct {
	apirules.Wiring
	admin, static string
	settings      []string // in pairs; they win
	deaf          bool     // nobody reads what the server prints
}

// setting is the last value of a setting, or that which it has without.
func (w wiring) setting(name, usual string) string {
	for i := 0; i+1 < len(w.settings); i += 2 {
		if w.settings[i] == name {
			usual = w.settings[i+1]
		}
	}
	return usual
}

// unread is the end of a pipe that takes what a server prints until it is full.
func unread(tb testing.TB) *os.File {
	tb.Helper()
	read, write, err := os.Pipe()
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() { _, _ = read.Close(), write.Close() })
	return write
}
