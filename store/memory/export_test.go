package memory

import (
	"parley/store"
	"parley/store/internal/wire"
)

// Damage makes a conversation one that does not decode.
func (s *Store) Damage(o store.Owner, id string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.peek(key{wire.OwnerTag(o), id}).fields[wire.FieldStatus] = "nonsense"
}
