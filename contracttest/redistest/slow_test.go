package redistest

import (
	"os"
	"testing"
)

// slow skips a test that takes many seconds, where nobody asked for those.
func slow(t *testing.T) {
	t.Helper()
	if os.Getenv("PARLEY_SLOW") == "" {
		t.Skip("takes many seconds: make race runs it")
	}
}
