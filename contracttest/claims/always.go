package claims

// What every server promises. Nobody has to claim it, and nobody can be without it.
const (
	Healthy Claim = "healthy"
	Told    Claim = "told"
	Kept    Claim = "kept"
)

// Always lists what every server promises.
func Always() []Described {
	return []Described{
		{Healthy, "it works while nothing is wrong", nil},
		{Told, "every request is answered, and a failure is told as that of the store or of the agent, whichever failed", nil},
		{Kept, "what was answered with success is there afterwards, once", nil},
	}
}
