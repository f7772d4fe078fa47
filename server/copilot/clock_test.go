package copilot_test

import (
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"parley/server/copilot"
	"parley/server/copilot/emulator"
)

// after asserts how much time a call took, in a bubble where only waiting does.
func after(t *testing.T, began time.Time, want time.Duration) {
	t.Helper()
	if got := time.Since(began); got < want || got > want+100*time.Millisecond {
		t.Errorf("took %v, want %v", got, want)
	}
}

func TestThrottled(t *testing.T) {
	overBoth(t, func(t *testing.T, _, piped connect) {
		tests := []struct {
			name     string
			queue    []string
			deadline time.Duration
			requests int
			took     time.Duration
			kind     error
			after    time.Duration
		}{
			{"short, then well", []string{"/429 3"}, time.Minute, 2, 3 * time.Second, nil, 0},
			{"no deadline", []string{"/429 5"}, 0, 2, 5 * time.Second, nil, 0},
			{"at once", []string{"/429 0"}, time.Minute, 2, time.Second, nil, 0},
			{"a date", []string{"/429 Sat, 01 Jan 2000 00:00:04 GMT"}, time.Minute, 2, 4 * time.Second, nil, 0},
			{"twice", []string{"/429 3", "/429 2"}, time.Minute, 2, 3 * time.Second, copilot.ErrThrottled, 2 * time.Second},
			{"long", []string{"/429 6"}, time.Minute, 1, 0, copilot.ErrThrottled, 6 * time.Second},
			{"longer than the deadline", []string{"/429 3"}, 2 * time.Second, 1, 0, copilot.ErrThrottled, 3 * time.Second},
			{"without a time", []string{"/429"}, time.Minute, 1, 0, copilot.ErrThrottled, 0},
			{"then something else", []string{"/429 1", "/status 500"}, time.Minute, 2, time.Second, copilot.ErrServer, 0},
			{"unavailable", []string{"/status 503"}, time.Minute, 1, 0, copilot.ErrServer, 0},
		}
		for _, tt := range tests {
			t.Run(tt.name, func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					emu := emulator.New(emulator.Options{})
					c := piped(t, emu, nil)
					id := open(t, c)
					emu.Next(emulator.KindTurn, tt.queue...)
					ctx := t.Context()
					if tt.deadline > 0 {
						var cancel context.CancelFunc
						ctx, cancel = context.WithTimeout(ctx, tt.deadline)
						defer cancel()
					}
					began := time.Now()
					got := collect(t, c.Turn(ctx, turn(id, "hello")))
					after(t, began, tt.took)
					if (got.err == nil) != (tt.kind == nil) || got.err != nil && (!errors.Is(got.err, tt.kind) || got.err.RetryAfter != tt.after) {
						t.Errorf("error = %+v, want %v", got.err, tt.kind)
					}
					if n := sent(emu, emulator.KindTurn); n != tt.requests {
						t.Errorf("%d requests, want %d", n, tt.requests)
					}
					if tt.kind == nil && got.last.Text != "You said (turn 1): hello" {
						t.Errorf("answer = %q", got.last.Text)
					}
				})
			})
		}
	})
}

func TestThrottledAndLeft(t *testing.T) {
	overBoth(t, func(t *testing.T, _, piped connect) {
		synctest.Test(t, func(t *testing.T) {
			emu := emulator.New(emulator.Options{})
			c := piped(t, emu, nil)
			id := open(t, c)
			ctx, cancel := context.WithCancel(t.Context())
			time.AfterFunc(time.Second, cancel)
			got := collect(t, c.Turn(ctx, turn(id, "/429 5")))
			if got.err == nil || sent(emu, emulator.KindTurn) != 1 {
				t.Errorf("%+v, %d requests", got.err, sent(emu, emulator.KindTurn))
			}
		})
	})
}

func TestTimeouts(t *testing.T) {
	overBoth(t, func(t *testing.T, _, piped connect) {
		tests := []struct {
			say    string
			took   time.Duration
			kind   error
			events int
		}{
			{"/nothing", 20 * time.Second, copilot.ErrTimeout, 0},
			{"/silent", 20 * time.Second, copilot.ErrTimeout, 1},
			{"/slow 19s", 19 * time.Second, nil, 2},
			{"/slow 21s", 20 * time.Second, copilot.ErrTimeout, 1},
			{"/stall", 30 * time.Second, copilot.ErrTimeout, 2},
			// Comments show that the agent lives, not that it answers.
			{"/heartbeat 9s 5", 20 * time.Second, copilot.ErrTimeout, 1},
			{"/endless 29s", 100 * time.Second, copilot.ErrTimeout, 5}, // the caller's own deadline
			{"/endless 31s", 30 * time.Second, copilot.ErrTimeout, 2},
		}
		for _, tt := range tests {
			t.Run(tt.say, func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					c := piped(t, emulator.New(emulator.Options{}), func(o *copilot.Options) {
						o.Timeouts = copilot.Timeouts{FirstEvent: 20 * time.Second, Idle: 30 * time.Second}
					})
					id := open(t, c)
					ctx, cancel := context.WithTimeout(t.Context(), 100*time.Second)
					defer cancel()
					began := time.Now()
					got := collect(t, c.Turn(ctx, turn(id, tt.say)))
					after(t, began, tt.took)
					if (got.err == nil) != (tt.kind == nil) || got.err != nil && !errors.Is(got.err, tt.kind) || len(got.events) != tt.events {
						t.Errorf("%q, error %+v, want %d events, %v", got.events, got.err, tt.events, tt.kind)
					}
				})
			})
		}
	})
}

// TestCommentsKeepTheTurn: once there was an event, any byte shows life.
func TestCommentsKeepTheTurn(t *testing.T) {
	overBoth(t, func(t *testing.T, _, piped connect) {
		synctest.Test(t, func(t *testing.T) {
			h := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				_, _ = io.Copy(io.Discard, r.Body)
				w.Header().Set("Content-Type", "text/event-stream")
				say := func(s string) {
					_, _ = io.WriteString(w, s)
					_ = http.NewResponseController(w).Flush()
				}
				say("event: activity\ndata: {\"type\":\"typing\"}\n\n")
				for range 10 {
					<-time.After(9 * time.Second)
					say(": alive\n\n")
				}
				say(end)
			})
			c := piped(t, h, func(o *copilot.Options) {
				o.Timeouts = copilot.Timeouts{FirstEvent: time.Second, Idle: 10 * time.Second}
			})
			began := time.Now()
			if got := collect(t, c.Turn(t.Context(), turn("c", "x"))); got.err != nil {
				t.Errorf("error = %+v", got.err)
			}
			after(t, began, 90*time.Second)
		})
	})
}

// TestSlowCallers: the time that the caller takes is not the agent's.
func TestSlowCallers(t *testing.T) {
	overBoth(t, func(t *testing.T, _, piped connect) {
		synctest.Test(t, func(t *testing.T) {
			c := piped(t, emulator.New(emulator.Options{}), func(o *copilot.Options) {
				o.Timeouts = copilot.Timeouts{FirstEvent: time.Second, Idle: time.Second}
			})
			var got []string
			for e, err := range c.Turn(t.Context(), turn(open(t, c), "/two")) {
				if err != nil {
					t.Fatal(err)
				}
				got = append(got, words(e))
				<-time.After(time.Hour)
			}
			if want := []string{"conversation", "message First of turn 1.", "message Second of turn 1."}; !slices.Equal(got, want) {
				t.Errorf("events = %q, want %q", got, want)
			}
		})
	})
}

func TestLeaving(t *testing.T) {
	overBoth(t, func(t *testing.T, _, piped connect) {
		leave := map[string]func(t *testing.T, c copilot.Agent, id string){
			"break": func(t *testing.T, c copilot.Agent, id string) {
				for _, err := range c.Turn(t.Context(), turn(id, "/stall")) {
					if err != nil {
						t.Error(err)
					}
					break
				}
			},
			"break late": func(t *testing.T, c copilot.Agent, id string) {
				n := 0
				for _, err := range c.Turn(t.Context(), turn(id, "/endless 1s")) {
					if n++; n == 5 || err != nil {
						break
					}
				}
			},
			"cancel": func(t *testing.T, c copilot.Agent, id string) {
				ctx, cancel := context.WithCancel(t.Context())
				time.AfterFunc(time.Second, cancel)
				began := time.Now()
				got := collect(t, c.Turn(ctx, turn(id, "/stall")))
				after(t, began, time.Second)
				if got.err == nil || !errors.Is(got.err, copilot.ErrInterrupted) {
					t.Errorf("error = %+v", got.err)
				}
			},
			"cancel before headers": func(t *testing.T, c copilot.Agent, id string) {
				ctx, cancel := context.WithCancel(t.Context())
				time.AfterFunc(time.Second, cancel)
				if got := collect(t, c.Turn(ctx, turn(id, "/nothing"))); got.err == nil || !errors.Is(got.err, copilot.ErrInterrupted) {
					t.Errorf("error = %+v", got.err)
				}
			},
		}
		for name, f := range leave {
			t.Run(name, func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					emu := emulator.New(emulator.Options{})
					served := make(chan struct{}, 10)
					c := piped(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
						defer func() { served <- struct{}{} }()
						emu.ServeHTTP(w, r)
					}), nil)
					id := open(t, c)
					<-served
					f(t, c, id)
					<-served // the agent's side ends, too
				})
			})
		}
	})
}

// TestAfterTheEnd: a response that closes soon after its last event leaves its
// connection for the next call; one that stays open does not hold the call up.
func TestAfterTheEnd(t *testing.T) {
	overBoth(t, func(t *testing.T, _, piped connect) {
		for stay, dials := range map[time.Duration]int{0: 1, 10 * time.Millisecond: 1, time.Hour: 2} {
			synctest.Test(t, func(t *testing.T) {
				h := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
					_, _ = io.Copy(io.Discard, r.Body)
					if r.ProtoMajor == 2 {
						dials = 1 // which does not give up a connection for one stream
					}
					w.Header().Set("Content-Type", "text/event-stream")
					_, _ = io.WriteString(w, end)
					_ = http.NewResponseController(w).Flush()
					select {
					case <-time.After(stay):
					case <-r.Context().Done():
					}
				})
				dialed := 0
				c := piped(t, h, func(o *copilot.Options) {
					tr := o.Transport.(*http.Transport)
					dial := tr.DialContext
					tr.DialContext = func(ctx context.Context, network, addr string) (net.Conn, error) {
						dialed++
						return dial(ctx, network, addr)
					}
				})
				began := time.Now()
				for range 2 {
					if got := collect(t, c.Turn(t.Context(), turn("c", "x"))); got.err != nil {
						t.Errorf("error = %+v", got.err)
					}
					synctest.Wait()
				}
				after(t, began, 0)
				if dialed != dials {
					t.Errorf("stays %v: %d connections, want %d", stay, dialed, dials)
				}
			})
		}
	})
}
