package redis

import (
	"encoding/json"
	"errors"
	"slices"
	"strings"
	"testing"
)

// The vector is of the Redis Cluster specification.
func TestSlotOf(t *testing.T) {
	t.Parallel()
	for tag, want := range map[string]int{"123456789": 0x31C3, "": 0, "foo": 12182} {
		if got := slotOf(tag); got != want {
			t.Errorf("slot of %q: %d, want %d", tag, got, want)
		}
	}
}

func list(v ...any) []any { return v }

func TestParseSlots(t *testing.T) {
	t.Parallel()
	replica := list("replica", int64(1), "id", map[any]any{})
	for name, c := range map[string]struct {
		reply any
		want  []claim
		bad   bool
	}{
		"nothing":              {list(), nil, false},
		"two":                  {list(list(int64(0), int64(9), list("a", int64(1)), replica), list(int64(10), int64(10), list("b", int64(2), "id"))), []claim{{0, 9, "a:1"}, {10, 10, "b:2"}}, false},
		"IPv6":                 {list(list(int64(0), int64(9), list("::1", int64(1)))), []claim{{0, 9, "[::1]:1"}}, false},
		"host not told":        {list(list(int64(0), int64(9), list(nil, int64(1)))), []claim{{0, 9, "asked:1"}}, false},
		"host empty":           {list(list(int64(0), int64(9), list("", int64(1)))), []claim{{0, 9, "asked:1"}}, false},
		"host unknown":         {list(list(int64(0), int64(9), list("?", int64(1)))), nil, false},
		"port unknown":         {list(list(int64(0), int64(9), list("a", int64(0)))), nil, false},
		"nobody":               {list(list(int64(0), int64(9))), nil, false},
		"no list":              {"OK", nil, true},
		"no range":             {list("0"), nil, true},
		"half a range":         {list(list(int64(0))), nil, true},
		"a slot too many":      {list(list(int64(0), int64(slotCount), list("a", int64(1)))), nil, true},
		"a slot too few":       {list(list(int64(-1), int64(1), list("a", int64(1)))), nil, true},
		"backwards":            {list(list(int64(2), int64(1), list("a", int64(1)))), nil, true},
		"slots as texts":       {list(list("0", "1", list("a", int64(1)))), nil, true},
		"no node":              {list(list(int64(0), int64(1), "a:1")), nil, true},
		"half a node":          {list(list(int64(0), int64(1), list("a"))), nil, true},
		"a host that is none":  {list(list(int64(0), int64(1), list(int64(1), int64(1)))), nil, true},
		"a port too large":     {list(list(int64(0), int64(1), list("a", int64(65536)))), nil, true},
		"a port that is none":  {list(list(int64(0), int64(1), list("a", "1"))), nil, true},
		"more than can be":     {make([]any, maxClaims+1), nil, true},
		"nothing, in its name": {nil, nil, true},
	} {
		got, err := parseSlots(c.reply, "asked")
		if !slices.Equal(got, c.want) || errors.Is(err, errShape) != c.bad {
			t.Errorf("%s: %v, %v", name, got, err)
		}
	}
}

func TestRedirectTo(t *testing.T) {
	t.Parallel()
	for said, want := range map[string]string{
		"10.0.0.1:6379": "10.0.0.1:6379", "b.example:1": "b.example:1", ":1": "asked:1",
		"::1:6379": "[::1]:6379", "[::1]:6379": "[::1]:6379",
		"?:1": "", "": "", "b": "", "b:": "", "b:0": "", "b:65536": "", "b:-1": "", "b:x": "",
	} {
		if got, known := redirectTo(said, "asked"); known != (want != "") || known && got != want {
			t.Errorf("%q: %q, %v", said, got, known)
		}
	}
}

// TestVote has each case be slots 0 to 9, and what is said of them before and after.
func TestVote(t *testing.T) {
	t.Parallel()
	says := func(owners string) (claims []claim) {
		for i := range owners {
			if owners[i] != '-' {
				claims = append(claims, claim{i, i, owners[i : i+1]})
			}
		}
		return claims
	}
	for name, c := range map[string]struct {
		before string
		said   []string
		want   string
	}{
		"one":                              {"", []string{"aabbcc----"}, "aabbcc----"},
		"all the same":                     {"", []string{"aabbcc", "aabbcc", "aabbcc"}, "aabbcc----"},
		"one was cut off":                  {"aabbcc", []string{"aabbcc", "ddbbcc", "ddbbcc"}, "ddbbcc----"},
		"one was cut off, and said first":  {"", []string{"aa", "dd", "dd"}, "dd--------"},
		"one has not heard":                {"aabbcc", []string{"aabbcc", "ddbbcc"}, "aabbcc----"},
		"one has not heard, afterwards":    {"ddbbcc", []string{"aabbcc", "ddbbcc"}, "ddbbcc----"},
		"one has not heard, at the start":  {"", []string{"aabbcc", "ddbbcc"}, "aabbcc----"},
		"one knows of no owner":            {"aa", []string{"--", "aa"}, "aa--------"},
		"most know of no owner":            {"aab", []string{"--b", "aab", "--b"}, "--b-------"},
		"one left the cluster":             {"aabb", []string{"", "ccbb"}, "ccbb------"},
		"all but one left":                 {"aabb", []string{"", "", "", "ccdd"}, "ccdd------"},
		"slot by slot":                     {"aaaa", []string{"aaab", "aabb", "abbb"}, "aabb------"},
		"each says something else":         {"a", []string{"b", "c", "d"}, "b---------"},
		"each says something else, a tie":  {"c", []string{"b", "c", "d"}, "c---------"},
		"present owner nobody knows of":    {"z", []string{"b", "b", "c"}, "b---------"},
		"nobody says anything":             {"aa", []string{"", ""}, ""},
		"nobody is asked":                  {"aa", nil, ""},
		"slots nobody had, and two now do": {"", []string{"ab", "ab", "aa"}, "ab--------"},
	} {
		var now *slotMap
		if c.before != "" {
			now = &slotMap{}
			at := map[string]uint16{}
			for i := range c.before {
				addr := c.before[i : i+1]
				if at[addr] == 0 {
					now.primaries = append(now.primaries, &node{addr: addr})
					at[addr] = uint16(len(now.primaries))
				}
				now.owner[i] = at[addr]
			}
		}
		var answers [][]claim
		for _, s := range c.said {
			answers = append(answers, says(s))
		}
		b := vote(answers, now)
		got := ""
		for i := 0; b != nil && i < 10; i++ {
			if at := b.owner[i]; at > 0 {
				got += b.addrs[at-1]
			} else {
				got += "-"
			}
		}
		if got != c.want {
			t.Errorf("%s: %q, want %q", name, got, c.want)
		}
	}
}

// What a redirect names is read once and for all.
func FuzzRedirectTo(f *testing.F) {
	for _, s := range []string{"10.0.0.1:1", "::1:2", "?:3", ":4", "[::1]:5", "a:b:c"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, said string) {
		addr, known := redirectTo(said, "asked")
		if again, ok := redirectTo(addr, "asked"); known && (!ok || again != addr) {
			t.Errorf("%q is read as %q, and that as %q", said, addr, again)
		}
	})
}

// Whatever a node answers, the slots are such as there are.
func FuzzParseSlots(f *testing.F) {
	for _, s := range []string{`[]`, `[[0,9,["a",1,"id",{}],["b",2]],[10,10,[null,1]]]`, `[[0,1]]`, `[[0,1,["?",1]]]`, `[[5,1,["a",1]]]`, `{}`} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, text string) {
		d := json.NewDecoder(strings.NewReader(text))
		d.UseNumber()
		var v any
		if d.Decode(&v) != nil {
			t.Skip()
		}
		claims, err := parseSlots(replyOf(v), "asked")
		for _, c := range claims {
			if c.from < 0 || c.from > c.to || c.to >= slotCount || c.addr == "" {
				t.Errorf("%q is read as %+v", text, c)
			}
		}
		if err != nil && claims != nil {
			t.Errorf("%q: %v and claims", text, err)
		}
	})
}

// replyOf is JSON as the library gives a reply: numbers are integers.
func replyOf(v any) any {
	switch v := v.(type) {
	case json.Number:
		n, err := v.Int64()
		if err != nil {
			return v.String()
		}
		return n
	case []any:
		for i := range v {
			v[i] = replyOf(v[i])
		}
		return v
	}
	return v
}
