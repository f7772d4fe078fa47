package server

import (
	"crypto/sha256"
	"encoding/binary"
	"net/http"
	"net/url"
	"strconv"
	"strings"

	"github.com/google/uuid"

	"parley/store"
)

const maxKey = 255

// conversationID gives the canonical form of a conversation's id. It is checked
// here, before it becomes part of any key: a path value may hold slashes, and
// uuid.Parse alone takes braces, URNs and the form without hyphens.
func conversationID(s string) (string, error) {
	if _, err := uuid.Parse(s); err != nil || len(s) != 36 {
		return "", invalid(reasonFieldForm, "conversationId", "must be a UUID")
	}
	return strings.ToLower(s), nil
}

// idempotencyKey reads the Idempotency-Key header, "" when there is none.
func idempotencyKey(h http.Header) (string, error) {
	values := h.Values("Idempotency-Key")
	switch {
	case len(values) == 0:
		return "", nil
	case len(values) > 1:
		return "", invalid(reasonFieldTwice, "Idempotency-Key", "occurs twice")
	case !isVisible(values[0], maxKey):
		return "", invalid(reasonFieldForm, "Idempotency-Key", "must be 1 to 255 visible ASCII characters")
	}
	return values[0], nil
}

// startID is the id of the conversation that an owner starts with a key. A retry
// must find the conversation of its first attempt, and the key is all that the
// caller has. So the id is a hash of owner and key. The parts are hashed with their
// lengths, so that no two owners and keys give the same input. The result has the
// form of a version 4 UUID.
func startID(o store.Owner, key string) string {
	h := sha256.New()
	for _, part := range []string{o.Tenant, o.User, key} {
		var length [8]byte
		binary.BigEndian.PutUint64(length[:], uint64(len(part)))
		h.Write(length[:])
		h.Write([]byte(part))
	}
	id := uuid.UUID(h.Sum(nil)[:16])
	id[6] = id[6]&0x0f | 0x40
	id[8] = id[8]&0x3f | 0x80
	return id.String()
}

// query reads the parameters of a URL; each may occur once.
func query(r *http.Request, names ...string) (map[string]string, error) {
	values, err := url.ParseQuery(r.URL.RawQuery)
	if err != nil {
		return nil, invalid(reasonQueryMalformed, "query", "is malformed")
	}
	found := map[string]string{}
	for _, name := range names {
		switch of := values[name]; len(of) {
		case 0:
		case 1:
			found[name] = of[0]
		default:
			return nil, invalid(reasonFieldTwice, name, "occurs twice")
		}
	}
	return found, nil
}

// number reads a decimal number between low and high.
func number(name, s string, low, high int) (int, error) {
	n, err := strconv.Atoi(s)
	if err != nil || n < low || n > high || strings.HasPrefix(s, "+") {
		return 0, invalid(reasonFieldRange, name, "must be a number from "+strconv.Itoa(low)+" to "+strconv.Itoa(high))
	}
	return n, nil
}
