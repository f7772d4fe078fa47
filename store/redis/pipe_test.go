//go:build unix

package redis

import (
	"errors"
	"path/filepath"
	"syscall"
	"testing"

	"parley/store"
)

// To open a pipe would wait until somebody writes to it.
func TestPasswordFileThatIsAPipe(t *testing.T) {
	path := filepath.Join(t.TempDir(), "pipe")
	if err := syscall.Mkfifo(path, 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := PasswordFile(path)(t.Context()); !errors.Is(err, store.ErrCredentials) {
		t.Error(err)
	}
}
