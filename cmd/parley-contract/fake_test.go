package main

import (
	"context"
	"encoding/json"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/exec"
	"os/signal"
	"syscall"
	"testing"
	"time"

	"parley/contracttest/ports"
)

// asFake makes the test binary be a server of that kind.
const asFake = "PARLEY_CONTRACT_FAKE"

func TestMain(m *testing.M) {
	if kind := os.Getenv(asFake); kind != "" {
		if err := fakeMain(kind); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		return
	}
	os.Exit(m.Run())
}

// fakeMain is a server that knows little: it is there so that the command can be tried
// without a Redis.
func fakeMain(kind string) error {
	switch kind {
	case "refuses to start":
		return fmt.Errorf("the setting PORT=%s is not to its liking", os.Getenv("PORT"))
	case "says nothing":
		select {}
	case "has a child":
		cmd := exec.CommandContext(context.Background(), os.Args[0], os.Args[1:]...)
		cmd.Env = append(os.Environ(), asFake+"=deaf")
		cmd.Stdout, cmd.Stderr = os.Stdout, os.Stderr
		return cmd.Run()
	}
	l, err := (&net.ListenConfig{}).Listen(context.Background(), "tcp", net.JoinHostPort(ports.Host, os.Getenv("PORT")))
	if err != nil {
		return err
	}
	fmt.Fprintf(os.Stdout, "it has the key prefix %q and the word %q\n", os.Getenv("PREFIX"), os.Args[len(os.Args)-1])
	mux := http.NewServeMux()
	mux.HandleFunc("GET /livez", func(http.ResponseWriter, *http.Request) {})
	mux.HandleFunc("GET /health", func(w http.ResponseWriter, _ *http.Request) {
		_ = json.NewEncoder(w).Encode(map[string]string{"status": map[bool]string{true: "unwell", false: "ok"}[kind == "unwell"]})
	})
	web := &http.Server{Handler: mux, ReadHeaderTimeout: time.Second}
	if kind == "deaf" {
		signal.Ignore(syscall.SIGTERM)
	}
	return web.Serve(l)
}
