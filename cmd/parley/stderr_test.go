package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io"
	"log"
	"log/slog"
	"net/http"
	"os"
	"os/exec"
	"regexp"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"parley/contracttest/latency"
	"parley/contracttest/ports"
)

// standardError is what a process's standard error can be.
type standardError struct {
	pipe    func(t *testing.T) (read, write *os.File)
	recover bool // somebody reads in the end
}

func standardErrors() map[string]standardError {
	return map[string]standardError{
		"nobody reads": {pipe: pipe},
		"its reader left": {pipe: func(t *testing.T) (read, write *os.File) {
			read, write = pipe(t)
			_ = read.Close()
			return read, write
		}},
		"its reader comes back": {pipe: pipe, recover: true},
	}
}

func pipe(t *testing.T) (read, write *os.File) {
	t.Helper()
	read, write, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _, _ = read.Close(), write.Close() })
	return read, write
}

// TEL-06: whatever becomes of standard error, the process answers everybody as before,
// counts the lines that are missing, and ends when it is told to.
func TestNothingWaitsForStandardError(t *testing.T) {
	for name, c := range standardErrors() {
		t.Run(name, func(t *testing.T) {
			read, write := c.pipe(t)
			base, cmd := processWith(t, write, "COPILOT_EMULATOR", "true", "METRICS_PROMETHEUS", "true", "SHUTDOWN_TIMEOUT", "1")
			_ = write.Close() // the process has its own
			askUntilLinesAreDropped(t, base)
			if a := call(t, base+"/api/chat/start", m{}); a.Status != http.StatusOK {
				t.Errorf("/start answers %d", a.Status)
			}
			if c.recover {
				findReport(t, read)
				go func() { _, _ = io.Copy(io.Discard, read) }() // ends with the process
				if a := call(t, base+"/livez", nil); a.Status != http.StatusOK {
					t.Errorf("/livez answers %d", a.Status)
				}
			}
			ends(t, cmd, 0)
		})
	}
}

// TEL-06: not even standard output may keep the service from its work, and at the end its
// last words wait for nobody either.
func TestNothingWaitsForFullPipes(t *testing.T) {
	port := ports.Of(t)
	for name, c := range map[string]struct {
		settings []string
		code     int
	}{
		"service":           {[]string{"COPILOT_EMULATOR", "true", "PORT", port.Number, "SHUTDOWN_TIMEOUT", "1"}, 0},
		"bad configuration": {[]string{"PORT", "none"}, 2},
	} {
		t.Run(name, func(t *testing.T) {
			_, out := pipe(t)
			fill(t, out)
			cmd := childCommand(t, c.settings...)
			cmd.Stdout, cmd.Stderr = out, out
			if err := cmd.Start(); err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() { _ = cmd.Process.Kill() })
			if c.code != 0 {
				awaitEnd(t, cmd, c.code)
				return
			}
			waitFor(t, func() bool {
				resp, err := http.Get("http://" + port.Addr + "/livez") //nolint:noctx // waitFor is bounded
				if err != nil {
					return false
				}
				return resp.Body.Close() == nil && resp.StatusCode == http.StatusOK
			})
			ends(t, cmd, 0)
		})
	}
}

// fill leaves no room in a pipe.
func fill(t *testing.T, w *os.File) {
	t.Helper()
	if err := w.SetWriteDeadline(time.Now().Add(100 * time.Millisecond)); err != nil {
		t.Fatal(err)
	}
	for {
		if _, err := w.Write(make([]byte, 512)); err != nil {
			if !errors.Is(err, os.ErrDeadlineExceeded) {
				t.Fatal(err)
			}
			return
		}
	}
}

// askUntilLinesAreDropped puts load on a process until its metrics say that lines
// of the log were dropped. Nobody may wait for an answer meanwhile.
func askUntilLinesAreDropped(t *testing.T, base string) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	client := &http.Client{Transport: &http.Transport{MaxIdleConnsPerHost: 8}, Timeout: 10 * time.Second}
	defer client.CloseIdleConnections()
	get := func(path string) string {
		req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, base+path, nil)
		if err != nil {
			t.Error(err)
			return ""
		}
		req.Header.Set("X-Request-Id", strings.Repeat("x", 128))
		resp, err := client.Do(req)
		if err != nil {
			t.Errorf("%s: %v", path, err)
			cancel()
			return ""
		}
		defer func() { _ = resp.Body.Close() }()
		body, _ := io.ReadAll(resp.Body)
		return string(body)
	}
	var load sync.WaitGroup
	for range 8 {
		load.Go(func() {
			for ctx.Err() == nil {
				for range 200 {
					get("/livez")
				}
				if droppedLines(get("/metrics")) > 0 {
					cancel()
				}
			}
		})
	}
	load.Wait()
	if droppedLines(get("/metrics")) == 0 {
		t.Fatal("no line was dropped")
	}
}

// droppedLines finds the metric on a page of /metrics.
func droppedLines(page string) float64 {
	m := regexp.MustCompile(`(?m)^parley_logs_dropped_total(?:\{[^}]*\})? (\S+)$`).FindStringSubmatch(page)
	if m == nil {
		return 0
	}
	n, _ := strconv.ParseFloat(m[1], 64)
	return n
}

// findReport reads a log until it says that lines are missing.
func findReport(t *testing.T, read *os.File) {
	t.Helper()
	if err := read.SetReadDeadline(time.Now().Add(20 * time.Second)); err != nil {
		t.Fatal(err)
	}
	d := json.NewDecoder(read)
	for {
		var line struct {
			Msg   string
			Lines int64
		}
		if err := d.Decode(&line); err != nil {
			t.Fatalf("no report: %v", err)
		}
		if line.Msg == "log lines were dropped" {
			if line.Lines == 0 {
				t.Error("it says how many there are wrongly")
			}
			break
		}
	}
	if err := read.SetReadDeadline(time.Time{}); err != nil {
		t.Fatal(err)
	}
}

// ends tells a process with a SHUTDOWN_TIMEOUT of a second to end.
func ends(t *testing.T, cmd *exec.Cmd, code int) {
	t.Helper()
	machine := latency.Watch(t)
	began := time.Now()
	if err := cmd.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	awaitEnd(t, cmd, code)
	if took := time.Since(began); took > 3*time.Second+machine.Max() {
		t.Errorf("the end took %v", took)
	}
}

func awaitEnd(t *testing.T, cmd *exec.Cmd, code int) {
	t.Helper()
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		_ = cmd.Wait() // the exit code says it
	}()
	select {
	case <-ended:
	case <-time.After(20 * time.Second):
		t.Fatal("it does not end")
	}
	if got := cmd.ProcessState.ExitCode(); got != code {
		t.Errorf("it ended with %v", cmd.ProcessState)
	}
}

// What a library writes to the standard logger goes into the log, without its text:
// that can be what another server sent.
func TestLibrariesDoNotWriteToStandardError(t *testing.T) {
	var out bytes.Buffer
	l := log.New(libraryLog{slog.New(slog.NewJSONHandler(&out, nil))}, "", log.Lshortfile)
	l.Printf("Unsolicited response received on idle HTTP channel starting with %q", "a secret")
	if got := out.String(); !strings.Contains(got, `"place":"stderr_test.go:`) || strings.Contains(got, "secret") || strings.Contains(got, "Unsolicited") {
		t.Errorf("log: %s", got)
	}
	startService(t, io.Discard, "COPILOT_EMULATOR", "true")
	if _, ok := log.Writer().(libraryLog); !ok {
		t.Errorf("the standard logger writes to a %T", log.Writer())
	}
}
