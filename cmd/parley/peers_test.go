package main

import (
	"bufio"
	"crypto/x509"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"strings"
	"testing"
)

// asPeer makes the test binary be one of the processes around the one that is
// measured: the agent, or clients. Its value is the role, a version of HTTP, and
// for clients the address to call.
const asPeer = "PARLEY_TEST_AS_PEER"

func peerMain(role string) error {
	role, version, base := cut3(role)
	if role == "agent" {
		web := httptest.NewUnstartedServer(http.HandlerFunc(beginToAnswer))
		if web.EnableHTTP2 = version == "2"; web.EnableHTTP2 {
			web.StartTLS()
		} else {
			web.Start()
		}
		say("listening on " + web.URL)
		_, err := io.Copy(io.Discard, os.Stdin) // until the test closes it
		return err
	}
	var protocols http.Protocols
	protocols.SetHTTP1(version == "1")
	protocols.SetUnencryptedHTTP2(version == "2")
	client := &http.Client{Transport: &http.Transport{Protocols: &protocols}}
	for bodies := bufio.NewScanner(os.Stdin); bodies.Scan() && bodies.Text() != ""; {
		if err := begin(client, base, bodies.Text()); err != nil {
			return err
		}
	}
	say("listening on http://" + base) // which the test waits for
	_, err := io.Copy(io.Discard, os.Stdin)
	return err
}

func cut3(s string) (a, b, c string) {
	a, s, _ = strings.Cut(s, " ")
	b, c, _ = strings.Cut(s, " ")
	return a, b, c
}

func say(line string) { _, _ = fmt.Fprintln(os.Stdout, line) }

// beginToAnswer is an agent that greets, and begins to answer every turn and never
// goes on.
func beginToAnswer(w http.ResponseWriter, r *http.Request) {
	_, _ = io.Copy(io.Discard, r.Body)
	w.Header().Set("Content-Type", "text/event-stream")
	w.Header().Set("X-Ms-Conversationid", "c1")
	if !ofTurn.MatchString(r.URL.Path) {
		_, _ = io.WriteString(w, "event: end\ndata: end\n\n")
		return
	}
	_, _ = io.WriteString(w, "event: activity\ndata: "+
		`{"type":"typing","id":"1","from":{"role":"bot"},"text":"So","entities":[{"type":"streaminfo","streamType":"streaming","streamSequence":1}]}`+"\n\n")
	_ = http.NewResponseController(w).Flush()
	<-r.Context().Done()
}

// begin opens a stream, and returns with its first event there.
func begin(client *http.Client, base, body string) error {
	r, err := http.NewRequest(http.MethodPost, base+"/api/chat/send", strings.NewReader(body)) //nolint:noctx // until the process ends
	if err != nil {
		return err
	}
	r.Header.Set("Content-Type", "application/json")
	r.Header.Set("Accept", "text/event-stream")
	resp, err := client.Do(r) //nolint:bodyclose // open until the process ends
	if err != nil {
		return err
	}
	if _, err := resp.Body.Read(make([]byte, 512)); err != nil || resp.StatusCode != http.StatusOK {
		return fmt.Errorf("%s, %w", resp.Status, err)
	}
	return nil
}

// peer starts one, and returns what it says when it is ready. It ends when in is
// closed, or with the test.
func peer(t *testing.T, role string) (ready func() string, in io.WriteCloser) {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), os.Args[0])
	cmd.Env = append(os.Environ(), asPeer+"="+role)
	cmd.Stderr = os.Stderr
	in, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = in.Close()
		_ = cmd.Wait()
	})
	return func() string { return address(t, out) }, in
}

// muteAgent is beginToAnswer in a process of its own: with a version of "2" over
// TLS, as agents are.
func muteAgent(t *testing.T, version string) (url string) {
	t.Helper()
	ready, _ := peer(t, "agent "+version)
	return ready() + "/agent"
}

// openStreams has a process of clients begin a stream with each of the bodies.
func openStreams(t *testing.T, version, base string, bodies []string) (end func()) {
	t.Helper()
	ready, in := peer(t, "clients "+version+" "+base)
	if _, err := io.WriteString(in, strings.Join(bodies, "\n")+"\n\n"); err != nil {
		t.Fatal(err)
	}
	ready()
	return func() { _ = in.Close() }
}

// testRoots trusts what httptest serves TLS with, which is the same in every process.
func testRoots(t *testing.T) *x509.CertPool {
	t.Helper()
	web := httptest.NewTLSServer(http.NotFoundHandler())
	defer web.Close()
	roots := x509.NewCertPool()
	roots.AddCert(web.Certificate())
	return roots
}
