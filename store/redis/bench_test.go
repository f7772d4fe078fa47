package redis_test

import (
	"strconv"
	"testing"

	"parley/contracttest"
	"parley/contracttest/redistest"
)

// BenchmarkTurn is begin and complete at two lengths of history, to be compared
// with each other.
func BenchmarkTurn(b *testing.B) {
	url := redistest.Start(b).URL()
	for _, history := range []int{10, 5000} {
		b.Run(strconv.Itoa(history), func(b *testing.B) {
			contracttest.BenchTurn(b, open(b, url).Store, history)
		})
	}
}
