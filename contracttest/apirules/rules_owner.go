package apirules

import (
	"strings"

	"github.com/google/uuid"

	"parley/contracttest/claims"
	"parley/server/auth/authtest"
)

// signIn has callers sign in from now on, and gives the means to.
func (e *env) signIn() *callers {
	e.Helper()
	key := authtest.NewRSA(e, "key")
	issuer := authtest.NewIssuer(e, key)
	c := &callers{e: e, key: key, issuer: issuer}
	e.wiring.Issuer, e.wiring.IssuerKeys, e.wiring.IssuerCAFile = issuer.URL(), issuer.KeysURL(), issuer.CAFile(e)
	e.wiring.Audience, e.wiring.Tenants = authtest.ClientID, authtest.Tenant
	return c
}

// callers signs users in.
type callers struct {
	e      *env
	key    *authtest.Key
	issuer *authtest.Issuer
}

// claims are those of a user whom nobody else is.
func (c *callers) claims() authtest.Object { return c.issuer.Claims().With("oid", uuid.NewString()) }

// another makes the caller of what is asked from now on somebody else.
func (c *callers) another() (token string) {
	c.e.token = c.key.Token(c.claims())
	return c.e.token
}

// owned is a rule about a conversation of another owner.
func owned(word, sentence string, route claims.Claim, r func(id string) request) Rule {
	return Rule{
		ID: "owner." + word, Chapter: "ownership", Sentence: sentence,
		Why: "403 tells a stranger that the conversation exists, and 200 tells him what is in it",
		How: "one user begins a conversation, another of the same tenant asks for it; the answer must be 404, the same as for an id " +
			"that there is not but for its trace, and afterwards the owner must still have it", Wired: true,
		Needs: []claims.Claim{claims.Ownership, route},
		check: func(e *env) {
			users := e.signIn()
			e.start()
			owner := users.another()
			id := e.begin()
			users.another()
			a, none := e.ask(r(id)), nobody()
			e.refused(a, 404, "not_found")
			n := e.ask(r(none))
			e.refused(n, 404, "not_found")
			if like(a, id) != like(n, none) {
				e.broken("another's conversation and none are told apart: %s and %s", a, n)
			}
			e.token = owner
			e.ok(sending(id, "still here"))
		},
	}
}

// like is an answer without what is another's in each.
func like(a answer, id string) string {
	text := strings.ReplaceAll(a.raw, id, "{id}")
	if a.TraceID != "" {
		text = strings.ReplaceAll(text, a.TraceID, "{trace}")
	}
	return text
}

// uninvited is a rule about a token that lets nobody in.
func uninvited(word, sentence string, claim claims.Claim, token func(c *callers) string, status int, class string) Rule {
	return Rule{
		ID: "owner." + word, Chapter: "ownership", Sentence: sentence,
		Why: "who signs in with a token that nobody vouches for can be anybody", How: "a conversation is asked for with such a token", Wired: true,
		Needs: []claims.Claim{claim},
		check: func(e *env) {
			users := e.signIn()
			e.start()
			users.another()
			e.begin() // a good token lets its user in, or the rest proves nothing
			e.token = token(users)
			e.refused(e.ask(starting()), status, class)
		},
	}
}

func ownerRules() []Rule {
	return []Rule{
		owned("read", "another's conversation cannot be read", claims.Read, reading),
		owned("send", "nobody sends to another's conversation", claims.Send, func(id string) request { return sending(id, "let me in") }),
		owned("card-action", "nobody submits a card to another's conversation", claims.CardAction, submitting),
		owned("change", "nobody closes another's conversation", claims.Change, closing),
		owned("delete", "nobody deletes another's conversation", claims.Delete, deleting),
		owned("stop", "nobody stops a turn of another's", claims.Stop, func(id string) request {
			return request{method: "POST", path: "/api/chat/conversations/" + id + "/stop", body: m{}}
		}),
		owned("follow", "nobody follows a turn of another's", claims.Resume, func(id string) request {
			return request{method: "GET", path: "/api/chat/conversations/" + id + "/stream"}
		}),
		{
			ID: "owner.list", Chapter: "ownership", Sentence: "a list has the caller's own conversations and no other's",
			Why: "a list is the easiest way to learn what others talk about", How: "two users begin a conversation each and list theirs", Wired: true,
			Needs: []claims.Claim{claims.Ownership, claims.List},
			check: func(e *env) {
				users := e.signIn()
				e.start()
				for range 2 {
					users.another()
					id := e.begin()
					if a := e.ok(listing()); len(a.Conversations) != 1 || a.Conversations[0].ConversationID != id {
						e.broken("want the one conversation of the caller's: %s", a)
					}
				}
			},
		},
		uninvited("no-token", "without a token nobody is let in", claims.Ownership, func(*callers) string { return "" }, 401, "unauthenticated"),
		uninvited("foreign-key", "a token that is signed with another key lets nobody in", claims.Ownership, func(c *callers) string {
			return authtest.NewRSA(c.e, "key").Token(c.claims())
		}, 401, "unauthenticated"),
		uninvited("expired", "a token that has expired lets nobody in", claims.Ownership, func(c *callers) string {
			return c.key.Token(c.claims().With("exp", 1))
		}, 401, "unauthenticated"),
		uninvited("audience", "a token for another service lets nobody in", claims.Ownership, func(c *callers) string {
			return c.key.Token(c.claims().With("aud", "api://somebody-else"))
		}, 401, "unauthenticated"),
		uninvited("tenant", "a tenant that is not allowed is 403", claims.Tenants, func(c *callers) string {
			return c.key.Token(c.claims().With("tid", uuid.NewString()))
		}, 403, "forbidden"),
	}
}
