package copilot

import "strings"

// cloud is one of the clouds that agents live in.
type cloud struct {
	name string
	host string
	tail int // how many digits of the environment id make a label of their own
}

// clouds is the table of all clouds with a host of their own, as the public
// SDKs have it (microsoft/Agents-for-net, PowerPlatformCloud).
func clouds() []cloud {
	return []cloud{
		{"Prod", "api.powerplatform.com", 2},
		{"FirstRelease", "api.powerplatform.com", 2},
		{"Preprod", "api.preprod.powerplatform.com", 1},
		{"Test", "api.test.powerplatform.com", 1},
		{"Dev", "api.dev.powerplatform.com", 1},
		{"Exp", "api.exp.powerplatform.com", 1},
		{"Prv", "api.prv.powerplatform.com", 1},
		{"Local", "api.powerplatform.localhost", 1},
		{"Gov", "api.gov.powerplatform.microsoft.us", 1},
		{"GovFR", "api.gov.powerplatform.microsoft.us", 1},
		{"High", "api.high.powerplatform.microsoft.us", 1},
		{"DoD", "api.appsplatform.us", 1},
		{"Mooncake", "api.powerplatform.partner.microsoftonline.cn", 1},
		{"Ex", "api.powerplatform.eaglex.ic.gov", 1},
		{"Rx", "api.powerplatform.microsoft.scloud", 1},
	}
}

// otherCloud is the cloud whose host the caller names.
const otherCloud = "Other"

func (e Endpoint) cloud() (cloud, error) {
	name := strings.TrimSpace(e.Cloud)
	if name == "" {
		name = "Prod"
	}
	if strings.EqualFold(name, otherCloud) {
		return customCloud(e.CustomCloud)
	}
	for _, c := range clouds() {
		if strings.EqualFold(name, c.name) {
			return c, nil
		}
	}
	names := make([]string, 0, 16)
	for _, c := range clouds() {
		names = append(names, c.name)
	}
	return cloud{}, bad("Cloud", "must be one of "+strings.Join(names, ", ")+", "+otherCloud)
}

// customCloud takes the bare host, and also the host with a scheme: of the
// public SDKs one wants the former and one the latter.
func customCloud(s string) (cloud, error) {
	host := strings.ToLower(strings.TrimSpace(s))
	if host == "" {
		return cloud{}, bad("CustomCloud", "is missing, which the cloud Other needs")
	}
	if _, rest, ok := strings.Cut(host, "://"); ok {
		if !strings.HasPrefix(host, "https://") {
			return cloud{}, bad("CustomCloud", "must be a bare host, or begin with https://")
		}
		host = rest
	}
	host = strings.TrimSuffix(host, "/")
	if !isHost(host) {
		return cloud{}, bad("CustomCloud", "must be a bare host such as api.example.com")
	}
	return cloud{otherCloud, host, 1}, nil
}

// isHost reports whether s is a host name of plain letters, digits and hyphens.
func isHost(s string) bool {
	if len(s) > 200 {
		return false
	}
	for label := range strings.SplitSeq(s, ".") {
		if label == "" || len(label) > 63 || label[0] == '-' || label[len(label)-1] == '-' {
			return false
		}
		for i := range len(label) {
			c := label[i]
			if (c < 'a' || c > 'z') && (c < '0' || c > '9') && c != '-' {
				return false
			}
		}
	}
	return true
}
