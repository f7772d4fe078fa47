package matrix

// unbound is a number of anything that nobody reaches.
const unbound = "1000000"

// Attacks are what one caller can do to the others, and what must hold: with the
// default settings unless the attack says otherwise.
func Attacks() []Attack {
	return []Attack{
		{
			ID: "full-conversation", About: "fills a conversation, then reads it in eight loops",
			Promise: "it is full at MAX_CONVERSATION_BYTES, and no page is more than 1 MiB and a turn",
			OnRedis: true, InMemory: true, Ratio: 2, PeakMB: 256, prepare: (*assault).fill, run: (*assault).readFull,
			Unbound: []string{"MAX_CONVERSATION_BYTES", "1073741824"},
		},
		{
			ID: "endless-history", About: "goes on in a full conversation, and reads all of it from its end to its start",
			Promise: "every further message is refused, the store grows no more, and all can be read in pages",
			OnRedis: true, InMemory: true, Ratio: 3, PeakMB: 256, prepare: (*assault).fill, run: (*assault).goOnInFull,
			Unbound: []string{"MAX_CONVERSATION_BYTES", "1073741824"},
		},
		{
			ID: "keys", About: "keeps 64 KiB of collectedData with a conversation, then sends 500 short messages with idempotency keys, and goes on",
			Promise: "Redis holds at most 0.5 MB after the 500",
			OnRedis: true, Ratio: 3, PeakMB: 256, alone: (*assault).measureKeys, run: (*assault).sendWithKeys,
		},
		{
			ID: "nothing-new", About: "asks a conversation of 64 KiB messages for what came after its last turn, in eight loops",
			Promise: "such a read takes at most 2 KB from Redis",
			OnRedis: true, Ratio: 3, PeakMB: 256, alone: (*assault).measureNothingNew, run: (*assault).readNothingNew,
		},
		{
			ID: "large-answer", About: "has the agent answer with 60 MB, with 3 MB, and without end, in four conversations",
			Promise: "every such answer is refused as upstream_protocol",
			OnRedis: true, InMemory: true, Ratio: 3, PeakMB: 256, run: (*assault).haveMuchSaid,
			Unbound: []string{"MAX_ANSWER_BYTES", "67108864"},
		},
		{
			ID: "bodies", About: "opens 16 connections with 250 HTTP/2 streams each, whose bodies never arrive",
			Promise: "others have their places",
			OnRedis: true, InMemory: true, Ratio: 3, PeakMB: 256, prepare: (*assault).openBodies, run: (*assault).keepBodies,
			Unbound: []string{"MAX_REQUESTS_PER_USER", unbound, "MAX_TURNS_PER_USER", unbound},
		},
		{
			ID: "unread", About: "opens 2,000 HTTP/2 streams for /metrics and a static file, and reads none of them",
			Promise:  "who reads the file gets it",
			Settings: []string{"ADMIN_PORT", ""},
			OnRedis:  true, InMemory: true, Ratio: 3, PeakMB: 256, run: (*assault).readNothing,
		},
		{
			ID: "unknown-keys", About: "shows tokens of a key that nobody knows while the issuer hangs, 100 at a time",
			Promise: "they get 503 or 429, and known keys are not affected",
			OnRedis: true, InMemory: true, Ratio: 3, PeakMB: 256, run: (*assault).showUnknownKeys,
		},
		{
			ID: "connections", About: "keeps all of MAX_CONNECTIONS open and idle",
			Promise:  "probes on ADMIN_PORT are answered",
			Settings: []string{"MAX_CONNECTIONS", "64"},
			OnRedis:  true, InMemory: true, Ratio: 3, PeakMB: 256, run: (*assault).keepConnections,
			Unbound: []string{"ADMIN_PORT", ""},
		},
		{
			ID: "room", About: "starts conversations in a store that has room for 100",
			Promise:  "the conversations of others stay",
			Settings: []string{"MEMORY_MAX_CONVERSATIONS", "100"},
			InMemory: true, Ratio: 3, PeakMB: 256, run: (*assault).takeRoom, apart: true,
		},
		{
			ID: "conversations", About: "starts as many conversations as can be had, then goes on",
			Promise:  "after MAX_CONVERSATIONS_PER_USER all are refused as quota_exceeded",
			Settings: []string{"MAX_CONVERSATIONS_PER_USER", "200"},
			OnRedis:  true, InMemory: true, Ratio: 3, PeakMB: 256, run: (*assault).startMany,
			Unbound: []string{"MAX_CONVERSATIONS_PER_USER", unbound},
		},
		{
			ID: "turns", About: "asks 100 things at once of an agent that never answers",
			Promise:  "others have turns, however few there are",
			Settings: []string{"MAX_TURNS", "40"},
			OnRedis:  true, InMemory: true, Ratio: 3, PeakMB: 256, run: (*assault).keepTurns,
			Unbound: []string{"MAX_TURNS_PER_USER", unbound, "MAX_REQUESTS_PER_USER", unbound},
		},
		{
			ID: "slow-line", About: "reads a full conversation in eight loops while the line to Redis carries 2 MB a second",
			Promise:  "the breaker stays shut",
			Settings: []string{"REDIS_TIMEOUT", "1000"}, // so that calls are too slow within the attack
			OnRedis:  true, PeakMB: 256, prepare: (*assault).fill, run: (*assault).fillLine, apart: true,
		},
		{
			ID: "unread-log", About: "asks in eight loops while nobody reads standard error",
			Promise: "nobody waits for the log, and what is missing of it is counted",
			OnRedis: true, InMemory: true, Deaf: true, Ratio: 3, PeakMB: 256, prepare: (*assault).fillLog, run: (*assault).writeToFullLog,
		},
	}
}

// Together are the attacks that can be made at once on one service, which has the
// default settings. Attackers, agent, proxy and service share the processors, so that
// what the machine is late by counts twice beside the Ratio, as everywhere here: on two
// processors that others used as well, the other tenant's p99 was 56 ms before and
// 330 ms during the attacks, while the machine was late by up to 384 ms.
func Together() []Attack {
	var all []Attack
	for _, a := range Attacks() {
		if a.apart {
			continue
		}
		a.PeakMB = togetherMB
		a.Ratio, a.Settings = togetherRatio, nil
		all = append(all, a)
	}
	return all
}

// togetherRatio bounds the other tenant's p99 while all attack.
const togetherRatio = 3

// togetherMB is what the process may take, in MiB, while all attack.
const togetherMB = 512
