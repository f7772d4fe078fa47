package copilot

import (
	"errors"
	"strings"
	"testing"
	"time"
)

func TestRetryAfter(t *testing.T) {
	now := time.Date(2026, 3, 2, 9, 0, 0, 0, time.UTC)
	for header, want := range map[string]time.Duration{
		"": 0, "soon": 0, "-1": 0, "1.5": 0, "5s": 0,
		"0": time.Second, "1": time.Second, " 7 ": 7 * time.Second, "60": time.Minute, "61": time.Minute,
		"99999999999999999999":          time.Minute,
		"Mon, 02 Mar 2026 09:00:10 GMT": 10 * time.Second,
		"Mon, 02 Mar 2026 08:00:00 GMT": time.Second,
		"Mon, 02 Mar 2027 09:00:00 GMT": time.Minute,
	} {
		if got := RetryAfter(header, now, time.Minute); got != want {
			t.Errorf("retryAfter(%q) = %v, want %v", header, got, want)
		}
	}
}

func TestCodesOf(t *testing.T) {
	long := strings.Repeat("x", 65)
	for body, want := range map[string][2]string{
		``: {}, `<html>`: {}, `[]`: {}, `{"code":7}`: {}, `{"message":"m"}`: {},
		`{"code":"Forbidden","innererror":{"code":"D2EAccessDenied"}}`: {"Forbidden", "D2EAccessDenied"},
		`{"error":{"code":"A.b_1","innererror":{"code":"C"}}}`:         {"A.b_1", "C"},
		`{"error":"text","code":"A"}`:                                  {"A", ""},
		`{"code":"has space"}`:                                         {},
		`{"code":"<script>"}`:                                          {},
		`{"code":"` + long + `"}`:                                      {},
	} {
		code, inner := codesOf([]byte(body))
		if code != want[0] || inner != want[1] {
			t.Errorf("codesOf(%s) = %q, %q, want %q", body, code, inner, want)
		}
	}
}

// TestErrorsShowTheirKindOnly: the cause is for the log, and is not reachable.
func TestErrorsShowTheirKindOnly(t *testing.T) {
	cause := errors.New("host.internal")
	err := error(&Error{Op: "turn", Kind: ErrRejected, Status: 403, Code: "Forbidden", Cause: cause})
	if !errors.Is(err, ErrRejected) || errors.Is(err, cause) || strings.Contains(err.Error(), "host") {
		t.Errorf("error = %v", err)
	}
}
