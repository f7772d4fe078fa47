package wire

import (
	"encoding/json"
	"strconv"
	"time"

	"parley/store"
)

// A record is judged as a whole before anything in it is believed or changed.
// The scripts of the Redis backend judge in the same way (prelude.lua); a test
// damages every field and holds the two against each other.
//
// Records were written before some fields existed, so a field that is missing
// has its default. But every begin has written all that is in needed, so a
// record that was begun and misses one of them is damaged.
var needed = []string{FieldTenant, FieldUser, FieldUpdated, FieldStatus, FieldTurns, FieldCount, FieldState}

// begun are the fields that a begin sets, all of them or none.
var begun = []string{FieldFence, FieldToken, FieldInput}

// sound says for each field what it may hold when it is there. What is not in it
// is free text, or ours to ignore.
var sound = map[string]func(string) bool{
	FieldVersion:  func(s string) bool { return s == Version },
	FieldCreated:  isTime,
	FieldUpdated:  isTime,
	FieldStatus:   func(s string) bool { return store.Status(s).Valid() },
	FieldEnded:    func(s string) bool { return s == "" || s == EndedByAgent },
	FieldTurns:    isNumber,
	FieldCount:    isNumber,
	FieldFence:    isNumber,
	FieldKeys:     isNumber,
	FieldBytes:    isNumber,
	FieldLast:     isNumber,
	FieldKept:     isNumber,
	FieldData:     isNumber,
	FieldKeyed:    isNumber,
	FieldState:    isState,
	FieldToken:    IsToken,
	FieldDone:     IsToken,
	FieldInput:    isFingerprint,
	FieldKey:      func(s string) bool { return s == "" || len(s) == 22 && IsToken(s) },
	FieldHeardAt:  func(s string) bool { return s == "" || isNumber(s) },
	FieldListen:   isNumber,
	FieldStop:     IsToken,
	FieldStepData: isJSON,
	FieldMetadata: isJSON,
}

// judge keeps the first fault of a conversation's fields in d.
func (d *decoder) judge(o store.Owner, f map[string]string) {
	for name, ok := range sound {
		if value, there := f[name]; there && !ok(value) {
			d.fail(name)
		}
	}
	for _, name := range []string{FieldVersion, FieldCreated} {
		if _, there := f[name]; !there {
			d.fail(name)
		}
	}
	if value(f, FieldTenant, store.DefaultTenant) != o.Tenant {
		d.fail(FieldTenant)
	}
	if value(f, FieldUser, store.DefaultUser) != o.User {
		d.fail(FieldUser)
	}
	d.complete(f)
	if d.err == nil && f[FieldUnheard] != "" {
		r, err := DecodeRecord(f[FieldUnheard])
		if err != nil || !r.Done || r.Turn != number(f[FieldTurns]) || !r.within(f) {
			d.fail(FieldUnheard)
		}
	}
}

// complete looks for what a record of that kind cannot miss.
func (d *decoder) complete(f map[string]string) {
	has := 0
	for _, name := range begun {
		if _, there := f[name]; there {
			has++
		}
	}
	state, there := f[FieldState]
	switch {
	case has == 0 && !there:
		return // of the time before all these
	case has != 0 && has != len(begun), has == 0 && state != StateDone:
		d.fail(FieldToken)
	case has != 0 && state == StateDone && f[FieldDone] != f[FieldToken]:
		d.fail(FieldDone)
	case state == StateStarting:
		if _, done := f[FieldDone]; done || f[FieldCount] != "0" {
			d.fail(FieldState)
		}
	}
	for _, name := range needed {
		if _, there := f[name]; !there {
			d.fail(name)
		}
	}
}

// Counts are how many messages and idempotency records a conversation's fields
// speak of; of the records -1 where nobody counted them.
func Counts(f map[string]string) (messages, records int) {
	records = -1
	if keys, counted := f[FieldKeys]; counted {
		records = number(keys)
	}
	return number(f[FieldCount]), records
}

// Judge reports what is wrong with a conversation's fields, or with the numbers
// of messages and idempotency records that are kept beside them.
func Judge(o store.Owner, f map[string]string, messages, records int) error {
	var d decoder
	d.judge(o, f)
	m, r := Counts(f)
	if messages != m {
		d.fail(FieldCount)
	}
	if r >= 0 && records != r {
		d.fail(FieldKeys)
	}
	return d.err
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
	if r.Turn > number(f[FieldTurns]) || r.Done && !r.within(f) {
		return errRecord
	}
	return nil
}

// within reports whether the messages of the outcome are in the list.
func (r Record) within(f map[string]string) bool { return r.First+r.Count <= number(f[FieldCount]) }

// value is that of a field, or what it was before there was one.
func value(f map[string]string, name, before string) string {
	if v, there := f[name]; there {
		return v
	}
	return before
}

// number reads a number that was judged; a missing one is 0.
func number(s string) int {
	n, _ := strconv.Atoi(s)
	return n
}

// isNumber takes what the scripts can count with, in the one form in which they
// write it.
func isNumber(s string) bool {
	n, err := strconv.ParseInt(s, 10, 64)
	return err == nil && n >= 0 && len(s) <= 15 && strconv.FormatInt(n, 10) == s
}

// isTime takes the one form in which strings order as the times do.
func isTime(s string) bool {
	t, err := time.Parse(timeLayout, s)
	return err == nil && Time(t) == s
}

func isState(s string) bool {
	return s == StateStarting || s == StateRunning || s == StateDone || s == StateFailed
}

// IsToken takes what NewToken makes: letters and digits of URL-safe base 64.
func IsToken(s string) bool {
	for i := range len(s) {
		c := s[i]
		if (c|0x20 < 'a' || c|0x20 > 'z') && (c < '0' || c > '9') && c != '-' && c != '_' {
			return false
		}
	}
	return s != ""
}

// isFingerprint takes visible ASCII.
func isFingerprint(s string) bool {
	for i := range len(s) {
		if s[i] < '!' || s[i] > '~' {
			return false
		}
	}
	return s != ""
}

func isJSON(s string) bool { return json.Valid([]byte(s)) }
