package matrix

import (
	"errors"
	"fmt"
	"net/http"
	"time"

	"parley/contracttest/claims"
)

// disconnected stands in the health column where others have a failure class.
const disconnected = "disconnected"

// healthName names the column; it has the three paths though a service may have fewer.
const healthName = "GET /health, /readyz, /livez"

// asksHealth reports whether a target tells of its Redis.
func (t Target) asksHealth() bool {
	return t.Lacks.Has(claims.HealthRedis, claims.Health) && t.tries(healthName)
}

// healthColumn asks how the service is. It tells so late, but answers at once.
type healthColumn struct{ routeColumn }

func (c *healthColumn) name() string          { return healthName }
func (c *healthColumn) within() time.Duration { return c.HealthRecovery }
func (c *healthColumn) sends() string         { return healthName }
func (c *healthColumn) approach() error       { return nil }
func (c *healthColumn) verify(outcome) error  { return c.prepare() }

// prepare waits for the first probe, and verify for another, should the machine have
// been too late for one.
func (c *healthColumn) prepare() error {
	tick, began := time.NewTicker(10*time.Millisecond), time.Now()
	defer tick.Stop()
	for {
		err := c.works()
		if err == nil || time.Since(began) > c.HealthRecovery+c.late() {
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
		if !c.down || err == nil && class == disconnected || time.Since(began) > c.HealthRecovery+c.late() {
			return o
		}
		<-tick.C
	}
}

// look asks all three and finds out whether they agree.
func (c *healthColumn) look() (status int, class string, err error) {
	ctx := c.tb.Context()
	health, err := c.call(ctx, "GET", "/health", nil, "")
	if health.Redis == disconnected {
		class = disconnected
	}
	want := http.StatusOK
	if class == disconnected {
		want = http.StatusServiceUnavailable
	}
	if err == nil && health.status != want {
		err = fmt.Errorf("/health answers %d %v", health.status, health.Status)
	}
	if c.lacks.Has(claims.Live) {
		if live, lerr := c.call(ctx, "GET", "/livez", nil, ""); lerr != nil || live.status != http.StatusOK {
			err = errors.Join(err, lerr, fmt.Errorf("/livez answers %d", live.status))
		}
	}
	if c.lacks.Has(claims.Ready) {
		if ready, rerr := c.call(ctx, "GET", "/readyz", nil, ""); rerr != nil || ready.status != want {
			err = errors.Join(err, rerr, fmt.Errorf("/health answers %d %v, /readyz %d %v", health.status, health.Status, ready.status, ready.Status))
		}
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
