package redis

// slotMap says which primary has which slot. It never changes; a new one takes its
// place.
type slotMap struct {
	primaries []*node // in the order of their first slots
	// owner is the place of a slot's primary among them, from 1; 0 for none.
	owner [slotCount]uint16
}

// at is the primary of a slot, nil if it has none.
func (m *slotMap) at(slot int) *node {
	if at := m.owner[slot]; at > 0 {
		return m.primaries[at-1]
	}
	return nil
}

// parts are the primaries with what they have.
func (m *slotMap) parts() []part {
	parts := make([]part, len(m.primaries))
	for i, n := range m.primaries {
		parts[i].node = n
	}
	for slot, at := range m.owner {
		if at > 0 {
			parts[at-1].slots++
			parts[at-1].slot = slot
		}
	}
	return parts
}

// ballot is what was decided of each slot: the address of its primary, by its place
// among the addresses, from 1; 0 for none.
type ballot struct {
	addrs  []string
	places map[string]uint16
	owner  [slotCount]uint16
}

// place is that of an address, which is added if it is new. It is 0 for one too many.
func (b *ballot) place(addr string) uint16 {
	at, ok := b.places[addr]
	if !ok && len(b.addrs) < MaxNodes {
		b.addrs = append(b.addrs, addr)
		at = uint16(len(b.addrs)) //nolint:gosec // at most MaxNodes
		b.places[addr] = at
	}
	return at
}

// vote decides, slot by slot, by what most nodes say. A node may be cut off from the
// others and know nothing of a failover, or not have heard of it yet. Where as many
// say one thing as another, it stays as it was; now is how it was, and may be nil. A
// node that claims nothing at all has left the cluster, or has not joined it, and has
// no vote. Without any vote there is no ballot.
func vote(answers [][]claim, now *slotMap) *ballot {
	b := &ballot{places: make(map[string]uint16)}
	var said [][]uint16
	for _, claims := range answers {
		if len(claims) == 0 {
			continue
		}
		says := make([]uint16, slotCount)
		for _, c := range claims {
			at := b.place(c.addr)
			for slot := c.from; slot <= c.to; slot++ {
				says[slot] = at
			}
		}
		said = append(said, says)
	}
	if len(said) == 0 {
		return nil
	}
	before := make(map[*node]uint16)
	if now != nil {
		for _, n := range now.primaries {
			before[n] = b.places[n.addr]
		}
	}
	votes := make([]int, len(b.addrs)+1)
	for slot := range slotCount {
		present := uint16(0)
		if now != nil {
			present = before[now.at(slot)]
		}
		b.owner[slot] = elected(said, slot, present, votes)
	}
	return b
}

// elected is what most say of a slot. votes is room for counting, all 0.
func elected(said [][]uint16, slot int, present uint16, votes []int) uint16 {
	for _, says := range said {
		votes[says[slot]]++
	}
	best := said[0][slot]
	for _, says := range said {
		at := says[slot]
		if votes[at] > votes[best] || votes[at] == votes[best] && best == 0 {
			best = at
		}
	}
	if present > 0 && votes[present] == votes[best] {
		best = present
	}
	for _, says := range said {
		votes[says[slot]] = 0
	}
	return best
}
