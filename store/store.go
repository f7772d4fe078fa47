// Package store defines conversations and the interface of what stores them. The
// Store interface is the specification: its rules are numbered, and the suite in
// package contracttest checks each by number. README.md says why the rules are so.
package store

import (
	"context"
	"encoding/json"
	"time"
)

// Owner is the user that a conversation belongs to. Every key, index and lookup is
// scoped by both parts, so one owner's conversation does not exist for another.
type Owner struct {
	Tenant string // tenant id; DefaultTenant when nobody is signed in
	User   string // user id within the tenant; DefaultUser when nobody is signed in
}

// The owner of every conversation when authentication is off, and of stored
// records written before records named their owner.
const (
	DefaultTenant = "dev"
	DefaultUser   = "anonymous"
)

// Status is the state of a conversation.
type Status string

// The states of a conversation. Only an active one takes turns, and one that the agent
// completed, which a turn makes active again (S12).
const (
	StatusActive    Status = "active"
	StatusCompleted Status = "completed"
	StatusAbandoned Status = "abandoned"
)

// Valid reports whether s is one of the three states.
func (s Status) Valid() bool {
	return s == StatusActive || s == StatusCompleted || s == StatusAbandoned
}

// Conversation is what one owner says with the agent.
type Conversation struct {
	ID        string // UUID
	Owner     Owner
	CreatedAt time.Time // by the clock of the place (S22); UTC, whole milliseconds
	UpdatedAt time.Time // the same; never moves back
	Status    Status
	// UpstreamID names the agent's side of the conversation. Empty in legacy records,
	// which did not keep it, and from the turn that follows the agent's end (S12) until
	// one completes.
	UpstreamID string
	Turns      int // number of the last turn begun; 0 when only greeted
	Workflow   Workflow
	// PendingTurn is the number of the turn that was begun and has neither
	// completed nor failed, 0 if there is none.
	PendingTurn int
	// Failures are the turns whose agent call failed, in order of their number:
	// those that the Range has messages of, and the one right before its From.
	Failures []TurnFailure
	// Messages of a Range, in the order they were said. Nil in lists.
	Messages []Message
	// Earlier and Later say that there are messages before and behind these.
	Earlier, Later bool
}

// Workflow is the optional state that a caller drives through a conversation.
// Absent fields are empty.
type Workflow struct {
	ID          string          // workflowId
	CurrentStep string          // currentStep
	StepData    json.RawMessage // stepData: any JSON
	Metadata    json.RawMessage // metadata: any JSON
}

// TurnFailure is a turn that ended without an answer.
type TurnFailure struct {
	Turn  int
	Class string // failure class, or Lapsed
}

// Lapsed is the Class of a turn whose process died without reporting, after another
// turn has begun.
const Lapsed = "lapsed"

// Role is the author of a message.
type Role string

// The two sides of a conversation.
const (
	RoleUser      Role = "user"
	RoleAssistant Role = "assistant"
)

// Kind is what a message holds.
type Kind string

// The kinds of message.
const (
	KindText Kind = "text"
	KindCard Kind = "adaptiveCard"
)

// Message is one text or card. The JSON names are those of the HTTP API and of the
// stored form.
type Message struct {
	ID               string          `json:"id"` // UUID
	Turn             int             `json:"turn"`
	Role             Role            `json:"role"`
	Kind             Kind            `json:"kind"`
	Text             string          `json:"text,omitempty"`
	CardJSON         json.RawMessage `json:"cardJson,omitempty"`
	CardID           string          `json:"cardId,omitempty"`
	ExtractedPayload *Payload        `json:"extractedPayload,omitempty"`
	AgentError       string          `json:"agentError,omitempty"` // platform error code inside an agent's answer
	TraceID          string          `json:"traceId,omitempty"`    // of the turn in which the agent answered so; beside AgentError
	Stopped          bool            `json:"stopped,omitempty"`    // the user stopped the turn before its end
}

// Payload is structured data that was found in an agent's answer.
type Payload struct {
	Source     string          `json:"source"`     // value, entities or text
	Confidence string          `json:"confidence"` // high, medium or low
	Data       json.RawMessage `json:"data"`       // a JSON object with at least one member
}

// Begin asks for a turn.
type Begin struct {
	Owner        Owner
	Conversation string // id of the conversation; for a New one, the id it shall have
	// New creates the conversation. It stays invisible to every other call
	// until CompleteTurn.
	New bool
	// Input has the user's messages, stored at once as pending. It is empty when New:
	// a conversation that is being started is not visible yet, so the messages of its
	// first turn come with the completion. The store sets their turn numbers.
	Input []Message
	// Key is the caller's idempotency key, at most 255 bytes; empty for none.
	// It is scoped to the conversation and lives as long as it. The key of a New
	// one is scoped apart from those of its later turns.
	Key string
	// Fingerprint identifies the input: equal for equal requests, whatever
	// their key. 1 to 64 bytes of visible ASCII.
	Fingerprint string
	// Workflow replaces the conversation's non-empty fields when not zero.
	Workflow Workflow
	// Limits are what the conversation, and its owner, may come to.
	Limits Limits
}

// Limits bound what one owner keeps. A field that is 0 bounds nothing.
type Limits struct {
	Turns int // of a conversation, the failed ones included
	// Bytes of a conversation, in its stored form: its messages, and what is kept for
	// replays (S9). A turn that has begun may still be answered, so a conversation can
	// pass it by one answer.
	Bytes int
	// Conversations of the owner, those that are being started left out.
	Conversations int
}

// Turn is a turn that the caller holds. Token and Fence give the right to commit it.
type Turn struct {
	Owner        Owner
	Conversation string
	Number       int    // 0 for a conversation being started
	Fence        int64  // higher with every begin in the conversation
	Token        string // unique to this begin
	New          bool   // as in Begin
	Adopted      bool   // an earlier, unfinished turn was taken over

	UpstreamID string   // the agent's id of the conversation; empty when New, and as in Conversation
	Workflow   Workflow // after Begin.Workflow was applied
	CreatedAt  time.Time

	// Replay is the stored outcome when Key's turn had completed before. The
	// caller then holds no turn: it must neither complete nor fail it.
	Replay *Outcome
}

// Outcome is the result of a turn.
type Outcome struct {
	Messages []Message // everything the completion appended
	// Extra is JSON of the caller about the answer, at most 64 KiB: what a replay needs
	// beside the messages.
	Extra json.RawMessage
	// StepData is set in a Replay: the step data after the turn. It may be nil if the
	// turn's own Begin set it, and nothing else did: the repeat has it as well.
	StepData json.RawMessage
}

// Completion is the agent's answer to a turn.
type Completion struct {
	Outcome
	// UpstreamID is the agent's id of the conversation from now on.
	UpstreamID string
	// Ended says that the agent has ended the conversation: its status becomes
	// StatusCompleted, unless its owner has closed it. The next turn goes on (S12).
	Ended bool
	// Turns is the number of the last turn in Messages, for a New conversation that is
	// started together with its first turn; else 0.
	Turns int
	// Workflow replaces the conversation's non-empty fields when not zero.
	Workflow Workflow
	// Unheard means that the user was told that the turn failed, or was told nothing
	// because the client had gone. A repeat without a key then gets the answer (S11).
	Unheard bool
}

// LeaseTime is how long a turn holds its conversation without a renewal. It bounds how
// long a crashed instance blocks a conversation.
const LeaseTime = 5 * time.Second

// HearingTime is how long an answer that nobody heard is replayed to repeats
// without a key, from the first replay on (S11). It outlasts the time after
// which a client that got no answer repeats.
const HearingTime = time.Minute

// Store keeps conversations. An implementation must keep these rules. The one marked
// with * can be tested only on a failing server: package contracttest/matrix does.
//
//	 S1  Every field of a conversation and of its messages comes back as it was
//	     stored; times as UTC in whole milliseconds. What a caller does to a
//	     value it passed or received changes nothing stored.
//	 S2  A conversation that does not exist, has expired, was deleted, is still
//	     being started, or belongs to another owner is ErrNotFound, and nothing
//	     tells these cases apart.
//	 S3  BeginTurn is atomic. On a free, open conversation it numbers the
//	     turn, appends Input, takes the lease with a fence higher than any
//	     before, and returns the upstream id.
//	 S4  While a turn is held, any other BeginTurn in the conversation is a
//	     *BusyError, through any handle on the same data. Of any number at the
//	     same time exactly one wins.
//	 S5  CompleteTurn is atomic: all its messages, upstream id, status,
//	     workflow and updatedAt, or nothing. It releases the lease.
//	 S6  CompleteTurn and FailTurn may be repeated for the turn that ended last
//	     with the same result and no further effect.
//	 S7  After another BeginTurn took its place, a turn can no longer complete,
//	     fail or renew: ErrStale, and nothing changes. A lapsed lease alone
//	     takes nothing away.
//	 S8  FailTurn keeps the user's message and the class. For a New
//	     conversation it removes everything.
//	 S9  The same Key and Fingerprint again: Replay when that turn completed
//	     (even if the conversation is closed by now), *BusyError while it is
//	     held (likewise), and adoption when it failed or lapsed and is still the
//	     last: same number, higher fence, no second user message. The KeptKeys
//	     latest keys of a conversation are kept for certain; an older one may be
//	     forgotten, and then its repeat is a new turn.
//	S10  The same Key with another Fingerprint is ErrMismatch, unless one of the
//	     two begins was New.
//	S11  Without a Key, a repeat of the last turn's Fingerprint adopts that turn
//	     if it failed or lapsed, and is a Replay if it came without a Key and was
//	     completed Unheard, or after its lease had lapsed, because then its caller
//	     may have given up: until another turn begins, or HearingTime after the
//	     first Replay, because a Replay can be lost on its way as well. Any other
//	     input begins a new turn, and a lapsed one is kept as a failure of class
//	     Lapsed. Any other completion counts as heard, even if its acknowledgement
//	     was lost: nobody could tell a repeat of it from a user who says the same
//	     thing again.
//	S12  BeginTurn in a conversation that its owner closed (SetStatus) is
//	     ErrClosed, but for a Replay and for a repeat of the turn that is held (S9,
//	     S11). One that the agent ended (Ended) goes on: BeginTurn makes it active
//	     again and drops the upstream id, because the agent starts anew. The owner's
//	     word counts, whether it came before or after the agent's end. A record that
//	     does not say who completed it stays closed.
//	S13  Conversation returns a Range of the messages, oldest first. Parts that
//	     are asked for one after the other, Before the first turn of the last part
//	     or From the turn behind it, make up the whole: no gap, nothing twice.
//	     Earlier and Later say whether there is more.
//	S14  List is newest first by UpdatedAt, at most MaxPage, and pages without
//	     gap or repetition over conversations that do not change meanwhile.
//	     Expired conversations neither appear nor use up the limit. An entry
//	     that does not decode is counted, and neither it nor one that is deleted
//	     meanwhile ends the paging: a cursor is a place in the index.
//	S15  Every write but RenewLease, Publish, Follow and Stop renews the
//	     conversation's time to live, all of it or, to spare the place work, not
//	     the last tenth: a conversation is kept for nine tenths of it after its last
//	     write, and for no more than the whole. Nothing is ever kept without one.
//	S16  SetStatus changes status and updatedAt and nothing else; a turn that is
//	     held may still complete.
//	S17  After Delete nothing of the conversation is left, its idempotency keys
//	     included; a turn that was held gets ErrNotFound.
//	S18  A context that is done before the call: an error for which errors.Is
//	     gives the context's own error, and no effect.
//	S19  RenewLease extends a held lease by LeaseTime from now, also one that
//	     has lapsed as long as nobody took its place.
//	S20  Data written through one handle is there for every other handle on the
//	     same place; and so is what the service before Parley left there (legacy
//	     records), where there can be such.
//	S21* A failure of the place itself is one of the outage errors, never
//	     ErrNotFound and never an empty success. An answer that does not name the
//	     call it answers is ErrProtocol.
//	S22  The clock of the place decides, and no caller's: when something was
//	     written, in which order, and when it ends. Handles may have clocks hours
//	     apart and times to live of their own: a conversation lives as long as
//	     its last writer wanted, and is listed exactly as long.
//	S23  A record is judged before it is changed. One of a version that the store
//	     does not know, or with a field that makes no sense, is ErrCorrupt to every
//	     method that reads or changes it, and nothing of it changes. What is judged
//	     is all fields, how many messages and keys there are, in a method that
//	     changes it the last message unless that is large, and of the others what
//	     the method returns.
//	     List counts what it cannot read.
//	S24  Delete also removes a conversation that is damaged, or has lost a part.
//	     What has lost its fields is ErrNotFound to every other method.
//	S25  When the conversation of a New turn is gone before its end, CompleteTurn
//	     and RenewLease are ErrLost, and FailTurn has nothing to do.
//	S26  Publish appends an entry to what a held turn has published, and Follow
//	     returns it, through any handle and in order. A snapshot drops what came
//	     before it. An entry that is none, and has nothing to continue, is not
//	     kept. What a turn has published is gone when another begins, the
//	     conversation is deleted, or nobody used it for RelayTime.
//	S27  After a Follow of a turn that runs, RenewLease and Publish report Listened
//	     for InterestTime; without one they never do.
//	S28  Follow tells how the last turn ended: the class of a failed one, and the
//	     Extra of one that was followed when it completed.
//	S29  After Stop, RenewLease and Publish of the turn that was held report Stop,
//	     and those of no other turn. Stop may be repeated, changes nothing else,
//	     and returns false when no turn is held.
//	S30  A *BusyError is Same if the turn that runs has the same Fingerprint and
//	     Key, or neither has a Key and it was begun within JoinTime.
//	S31  A BeginTurn of another turn is ErrConversationFull when the conversation
//	     has as many turns as Limits.Turns, or would have more bytes than
//	     Limits.Bytes with its Input, and changes nothing. Replays, and turns that
//	     are taken over, are not new.
//	S32  A BeginTurn that is New is ErrQuota when the owner has as many
//	     conversations as Limits.Conversations, and creates nothing. One that is
//	     being started counts as long as its turn is held; one that has lapsed is
//	     New again. What has expired, or was deleted, does not count.
//
// A nil error from a write means that the primary has stored it. Replication
// behind the primary is not promised. All methods may be called at the same
// time from many goroutines.
type Store interface {
	// BeginTurn starts, adopts or replays a turn (S3, S4, S9-S12, S30-S32).
	BeginTurn(ctx context.Context, b Begin) (Turn, error)
	// CompleteTurn commits the agent's answer (S5-S7).
	CompleteTurn(ctx context.Context, t Turn, c Completion) error
	// FailTurn records that the agent gave no answer (S6-S8). Class is the
	// failure class, at most 64 bytes.
	FailTurn(ctx context.Context, t Turn, class string) error
	// RenewLease keeps the turn (S19) and tells what others want of it (S27, S29).
	RenewLease(ctx context.Context, t Turn) (Signals, error)
	// Publish adds to what readers elsewhere can follow of a turn (S26). It reports
	// whether the entry was kept; after false a snapshot is needed.
	Publish(ctx context.Context, t Turn, e Entry) (kept bool, s Signals, err error)
	// Follow returns what the last turn has published (S26-S28).
	Follow(ctx context.Context, f Follow) (Relayed, error)
	// Stop asks the holder of the turn that runs to end it (S29) and returns the
	// turn's number.
	Stop(ctx context.Context, o Owner, id string) (turn int, running bool, err error)
	// Conversation returns one conversation with a part of its messages (S2, S13).
	Conversation(ctx context.Context, o Owner, id string, r Range) (Conversation, error)
	// List returns the owner's conversations (S14). A cursor that List did not
	// make is ErrCursor.
	List(ctx context.Context, o Owner, p Page) (Listing, error)
	// SetStatus closes or reopens a conversation (S16) and returns it without
	// its messages and failures.
	SetStatus(ctx context.Context, o Owner, id string, s Status) (Conversation, error)
	// Delete removes a conversation (S17).
	Delete(ctx context.Context, o Owner, id string) error
	// Ping checks that the store answers. It touches no conversation.
	Ping(ctx context.Context) error
	// Close releases connections. No call may follow it.
	Close() error
}
