package main

import (
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"testing"

	"parley/contracttest/faultproxy"
	"parley/contracttest/redistest"
)

// clientCases are what is tried with client.js, each in a Node of its own.
const clientCases = "testdata/client/cases.mjs"

// TestClient has the client that this service serves talk to two instances, while the
// store dies, connections break and a balancer refuses: what front ends rely on.
func TestClient(t *testing.T) {
	node := os.Getenv("PARLEY_NODE")
	if node == "" {
		if required, err := strconv.ParseBool(os.Getenv("REQUIRE_NODE")); required || err != nil && os.Getenv("REQUIRE_NODE") != "" {
			t.Fatal("REQUIRE_NODE is set, and PARLEY_NODE is not: evaluate .ci/node.sh")
		}
		t.Skip("PARLEY_NODE is not set: make contract sets it")
	}
	redis := redistest.Start(t)
	list, err := exec.CommandContext(t.Context(), node, clientCases, "list").Output()
	if err != nil {
		t.Fatal(err)
	}
	s := newInstances(t, redis)
	control := httptest.NewServer(s.control())
	t.Cleanup(control.Close)
	for name := range strings.Lines(string(list)) {
		name = strings.TrimSpace(name)
		t.Run(name, func(t *testing.T) {
			s.recovered()
			cmd := exec.CommandContext(t.Context(), node, clientCases, name)
			cmd.Env = append(os.Environ(), "PARLEY="+s.balancer.url, "CONTROL="+control.URL)
			if out, err := cmd.CombinedOutput(); err != nil {
				t.Errorf("%v\n%s", err, out)
			}
		})
	}
}

// control is how a case breaks and mends things, and asks what happened.
func (s *site) control() http.Handler {
	mux := http.NewServeMux()
	do := func(pattern string, f func(*http.Request) any) {
		mux.HandleFunc(pattern, func(w http.ResponseWriter, r *http.Request) { _ = json.NewEncoder(w).Encode(f(r)) })
	}
	number := func(r *http.Request, name string) int {
		n, err := strconv.Atoi(r.FormValue(name))
		if err != nil {
			s.t.Errorf("%s: %v", r.URL, err)
		}
		return n
	}
	do("/reset-all", func(*http.Request) any {
		s.agent.letGo()
		s.balancer.choose(-1)
		return nil
	})
	do("/store/away", func(*http.Request) any {
		for _, in := range s.instances {
			in.redis.Set(faultproxy.Refuse())
		}
		return nil
	})
	do("/store/back", func(*http.Request) any {
		for _, in := range s.instances {
			in.redis.Heal()
		}
		return nil
	})
	do("/agent/hold", func(r *http.Request) any { s.agent.hold(number(r, "after")); return nil })
	do("/agent/let-go", func(*http.Request) any { s.agent.letGo(); return nil })
	do("/agent/holding", func(*http.Request) any { return s.agent.holding() })
	do("/agent/asked", func(r *http.Request) any { return s.asked()[r.FormValue("text")] })
	do("/balancer/choose", func(r *http.Request) any { s.balancer.choose(number(r, "instance")); return nil })
	do("/balancer/reset", func(r *http.Request) any { return s.balancer.reset(r.FormValue("path")) })
	do("/balancer/came", func(r *http.Request) any { return s.balancer.came(r.FormValue("path")) })
	do("/balancer/refuse", func(r *http.Request) any {
		status, after, mime, body := number(r, "status"), r.FormValue("after"), r.FormValue("type"), r.FormValue("body")
		s.balancer.refuse(func(w http.ResponseWriter, _ *http.Request) {
			if after != "" {
				w.Header().Set("Retry-After", after)
			}
			w.Header().Set("Content-Type", mime)
			w.WriteHeader(status)
			_, _ = io.WriteString(w, body)
		})
		return nil
	})
	return mux
}
