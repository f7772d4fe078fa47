package main

import (
	"go/ast"
	"go/parser"
	gotoken "go/token"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"parley/contracttest/matrix"
)

// meaning is one of the things that a class means, in the guide's words, and what shows
// that it has this class.
type meaning struct {
	says  string
	proof proof
}

// proof is one proof of these.
type proof struct {
	row   string // of the matrix of Redis' faults
	agent string // row of the matrix of the agent's faults
	test  string // directory and name of a test
	setUp bool   // TestSetUps starts a service with it
	told  bool   // TestEverySignalNamesTheClass provokes it
}

// meanings are those of every class, in the order in which the guide has them.
func meanings() map[string][]meaning {
	row := func(id string) proof { return proof{row: id} }
	agent := func(id string) proof { return proof{agent: id} }
	test := func(name string) proof { return proof{test: name} }
	setUp, told := proof{setUp: true}, proof{told: true}
	return map[string][]meaning{
		"invalid_request":        {{"a body, parameter or id is malformed", told}},
		"unauthenticated":        {{"no token, or a bad one", told}},
		"forbidden":              {{"the tenant or card action is not allowed", told}},
		"not_found":              {{"no such route or conversation for this owner", told}},
		"method_not_allowed":     {{"wrong method", told}},
		"turn_conflict":          {{"another turn runs in the conversation", told}},
		"conversation_closed":    {{"closed by its owner", told}},
		"conversation_full":      {{"`MAX_CONVERSATION_TURNS` or `MAX_CONVERSATION_BYTES` is reached", told}},
		"payload_too_large":      {{"more than 256 KiB", told}},
		"unsupported_media_type": {{"not `application/json`", told}},
		"idempotency_mismatch":   {{"a key was used for another request", told}},
		"overloaded": {
			{"this process has as much to do as it may", told},
			{"it has as many files open as it may", test("cmd/parley TestLookupsThatLackDescriptors")},
			{"it waits for a processor", test("cmd/parley TestStoppedProcess")},
		},
		"quota_exceeded": {{"the user has `MAX_CONVERSATIONS_PER_USER` conversations", told}},
		"store_unreachable": {
			{"nothing listens", setUp},
			{"the name does not exist", setUp},
			{"what listens closes the connection", setUp},
			{"`redis://` at a port with TLS", setUp},
			{"`rediss://` at a web or mail server", setUp},
			{"the certificate is not one that we trust", setUp},
			{"the certificate has expired", row("certificate-expired")},
			{"the certificate is for another name", row("certificate-of-other-host")},
			{"too many clients", row("max-clients")},
			{"connections are reset", row("reset-on-accept")},
		},
		"store_timeout": {
			{"`rediss://` at a port without TLS", setUp},
			{"what listens says nothing", setUp},
			{"Redis is halted", row("stopped")},
			{"Redis is paused", row("pause-all")},
			{"packets are dropped", row("ignored")},
			{"replies come too slowly", row("drip")},
		},
		"store_pool_exhausted": {{"all connections are waiting, and nothing comes on any", row("crowd")}},
		"store_auth": {
			{"we have no password, and Redis wants one", setUp},
			{"the password is wrong", setUp},
			{"it was changed", row("password-rotated")},
			{"the user may not run scripts", row("no-permission")},
		},
		"store_credentials": {
			{"no token from Entra ID", test("cmd/parley TestNoTokenForRedis")},
			{"no password file", test("cmd/parley TestRedisPasswordFile")},
		},
		"store_misconfigured": {
			{"`REDIS_MODE=cluster`, and Redis is none", setUp},
			{"`REDIS_MODE=sentinel`, and what answers is none", setUp},
			{"`REDIS_MODE=single`, and Redis is a node of a cluster", row("moved")},
		},
		"store_not_ready": {
			{"Redis is loading its data", row("loading")},
			{"a script keeps it busy", row("busy")},
			{"a slot of the cluster has no primary", row("cluster-down")},
			{"a replica has lost its primary", row("master-down")},
		},
		"store_readonly": {
			{"the address is that of a replica", setUp},
			{"the primary became one", row("demoted")},
			{"Redis cannot write its snapshots", row("cannot-save")},
			{"it has too few replicas", row("no-replicas")},
		},
		"store_full": {{"out of memory, and nothing is evicted", row("full")}},
		"store_protocol": {
			{"`redis://` at a web server", setUp},
			{"`redis://` at an SSH or mail server", setUp},
			{"scripts are answered with something else", row("wrong-shape-ok")},
		},
		"store_rejected": {
			{"a database that there is not", setUp},
			{"any other error of Redis", row("rejected")},
		},
		"store_lost":       {{"Redis lost a conversation while it was being started", told}},
		"store_corrupt":    {{"a record cannot be read", row("corrupt")}},
		"auth_unavailable": {{"signing keys cannot be fetched", told}},
		"token_unavailable": {
			{"the issuer of our own tokens does not answer", told},
			{"it refuses us", test("cmd/parley TestNoTokenIsTheIssuersFault")},
			{"the user's token is of no use to it", test("cmd/parley TestOnBehalfOfTheUser")},
		},
		"upstream_timeout": {
			{"the agent says nothing", agent("agent-nothing")},
			{"it stops in the middle", agent("agent-stall")},
			{"it does not end within `COPILOT_TIMEOUT`", agent("agent-endless")},
		},
		"upstream_unreachable": {
			{"the agent refuses connections", agent("agent-refused")},
			{"its certificate is not one that we trust", agent("agent-tls")},
		},
		"upstream_throttled": {{"the agent answers 429", agent("agent-429")}},
		"upstream_rejected": {
			{"the agent answers 401", agent("agent-401")},
			{"403", agent("agent-403")},
			{"404", agent("agent-404")},
		},
		"upstream_error": {
			{"the agent answers 500", agent("agent-500")},
			{"503", agent("agent-503")},
		},
		"upstream_protocol": {
			{"the agent answers with a web page", agent("agent-html")},
			{"with what is not JSON", agent("agent-garbage")},
			{"with more than we take", agent("agent-oversize")},
		},
		"upstream_interrupted": {
			{"the connection breaks in an answer", agent("agent-cut")},
			{"before it", agent("agent-hang-up")},
			{"the answer has no end", agent("agent-no-end")},
		},
		"agent_error":     {{"the agent answered with an error in words", told}},
		"shutting_down":   {{"this instance is stopping", told}},
		"instance_lost":   {{"the instance that ran a turn is gone", told}},
		"panic":           {{"a fault of this service", told}},
		"client_canceled": {{"the client left before anything was begun", told}},
		"internal":        {{"a fault nobody foresaw", told}},
	}
}

// All that the guide says a class means is what tests provoke: a row says no more, and a
// proof is one that is run and has this class.
func TestGuideMeansWhatIsProvoked(t *testing.T) {
	all := meanings()
	for _, r := range guideRows(t) {
		var says []string
		for _, m := range all[r.class] {
			says = append(says, m.says)
			if problem := m.proof.missing(t, r.class, m.says); problem != "" {
				t.Errorf("%s, %q: %s", r.class, m.says, problem)
			}
		}
		if want := strings.Join(says, "; "); r.means != want {
			t.Errorf("%s means, by the guide\n%s\nand by what is provoked\n%s", r.class, r.means, want)
		}
		delete(all, r.class)
	}
	for class := range all {
		t.Errorf("%s has no row in the guide", class)
	}
	for name, s := range setUps() {
		if !slices.ContainsFunc(meanings()[s.class], func(m meaning) bool { return m.says == name && m.proof.setUp }) {
			t.Errorf("the guide does not say of %s: %s", s.class, name)
		}
	}
}

// missing says why it is no proof that what is said has a class; "" when it is one.
func (s proof) missing(t *testing.T, class, says string) string {
	t.Helper()
	switch {
	case s.row != "":
		for _, r := range matrix.Rows() {
			if r.ID == s.row && r.Omitted == "" {
				for _, e := range []matrix.Expect{r.Reads, r.Begins, r.Commits, r.Changes, r.Deletes, r.Held} {
					if slices.Contains(e, class) {
						return ""
					}
				}
			}
		}
		return "no row " + s.row + " of the matrix has this class"
	case s.agent != "":
		for _, r := range matrix.UpstreamRows() {
			if r.ID == s.agent && r.Omitted == "" && r.Class == class {
				return ""
			}
		}
		return "no row " + s.agent + " of the agent's faults has this class"
	case s.setUp:
		if setUps()[says].class != class {
			return "TestSetUps does not try it"
		}
		return ""
	case s.told:
		if _, ok := provocations()[class]; !ok {
			return "nothing provokes it"
		}
		return ""
	}
	dir, name, _ := strings.Cut(s.test, " ")
	if !namesClass(t, filepath.Join(root, dir), name, class) {
		return "no " + s.test + " that has this class"
	}
	return ""
}

// namesClass says whether a directory has a test of that name, in a file in which the
// class stands.
func namesClass(t *testing.T, dir, name, class string) bool {
	t.Helper()
	files, err := filepath.Glob(filepath.Join(dir, "*_test.go"))
	if err != nil {
		t.Fatal(err)
	}
	for _, path := range files {
		source, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		file, err := parser.ParseFile(gotoken.NewFileSet(), path, source, 0)
		if err != nil {
			t.Fatal(err)
		}
		for _, d := range file.Decls {
			if f, ok := d.(*ast.FuncDecl); ok && f.Name.Name == name {
				return strings.Contains(string(source), `"`+class+`"`)
			}
		}
	}
	return false
}
