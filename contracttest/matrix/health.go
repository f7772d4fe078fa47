package matrix

import (
	"errors"
	"fmt"
	"net/http"
	"time"
)

// disconnected stands in the health column where others have a failure class.
const disconnected = "disconnected"

// healthColumn asks how the service is. It tells so late, but answers at once.
type healthColumn struct{ routeColumn }

func (c *healthColumn) name() string          { return "GET /health, /readyz, /livez" }
func (c *healthColumn) within() time.Duration { return HealthRecovery }
func (c *healthColumn) approach() error       { return nil }
func (c *healthColumn) verify(outcome) error  { return c.works() }

// prepare waits for the first probe.
func (c *healthColumn) prepare() error {
	tick, began := time.NewTicker(10*time.Millisecond), time.Now()
	defer tick.Stop()
	for {
		err := c.works()
		if err == nil || time.Since(began) > HealthRecovery+c.late() {
			return err
		}
		<-tick.C
	}
}

func (c *healthColumn) expect(r Row) Expect {
	if r.Down {
		return Expect{disconnected}
	}
	return Expect{""}
}

// fire waits until the three have settled, and gives the longest that one
// answer took.
func (c *healthColumn) fire() outcome {
	var o outcome
	tick, began := time.NewTicker(20*time.Millisecond), time.Now()
	defer tick.Stop()
	for {
		asked := time.Now()
		status, class, err := c.look()
		o.took = max(o.took, time.Since(asked)/3)
		o.status, o.class, o.fault = status, class, err
		if !c.down || err == nil && class == disconnected || time.Since(began) > HealthRecovery+c.late() {
			return o
		}
		<-tick.C
	}
}

// look asks all three and finds out whether they agree.
func (c *healthColumn) look() (status int, class string, err error) {
	ctx := c.tb.Context()
	health, herr := c.call(ctx, "GET", "/health", nil, "")
	ready, rerr := c.call(ctx, "GET", "/readyz", nil, "")
	live, lerr := c.call(ctx, "GET", "/livez", nil, "")
	err = errors.Join(herr, rerr, lerr)
	if health.Redis == disconnected {
		class = disconnected
	}
	if err == nil && live.status != http.StatusOK {
		err = fmt.Errorf("/livez answers %d", live.status)
	}
	want := http.StatusOK
	if class == disconnected {
		want = http.StatusServiceUnavailable
	}
	if err == nil && (health.status != want || ready.status != want) {
		err = fmt.Errorf("/health answers %d %v, /readyz %d %v", health.status, health.Status, ready.status, ready.Status)
	}
	return health.status, class, err
}

// works reports whether the three are content.
func (c *healthColumn) works() error {
	_, class, err := c.look()
	if err == nil && class != "" {
		err = errors.New("/health says that Redis is disconnected")
	}
	return err
}
