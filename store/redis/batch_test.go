package redis

import (
	"errors"
	"reflect"
	"strings"
	"testing"
	"time"

	goredis "github.com/redis/go-redis/v9"

	"parley/contracttest/redistest"
	"parley/store"
)

// What a batch says of each reply is what the library says of it, errors included.
func TestBatch(t *testing.T) {
	url := redistest.Start(t).URL()
	for _, protocol := range []string{"2", "3"} {
		s := newStore(t, url+"?protocol="+protocol, 5*time.Second)
		ctx, c := t.Context(), s.topology.nodes()[0].current.Load()
		put := func(err error) {
			t.Helper()
			if err != nil {
				t.Fatal(err)
			}
		}
		put(s.rdb().FlushAll(ctx).Err())
		put(s.rdb().HSet(ctx, "hash", "a", "1", "empty", "", "lines", "x\r\ny").Err())
		put(s.rdb().ZAdd(ctx, "set", goredis.Z{Score: 1.5, Member: "half"}, goredis.Z{Score: 1764140000000, Member: "now"}).Err())
		hash, set, none := "hash", "set", "none"
		b := newBatch(0, 0) // it grows
		b.add("hgetall", &hash)
		b.add("llen", &hash)
		b.addAll("hmget", &hash, []string{"lines", "none", "empty"})
		b.add("hlen", &hash)
		b.add("get", &none)
		b.add("nonsense", &none)
		b.add("hgetall", &none)
		put(b.send(ctx, c))

		all, err := b.next()
		put(err)
		n, err := all.list()
		put(err)
		got := map[string]string{}
		for range n / 2 {
			name, value, err := all.pair()
			put(err)
			got[string(name)] = string(value)
		}
		if want := s.rdb().HGetAll(ctx, "hash").Val(); !reflect.DeepEqual(got, want) {
			t.Errorf("hgetall: %q, want %q", got, want)
		}
		if _, err := b.number(); !isWrongType(err) || !goredis.HasErrorPrefix(err, "WRONGTYPE") {
			t.Errorf("llen of a hash: %v", err)
		}
		some, err := b.next()
		put(err)
		var texts []any
		put(some.strings(3, func(_ int, text []byte) {
			if text == nil {
				texts = append(texts, nil)
				return
			}
			texts = append(texts, string(text))
		}))
		if want := s.rdb().HMGet(ctx, "hash", "lines", "none", "empty").Val(); !reflect.DeepEqual(texts, want) {
			t.Errorf("hmget: %q, want %q", texts, want)
		}
		if n, err := b.number(); n != 3 || err != nil {
			t.Errorf("hlen: %d, %v", n, err)
		}
		if _, there, err := b.text(); there || err != nil {
			t.Errorf("get of nothing: %v, %v", there, err)
		}
		if _, err := b.next(); !goredis.HasErrorPrefix(err, "unknown command") {
			t.Errorf("no command: %v", err)
		}
		nothing, err := b.next()
		put(err)
		if n, err := nothing.list(); n != 0 || err != nil {
			t.Errorf("hgetall of nothing: %d, %v", n, err)
		}

		src := &source{key: set, high: 1e300}
		b = newBatch(1, rangeArgs)
		src.ask(b, nil, 5)
		put(b.send(ctx, c))
		put(src.answer(b, nil, 5))
		if len(src.entries) != 2 || src.entries[0].id != "now" || src.entries[0].at.Score != 1764140000000 || src.entries[1].at.Score != 1.5 {
			t.Errorf("read %+v", src.entries)
		}
	}
}

// An error that Redis answers with is one to the library as well, whose predicates
// redirects go by.
func TestRefusals(t *testing.T) {
	for reply, want := range map[string]struct {
		text  string
		moved string
		ask   string
	}{
		"-MOVED 3999 127.0.0.1:6381\r\n":                  {"MOVED 3999 127.0.0.1:6381", "127.0.0.1:6381", ""},
		"-ASK 3999 127.0.0.1:6381\r\n":                    {"ASK 3999 127.0.0.1:6381", "", "127.0.0.1:6381"},
		"-WRONGTYPE Operation\r\n":                        {"WRONGTYPE Operation", "", ""},
		"!21\r\nSYNTAX invalid syntax\r\n":                {"SYNTAX invalid syntax", "", ""},
		"-LOADING Redis is loading the dataset in memory": {"LOADING Redis is loading the dataset in memory", "", ""},
	} {
		var c rawCommand
		c.SetVal([]byte(reply))
		c.SetErr(nil)
		moved, _ := goredis.IsMovedError(c.Err())
		ask, _ := goredis.IsAskError(c.Err())
		if _, is := errors.AsType[goredis.Error](c.Err()); !is || c.Err().Error() != want.text || moved != want.moved || ask != want.ask {
			t.Errorf("%q: %v, moved to %q, ask %q", reply, c.Err(), moved, ask)
		}
		// The same command is sent again where it was told to go, and answered.
		c.SetVal([]byte(":1\r\n"))
		if c.SetErr(nil); c.Err() != nil {
			t.Errorf("%q, then an answer: %v", reply, c.Err())
		}
		lost := errors.New("connection lost")
		if c.SetErr(lost); !errors.Is(c.Err(), lost) {
			t.Errorf("%v", c.Err())
		}
	}
}

// FuzzRawReply reads what may come in every way that there is: no reply may be worse than
// an error.
func FuzzRawReply(f *testing.F) {
	for _, seed := range []string{
		"$3\r\nabc\r\n", "$-1\r\n", "$9223372036854775807\r\nabc\r\n", "$3\r\nab", "$\r\n", ":12\r\n", ":x\r\n", "_\r\n", ",1.5\r\n", "+OK\r\n",
		"*2\r\n$1\r\na\r\n:1\r\n", "%1\r\n$1\r\na\r\n$1\r\nb\r\n", "*-1\r\n", "*9\r\n", "%9223372036854775807\r\n", "~1\r\n*0\r\n", "|1\r\n", "", "\r\n",
		"*1\r\n*2\r\n$1\r\na\r\n,1\r\n", "*1\r\n*3\r\n", "*1\r\n*2\r\n$1\r\na\r\n,nan\r\n",
	} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, reply string) {
		replied := func() *batch {
			b := &batch{commands: make([]rawCommand, 3)}
			for i := range b.commands {
				b.commands[i].SetVal([]byte(reply))
				b.commands[i].SetErr(nil)
			}
			return b
		}
		r, err := replied().next()
		if err != nil {
			return
		}
		if text, _, err := r.text(); err == nil && !strings.Contains(reply, string(text)) {
			t.Errorf("%q is said to be %q", reply, text)
		}
		r, _ = replied().next()
		if n, err := r.list(); err == nil && n < 0 {
			t.Errorf("%q has %d elements", reply, n)
		}
		_, _ = replied().number()
		_, _, _ = replied().judgeHead(store.Owner{})
		src := &source{}
		_ = src.answer(replied(), nil, 3)
		_ = (&parts{}).read(&batch{commands: replied().commands}, 1, 1, 1)
	})
}
