package entra

import "container/list"

// lru keeps so many values; the one that was not used for longest goes first. Its
// user locks it.
type lru[K comparable, V any] struct {
	max   int
	items map[K]*list.Element // of item[K, V]
	used  *list.List          // the one used last is in front
}

type item[K comparable, V any] struct {
	key   K
	value V
}

func newLRU[K comparable, V any](size int) lru[K, V] {
	return lru[K, V]{max: size, items: map[K]*list.Element{}, used: list.New()}
}

func (c *lru[K, V]) get(key K) (value V, ok bool) {
	e, ok := c.items[key]
	if !ok {
		return value, false
	}
	c.used.MoveToFront(e)
	return e.Value.(item[K, V]).value, true
}

func (c *lru[K, V]) put(key K, value V) {
	c.remove(key)
	c.items[key] = c.used.PushFront(item[K, V]{key, value})
	if c.used.Len() > c.max {
		c.remove(c.used.Back().Value.(item[K, V]).key)
	}
}

func (c *lru[K, V]) remove(key K) {
	if e, ok := c.items[key]; ok {
		delete(c.items, key)
		c.used.Remove(e)
	}
}
