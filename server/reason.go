package server

import (
	"errors"

	"parley/server/auth"
	"parley/server/copilot"
	"parley/server/turn"
	"parley/store"
)

// Reason is why a request was refused, as one word for the log and the span of the
// request, where its class has more than one. It is for operators and never holds
// anything that a caller wrote.
type Reason string

// The reasons of invalid_request.
const (
	reasonBodyMissing    Reason = "body_missing"
	reasonBodyIncomplete Reason = "body_incomplete" // the connection ended within it, or was too slow
	reasonBodyNotUTF8    Reason = "body_not_utf8"
	reasonBodyTooDeep    Reason = "body_too_deep" // nests deeper than maxDepth
	reasonBodyNotJSON    Reason = "body_not_json"
	reasonFieldMissing   Reason = "field_missing"
	reasonFieldType      Reason = "field_type" // another JSON type than the field has, or the body's own
	reasonFieldEmpty     Reason = "field_empty"
	reasonFieldTooLong   Reason = "field_too_long"
	reasonFieldTwice     Reason = "field_twice" // a field, parameter or header
	reasonFieldForm      Reason = "field_form"  // a UUID, key or text that is not written as one
	reasonFieldRange     Reason = "field_range" // no number, or out of range; no value of the list
	reasonQueryMalformed Reason = "query_malformed"
	reasonQueryConflict  Reason = "query_contradicts" // parameters that exclude each other
	reasonCursor         Reason = "cursor_not_ours"   // or of another list
)

// The reasons of forbidden, beside those of package auth.
const (
	reasonAction Reason = "action_not_allowed" // ALLOWED_ACTION_TYPES
	reasonDomain Reason = "domain_not_allowed" // ALLOWED_DOMAINS
	reasonOrigin Reason = "origin_not_allowed" // a page of another site than CORS_ORIGIN
	reasonHost   Reason = "host_not_local"     // the Host header names another machine
)

// The reasons of unsupported_media_type.
const (
	reasonTypeMissing Reason = "content_type_missing"
	reasonTypeOther   Reason = "content_type_not_json" // or more than one
	reasonCharset     Reason = "charset_not_utf8"
	reasonEncoding    Reason = "content_encoding" // such as gzip
)

// The reasons of overloaded, beside those of a turn.
const (
	reasonRequests       Reason = "too_many_requests"
	reasonRequestsOfUser Reason = "too_many_requests_of_user"
	reasonSignIns        Reason = "too_many_sign_ins" // requests whose token is being verified
	reasonBodies         Reason = "no_room_for_bodies"
	reasonAnswers        Reason = "no_room_for_answers"
	reasonConnections    Reason = "no_store_connection" // all are in use, and the store answers
	reasonProcessor      Reason = "no_processor"
	reasonPages          Reason = "large_pages_wait"
	reasonFiles          Reason = "no_open_files" // the limit of the process, or of the machine
)

// Reasons are all reasons, by class. The classes that are not here have one each.
func Reasons() map[string][]Reason {
	all := map[string][]Reason{
		classInvalid: {
			reasonBodyMissing, reasonBodyIncomplete, reasonBodyNotUTF8, reasonBodyTooDeep, reasonBodyNotJSON,
			reasonFieldMissing, reasonFieldType, reasonFieldEmpty, reasonFieldTooLong, reasonFieldTwice, reasonFieldForm, reasonFieldRange,
			reasonQueryMalformed, reasonQueryConflict, reasonCursor,
		},
		classForbidden: {
			Reason(auth.ReasonTenant), Reason(auth.ReasonGrant), reasonAction, reasonDomain, reasonOrigin, reasonHost,
		},
		classMediaType: {reasonTypeMissing, reasonTypeOther, reasonCharset, reasonEncoding},
		classOverloaded: {
			turn.ReasonTurns, turn.ReasonTurnsOfUser, turn.ReasonReaders,
			reasonRequests, reasonRequestsOfUser, reasonSignIns, reasonBodies, reasonAnswers,
			reasonConnections, reasonProcessor, reasonPages, reasonFiles,
		},
	}
	for class, words := range map[string][]string{
		classToken: copilot.TokenReasons(), classUpstreamTimeout: copilot.TimeoutReasons(), classUnreachable: copilot.UnreachableReasons(),
	} {
		for _, r := range words {
			all[class] = append(all[class], Reason(r))
		}
	}
	for _, r := range auth.Reasons() {
		all[classUnauthenticated] = append(all[classUnauthenticated], Reason(r))
	}
	return all
}

// reasonOf is why a request was refused; "" where its class says all.
func reasonOf(err error) Reason {
	if lacksDescriptors(err) {
		return reasonFiles
	}
	if e, ok := errors.AsType[*requestError](err); ok {
		return e.reason
	}
	if e, ok := errors.AsType[*copilot.Error](err); ok {
		for _, kind := range []error{copilot.ErrToken, copilot.ErrTimeout, copilot.ErrUnreachable} {
			if errors.Is(e, kind) {
				return Reason(e.Reason)
			}
		}
	}
	if e, ok := errors.AsType[*turn.OverloadedError](err); ok {
		return Reason(e.Reason)
	}
	if e, ok := errors.AsType[*store.Error](err); ok && errors.Is(e, store.ErrOverloaded) {
		switch e.Reason {
		case store.NoConnection:
			return reasonConnections
		case store.NoProcessor:
			return reasonProcessor
		case store.PagesWait:
			return reasonPages
		}
	}
	return ""
}
