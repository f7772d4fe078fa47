package store

import (
	"encoding/json"
	"time"
)

// Times of what is relayed between instances.
const (
	// InterestTime is how long a Follow makes the holder of a turn publish.
	InterestTime = 5 * time.Second
	// RelayTime is how long entries are kept that nobody publishes to or follows.
	RelayTime = 30 * time.Second
	// JoinTime is how long after its begin a turn treats the same input without a key
	// as the same request. Later, the user is taken to say it again.
	JoinTime = time.Minute
)

// Signals are what others want of the holder of a turn.
type Signals struct {
	Listened bool // somebody follows the turn through the store
	Stop     bool // somebody asked for its end
}

// Entry is a part of what a turn has said so far. Its content is the publisher's.
type Entry struct {
	Data json.RawMessage
	// Snapshot means that Data needs no earlier entry: those are dropped.
	Snapshot bool
}

// Follow asks what the last turn of a conversation has published.
type Follow struct {
	Owner        Owner
	Conversation string
	New          bool // as in Begin: a conversation that is still being started counts
	From         int  // Relayed.Next of the call before; 0 for the first and for another Fence
}

// TurnState is how far a turn has come.
type TurnState string

// The states of a turn.
const (
	TurnRunning   TurnState = "running"
	TurnCompleted TurnState = "completed"
	TurnFailed    TurnState = "failed"
)

// Relayed is what Follow tells of the last turn that was begun.
type Relayed struct {
	Turn  int
	Fence int64 // 0 if no turn was ever begun
	State TurnState
	Held  bool   // the turn runs and its lease has not lapsed
	Class string // of a failed turn

	Entries []json.RawMessage // since Follow.From; all that are kept if it was lower
	Next    int
	// Extra is that of a completion. It is kept only when somebody followed the turn
	// at its end, and for RelayTime.
	Extra json.RawMessage
}
