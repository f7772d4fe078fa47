package redis

import (
	"testing"
	"time"
)

func TestElect(t *testing.T) {
	t.Parallel()
	const a, b, c = "a:1", "b:1", "c:1"
	now := time.Now()
	says := func(addr string, epoch uint64) report { return report{addr, epoch, now.Add(-time.Second)} }
	silent := func(addr string, epoch uint64) report { return report{addr, epoch, now.Add(-2 * reportLife)} }
	unknown, never := report{at: now}, report{}
	for name, x := range map[string]struct {
		reports []report
		known   report // zero for none
		want    string // "" for none
	}{
		"nobody has said anything":            {[]report{never, never, never}, report{}, ""},
		"one has":                             {[]report{never, says(a, 1), never}, report{}, a},
		"all silent keep what is known":       {[]report{silent(a, 1), silent(a, 1)}, says(a, 1), a},
		"none knows the name any more":        {[]report{unknown, unknown}, says(a, 1), a},
		"none knows the name":                 {[]report{unknown, unknown}, report{}, ""},
		"the first to see a failover":         {[]report{says(a, 1), says(b, 2), says(a, 1)}, says(a, 1), b},
		"one was cut off while others did":    {[]report{says(b, 2), says(a, 1), says(b, 2)}, says(b, 2), b},
		"only the one that was cut off":       {[]report{silent(b, 2), says(a, 1), silent(b, 2)}, says(b, 2), b},
		"most were set up anew":               {[]report{says(c, 0), says(c, 0), says(b, 2)}, says(b, 2), b},
		"all were set up anew":                {[]report{says(c, 0), says(c, 0), silent(b, 2)}, says(b, 2), c},
		"the only one was set up anew":        {[]report{says(c, 0)}, says(b, 2), c},
		"equals: most name it":                {[]report{says(a, 1), says(b, 1), says(b, 1)}, says(a, 1), b},
		"equals: it is in use":                {[]report{says(a, 1), says(b, 1)}, says(b, 1), b},
		"equals: it is in use, as the first":  {[]report{says(a, 1), says(b, 1)}, says(a, 1), a},
		"what was said long ago has no voice": {[]report{silent(c, 9), says(b, 2)}, report{}, b},
	} {
		known := &x.known
		if x.known.addr == "" {
			known = nil
		}
		got := ""
		if r := elect(x.reports, known, now); r != nil {
			got = r.addr
		}
		if got != x.want {
			t.Errorf("%s: %q, want %q", name, got, x.want)
		}
	}
}

func TestAddressThatASentinelTells(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		told []string
		want string
	}{
		{[]string{"192.0.2.1", "6379"}, "192.0.2.1:6379"},
		{[]string{"2001:db8::1", "6379"}, "[2001:db8::1]:6379"},
		{[]string{"redis.example", "1"}, "redis.example:1"},
		{[]string{"", "6379"}, ""},
		{[]string{"192.0.2.1", "0"}, ""},
		{[]string{"192.0.2.1", "65536"}, ""},
		{[]string{"192.0.2.1", "-1"}, ""},
		{[]string{"192.0.2.1"}, ""},
		{nil, ""},
	} {
		got, err := addressOf(c.told)
		if got != c.want || (err == nil) != (c.want != "") {
			t.Errorf("%q: %q, %v", c.told, got, err)
		}
	}
}
