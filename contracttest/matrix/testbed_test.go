package matrix

import (
	"testing"

	"parley/contracttest/faultproxy"
)

// withPassword is a Redis that wants one, as a user, in a database.
type withPassword struct{ Redis }

func (withPassword) Addr() string { return "redis.example:6390" }
func (withPassword) URL() string  { return "redis://user:pass@redis.example:6390/3" }

// A service is told all of the URL of its Redis but the address, which is the proxy's.
func TestSettingsThroughTheProxy(t *testing.T) {
	proxy := faultproxy.Start(t, "127.0.0.1:1")
	want := "redis://user:pass@" + proxy.Addr() + "/3"
	bed := &testbed{tb: t, redis: withPassword{}, proxy: proxy}
	if got := bed.settings(&routeColumn{}).RedisURL; got != want {
		t.Errorf("in a row: %s, want %s", got, want)
	}
	if got := Through(withPassword{}, proxy); got != want {
		t.Errorf("in an attack: %s, want %s", got, want)
	}
}
