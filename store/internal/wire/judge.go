package wire

import (
	"encoding/json"
	"fmt"
	"strconv"

	"parley/store"
)

// A record is judged as a whole before anything in it is believed or changed.
// The scripts of the Redis backend judge in the same way (record.lua); a test
// damages every field and holds the two against each other.
//
// Records were written before some fields existed, so a field that is missing
// has its default. But every begin has written all that is in needed, so a
// record that was begun and misses one of them is damaged.
var needed = [...]int{nTenant, nUser, nUpdated, nStatus, nTurns, nCount, nState}

// begun are the fields that a begin sets, all of them or none.
var begun = [...]int{nFence, nToken, nInput}

// sound says for each field what it may hold when it is there. What is not in it
// is free text, or ours to ignore.
var sound = [fieldCount]func([]byte) bool{
	nVersion:  func(b []byte) bool { return string(b) == Version },
	nCreated:  isTime,
	nUpdated:  isTime,
	nStatus:   isStatus,
	nEnded:    func(b []byte) bool { return len(b) == 0 || string(b) == EndedByAgent },
	nTurns:    isNumber,
	nCount:    isNumber,
	nFence:    isNumber,
	nKeys:     isNumber,
	nBytes:    isNumber,
	nLast:     isNumber,
	nKept:     isNumber,
	nData:     isNumber,
	nKeyed:    isNumber,
	nState:    isState,
	nToken:    isToken,
	nDone:     isToken,
	nInput:    isFingerprint,
	nKey:      func(b []byte) bool { return len(b) == 0 || len(b) == 22 && isToken(b) },
	nHeardAt:  func(b []byte) bool { return len(b) == 0 || isNumber(b) },
	nListen:   isNumber,
	nStop:     isToken,
	nStepData: json.Valid,
	nMetadata: json.Valid,
}

// judge gives the first fault of a conversation's fields.
func (s *Set) judge(o store.Owner) error {
	for n, ok := range sound {
		if ok != nil && s.has(n) && !ok(s.values[n]) {
			return fault(n)
		}
	}
	switch {
	case !s.has(nVersion):
		return fault(nVersion)
	case !s.has(nCreated):
		return fault(nCreated)
	case !s.is(nTenant, o.Tenant, store.DefaultTenant):
		return fault(nTenant)
	case !s.is(nUser, o.User, store.DefaultUser):
		return fault(nUser)
	}
	if n, ok := s.complete(); !ok {
		return fault(n)
	}
	if len(s.values[nUnheard]) > 0 {
		r, err := DecodeRecord(string(s.values[nUnheard]))
		if err != nil || !r.Done || r.Turn != s.number(nTurns) || !r.within(s.number(nCount)) {
			return fault(nUnheard)
		}
	}
	return nil
}

// fault names the field, never the value: values are what users said.
func fault(n int) error { return fmt.Errorf("wire: field %s", Fields[n]) }

// is reports whether a field, or what it was before there was one, is a text.
func (s *Set) is(n int, text, before string) bool {
	if s.has(n) {
		return string(s.values[n]) == text
	}
	return before == text
}

// complete looks for what a record of that kind cannot miss, and names it.
func (s *Set) complete() (missing int, ok bool) {
	has := 0
	for _, n := range begun {
		if s.has(n) {
			has++
		}
	}
	switch state := string(s.values[nState]); {
	case has == 0 && !s.has(nState):
		return 0, true // of the time before all these
	case has != 0 && has != len(begun), has == 0 && state != StateDone:
		return nToken, false
	case has != 0 && state == StateDone && string(s.values[nDone]) != string(s.values[nToken]):
		return nDone, false
	case state == StateStarting && (s.has(nDone) || string(s.values[nCount]) != "0"):
		return nState, false
	}
	for _, n := range needed {
		if !s.has(n) {
			return n, false
		}
	}
	return 0, true
}

// Judge reports what is wrong with a conversation's fields, or with the numbers
// of messages and idempotency records that are kept beside them.
func (s *Set) Judge(o store.Owner, messages, records int) error {
	if err := s.judge(o); err != nil {
		return err
	}
	switch m, r := s.Counts(); {
	case messages != m:
		return fault(nCount)
	case r >= 0 && records != r:
		return fault(nKeys)
	}
	return nil
}

// JudgeLast reports whether the last element of a conversation's list, "" for an
// empty one, may stand there.
func JudgeLast(f map[string]string, element string) error {
	if element == "" {
		return nil
	}
	if _, err := DecodeElement(element); err != nil || ElementTurn(element) > number(f[FieldTurns]) {
		return errMessage
	}
	return nil
}

// Judge reports whether a record may stand beside these fields.
func (r Record) Judge(f map[string]string) error {
	if r.Turn > number(f[FieldTurns]) || r.Done && !r.within(number(f[FieldCount])) {
		return errRecord
	}
	return nil
}

// within reports whether the messages of the outcome are in a list of so many.
func (r Record) within(count int) bool { return r.First+r.Count <= count }

// number reads a number that was judged; a missing one is 0.
func number(s string) int {
	n, _ := strconv.Atoi(s)
	return n
}

// isNumber takes what the scripts can count with, in the one form in which they
// write it.
func isNumber(b []byte) bool {
	for _, c := range b {
		if c < '0' || c > '9' {
			return false
		}
	}
	return len(b) > 0 && len(b) <= 15 && (b[0] != '0' || len(b) == 1)
}

func isTime(b []byte) bool {
	_, ok := parseTime(b)
	return ok
}

func isStatus(b []byte) bool { return statusOf(b).Valid() }

func isState(b []byte) bool {
	switch string(b) {
	case StateStarting, StateRunning, StateDone, StateFailed:
		return true
	}
	return false
}

// IsToken takes what NewToken makes: letters and digits of URL-safe base 64.
func IsToken(s string) bool { return isToken([]byte(s)) }

func isToken(b []byte) bool {
	for _, c := range b {
		if (c|0x20 < 'a' || c|0x20 > 'z') && (c < '0' || c > '9') && c != '-' && c != '_' {
			return false
		}
	}
	return len(b) > 0
}

// isFingerprint takes visible ASCII.
func isFingerprint(b []byte) bool {
	for _, c := range b {
		if c < '!' || c > '~' {
			return false
		}
	}
	return len(b) > 0
}
