package store

// Range asks for a part of a conversation's messages: always those of whole turns,
// of at least one if there is any, and of no more than fit in Limit and
// MaxRangeBytes. The zero value is the newest part.
type Range struct {
	// From is the number of a turn, 1 or more: the part begins with it, or with the
	// next that has messages. 0 for a part that is counted from its end.
	From int
	// Before is the number of a turn: the part ends before it. 0 for the end of the
	// conversation. It is not looked at when there is a From.
	Before int
	Limit  int // messages, 1..MaxMessages; 0 means MaxMessages
}

// Bounds of a Range.
const (
	MaxMessages   = 200
	MaxRangeBytes = 1 << 20 // of messages in their stored form
)

// KeptKeys is how many idempotency keys of a conversation are kept for certain,
// the latest. MaxKeys is how many there can be: the oldest are forgotten then.
const (
	KeptKeys = 96
	MaxKeys  = 128
)

// Page asks for a part of a list.
type Page struct {
	Limit  int    // 1..MaxPage; 0 means MaxPage
	Cursor string // NextCursor of the page before; empty for the first
}

// MaxPage is the most conversations that one call of List returns.
const MaxPage = 50

// Listing is one page, newest first.
type Listing struct {
	Conversations []Conversation // without Messages, Failures, UpstreamID; of Workflow only CurrentStep
	// NextCursor is empty on the last page, and only there: a page may be shorter
	// than its limit and still have one.
	NextCursor string
	// Corrupt counts entries that could not be decoded and were left out.
	Corrupt int
}
