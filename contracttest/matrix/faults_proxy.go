package matrix

import (
	"strings"
	"time"

	"parley/contracttest/claims"
	"parley/contracttest/faultproxy"
)

// with is a row whose fault the proxy makes.
func with(id, fault string, f faultproxy.Fault) Row {
	return Row{ID: id, Fault: fault, inject: func(bed *testbed) { bed.proxy.Set(f) }}
}

// says is a row in which everything is answered with an error reply that a real
// Redis gives in states that are hard to bring about.
func says(id, fault, reply string) Row {
	r := with(id, fault, faultproxy.Answer(faultproxy.Error(reply)).On(faultproxy.DataAndPing))
	r.Down = true
	return r
}

func (r Row) waits() Row   { r.Waits = true; return r }
func (r Row) down() Row    { r.Down = true; return r }
func (r Row) scripts() Row { r.Needs = append(r.Needs, claims.Scripts); return r }
func (r Row) plain() Row   { r.Plain = true; return r }
func (r Row) forever() Row { r.Forever, r.Cold = true, true; return r }
func (r Row) cold() Row    { r.Cold = true; return r }
func (r Row) at(url func(bed *testbed) string) Row {
	r.url = url
	return r
}

// noSuchHost is a name that cannot exist: a label of it has one octet more than RFC
// 1035, section 2.3.4, allows. So it is found not to exist without asking a name
// server, of which some take seconds to say so.
var noSuchHost = strings.Repeat("n", 64) + ".invalid"

// proxyRows are faults that are made between the service and Redis.
func proxyRows() []Row {
	const unreachable, timeout, protocol = "store_unreachable", "store_timeout", "store_protocol"
	refuse := func(bed *testbed) { bed.proxy.Set(faultproxy.Refuse()) }
	return []Row{
		Row{ID: "refused", Fault: "connections are refused", inject: refuse}.all(unreachable).down(),
		Row{ID: "refused-at-start", Fault: "connections are refused when the service starts", inject: refuse}.all(unreachable).down().cold(),
		Row{ID: "ignored", Fault: "what is sent to connect is dropped (SYN black hole)", inject: func(bed *testbed) { bed.proxy.Set(faultproxy.HangDials()); bed.proxy.KillConns(faultproxy.RST) }}.all(timeout).waits().down(),
		with("reset-on-accept", "new connections are reset, and those there were are gone", faultproxy.CloseOnAccept(faultproxy.RST)).andKill(faultproxy.RST).all(unreachable).down(),
		with("closed-on-accept", "new connections are closed, and those there were are gone", faultproxy.CloseOnAccept(faultproxy.FIN)).andKill(faultproxy.RST).all(unreachable).down(),
		with("silent-on-accept", "new connections are accepted and not a word is said, and those there were are gone", faultproxy.BlackHole(faultproxy.Both, faultproxy.NewConns)).andKill(faultproxy.RST).all(timeout).waits().down(),
		with("reset-before", "the connection is reset before Redis gets the command", faultproxy.CutBefore(faultproxy.RST)).all(unreachable),
		with("closed-before", "the connection is closed before Redis gets the command", faultproxy.CutBefore(faultproxy.FIN)).all(unreachable),
		with("reset-in-reply", "the connection is reset in the middle of a reply", faultproxy.CutMidReply(2, faultproxy.RST)).all(unreachable),
		with("closed-in-reply", "the connection is closed in the middle of a reply", faultproxy.CutMidReply(2, faultproxy.FIN)).all(unreachable),
		with("reset-after", "Redis runs the command and the connection is reset before the reply", faultproxy.CutAfter(faultproxy.RST)).all(unreachable),
		with("closed-after", "Redis runs the command and the connection is closed before the reply", faultproxy.CutAfter(faultproxy.FIN)).all(unreachable),
		with("lost-request", "commands never reach Redis (black hole)", faultproxy.BlackHole(faultproxy.Requests, faultproxy.AllConns)).all(timeout).waits().down(),
		with("lost-reply", "Redis runs the commands and no reply comes back (black hole)", faultproxy.BlackHole(faultproxy.Replies, faultproxy.AllConns)).all(timeout).waits().down(),
		with("half-open", "connections there were lead nowhere, new ones work", faultproxy.HalfOpen()).all(timeout, "").waits(),
		Row{ID: "drip", Fault: "replies come one byte in 100 ms", inject: func(bed *testbed) { bed.proxy.Set(faultproxy.Drip(bed.timeout / 8)) }}.all(timeout).waits(),
		Row{ID: "late", Fault: "every command takes 2 s", inject: func(bed *testbed) { bed.proxy.Set(faultproxy.Latency(bed.outlasting()).On(faultproxy.All)) }}.all(timeout).waits().down(),
		with("slow", "every command takes 100 ms", faultproxy.Latency(100*time.Millisecond)).all("").waits(),
		with("garbage-text", "what answers speaks HTTP", faultproxy.AnswerAfter(faultproxy.GarbageHTTP)).all(protocol),
		with("garbage-binary", "what answers speaks something binary", faultproxy.AnswerAfter(faultproxy.GarbageBinary)).all(protocol),
		with("wrong-shape-empty", "scripts are answered with an empty list", faultproxy.AnswerAfter(faultproxy.WrongArray).On(faultproxy.Scripts())).writes(protocol).scripts(),
		with("wrong-shape-ok", "scripts are answered with OK", faultproxy.AnswerAfter(faultproxy.WrongStatus).On(faultproxy.Scripts())).writes(protocol).scripts(),
		with("wrong-shape-number", "everything is answered with a number", faultproxy.AnswerAfter(faultproxy.WrongInteger)).all(protocol),
		Row{ID: "no-such-host", Fault: "the host name does not exist", inject: nothing}.all(unreachable).down().forever().plain().
			at(func(*testbed) string { return "redis://" + noSuchHost + ":6379" }),
		says("loading", "Redis is loading its data (LOADING)", "LOADING Redis is loading the dataset in memory").all("store_not_ready"),
		says("cluster-down", "the cluster is down (CLUSTERDOWN)", "CLUSTERDOWN The cluster is down").all("store_not_ready"),
		says("moved", "the slot is elsewhere, and the service knows one node only (MOVED)", "MOVED 3999 127.0.0.1:1").all("store_misconfigured"),
		says("ask", "the slot is on its way elsewhere (ASK)", "ASK 3999 127.0.0.1:1").all("store_misconfigured"),
		says("try-again", "the keys are being moved (TRYAGAIN)", "TRYAGAIN Multiple keys request during rehashing of slot").all("store_not_ready"),
		says("no-password", "Redis wants a password that the service does not have (NOAUTH)", "NOAUTH Authentication required.").all("store_auth"),
		says("rejected", "Redis gives an error that nobody foresaw", "ERR something nobody foresaw").all("store_rejected"),
		with("lies", "a command runs and is answered with an error (READONLY)", faultproxy.AnswerAfter(faultproxy.Error("READONLY You can't write against a read only replica.")).On(faultproxy.Scripts())).writes("store_readonly").scripts(),
		with("wrapped", "a script fails the way Redis 6 reports it (ERR Error running script … -OOM)", faultproxy.Answer(faultproxy.Error(
			"ERR Error running script (call to f_8a6b): @user_script:9: -OOM command not allowed when used memory > 'maxmemory'.",
		)).On(faultproxy.Scripts())).writes("store_full").scripts(),
	}
}

// outlasting is longer than any call waits, and longer than a probe of /health.
func (bed *testbed) outlasting() time.Duration { return max(2*time.Second, 2*bed.timeout) }

// tlsRows are faults of TLS itself.
func tlsRows() []Row {
	const unreachable = "store_unreachable"
	rows := []Row{
		Row{ID: "certificate-expired", Fault: "the certificate of Redis has expired", inject: func(bed *testbed) { bed.proxy.SetTLS(bed.tls.Expired) }}.andKill(faultproxy.FIN).all(unreachable).down(),
		Row{ID: "certificate-of-other-host", Fault: "the certificate of Redis is for another host", inject: func(bed *testbed) { bed.proxy.SetTLS(bed.tls.WrongHost) }}.andKill(faultproxy.FIN).all(unreachable).down(),
		Row{ID: "certificate-unknown", Fault: "the certificate of Redis is of an unknown authority", inject: func(bed *testbed) { bed.proxy.SetTLS(bed.tls.UnknownCA) }}.andKill(faultproxy.FIN).all(unreachable).down(),
		Row{ID: "tls-to-plain", Fault: "the service speaks TLS and Redis does not", inject: func(bed *testbed) { bed.proxy.SetTLS(nil) }}.andKill(faultproxy.FIN).all("store_timeout", unreachable).waits().down(),
		Row{ID: "tls-closed-idle", Fault: "connections over TLS are closed while they are idle", inject: func(bed *testbed) { bed.proxy.KillConns(faultproxy.FIN) }}.all("", unreachable),
	}
	for i := range rows {
		rows[i].secure = true
		rows[i].heal = func(bed *testbed) { bed.proxy.SetTLS(bed.tls.Good); bed.proxy.Heal() }
	}
	return append(rows, Row{ID: "plain-to-tls", Fault: "Redis speaks TLS and the service does not", inject: func(bed *testbed) {
		bed.proxy.SetTLS(faultproxy.NewCertificates(bed.tb).Good)
		bed.proxy.KillConns(faultproxy.RST)
	}, heal: func(bed *testbed) { bed.proxy.SetTLS(nil); bed.proxy.Heal() }}.all(unreachable).down().plain())
}

// andKill also ends the connections there are when the fault begins.
func (r Row) andKill(how faultproxy.How) Row {
	inject := r.inject
	r.inject = func(bed *testbed) {
		inject(bed)
		bed.proxy.KillConns(how)
	}
	return r
}
