package copilot

import (
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"strconv"
	"strings"
	"time"
)

// kindOf classifies a status that brings no answer. A redirect is not an
// answer of this protocol: it comes from a gateway or a sign-in page, and says
// nothing about the credentials.
func kindOf(status int) error {
	switch {
	case status == http.StatusTooManyRequests:
		return ErrThrottled
	case status >= 500 && status <= 599:
		return ErrServer
	case status >= 400 && status <= 499:
		return ErrRejected
	}
	return ErrProtocol
}

// maxRefusal is how much of the body of a refusal is read.
const maxRefusal = 64 << 10

// codesIn finds the agent's error codes in the body of a refusal. Nothing else
// of the body is kept.
func codesIn(r io.Reader) (code, inner string) {
	b, _ := io.ReadAll(io.LimitReader(r, maxRefusal)) // what was read is enough
	return codesOf(b)
}

func codesOf(b []byte) (code, inner string) {
	type wireError struct {
		Code  lax[string] `json:"code"`
		Inner lax[struct {
			Code lax[string] `json:"code"`
		}] `json:"innererror"`
	}
	var body struct {
		wireError
		Error lax[wireError] `json:"error"`
	}
	if json.Unmarshal(b, &body) != nil {
		return "", ""
	}
	code = first(body.Code.v, body.Error.v.Code.v)
	inner = first(body.Inner.v.Code.v, body.Error.v.Inner.v.Code.v)
	return cleanCode(code), cleanCode(inner)
}

// cleanCode gives s if it is a code, "" if it is anything else: a body is the
// agent's to fill, and a code is shown.
func cleanCode(s string) string {
	if len(s) > 64 {
		return ""
	}
	for i := range len(s) {
		switch c := s[i]; {
		case 'a' <= c && c <= 'z', 'A' <= c && c <= 'Z', '0' <= c && c <= '9', c == '.', c == '_':
		default:
			return ""
		}
	}
	return s
}

// RetryAfter reads the header of that name (RFC 9110, section 10.2.3), in seconds
// or as a date: 1 s to most, or 0 if it says nothing.
func RetryAfter(header string, now time.Time, most time.Duration) time.Duration {
	header = strings.TrimSpace(header)
	var d time.Duration
	if n, err := strconv.ParseUint(header, 10, 31); err == nil {
		d = time.Duration(n) * time.Second
	} else if errors.Is(err, strconv.ErrRange) {
		d = most
	} else if at, err := http.ParseTime(header); err == nil {
		d = at.Sub(now)
	} else {
		return 0
	}
	return min(max(d, time.Second), most)
}
