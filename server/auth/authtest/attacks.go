package authtest

import (
	"crypto/hmac"
	"crypto/sha256"
	"crypto/x509"
	"encoding/pem"
	"strings"
	"testing"
	"time"
)

// Attack is a value of the Authorization header that must let nobody in.
type Attack struct {
	Header string
	// Forbidden is a token that is good, of somebody who may not come in.
	Forbidden bool
	// Unavailable is one whose key nobody can tell yet.
	Unavailable bool
	// Of any other: Description is what error_description says, Reason the word for it.
	Description, Reason string
}

// Attacks are attacks by name, made for a service that accepts ClientID as its
// audience, bare or after "api://", Tenant alone, and applications with Role alone.
// They add keys to the issuer's: the service must fetch the keys after that, and
// before it is attacked, with its clock standing still.
func Attacks(t testing.TB, issuer *Issuer) map[string]Attack {
	t.Helper()
	const (
		shape, signature, claimed = "token_malformed", "signature_invalid", "claims_invalid"

		invalid  = "The token is not valid."
		malform  = "The Authorization header must hold one bearer token."
		expired  = "The token has expired."
		early    = "The token is not valid yet."
		audience = "The token is for another audience."
		stranger = "The token is from another issuer."
		lacks    = "The token lacks the claims tid and oid."
		id       = "The token is an ID token; an access token is required."
	)
	rsa, ec, forger := NewRSA(t, "rsa-1"), NewEC(t, "ec-2"), NewRSA(t, "rsa-1")
	issuer.Add(ec, rsa)
	good := issuer.Claims()
	token := rsa.Token(good)
	der, err := x509.MarshalPKIXPublicKey(rsa.Private.Public())
	if err != nil {
		t.Fatal(err)
	}
	hs256 := func(secret []byte) func([]byte) []byte {
		return func(input []byte) []byte {
			mac := hmac.New(sha256.New, secret)
			mac.Write(input)
			return mac.Sum(nil)
		}
	}
	hs := rsa.Header().With("alg", "HS256")
	ago := func(d time.Duration) int64 { return time.Now().Add(-d).Unix() }
	claim := func(name string, value any) string { return "Bearer " + rsa.Token(good.With(name, value)) }
	header := func(name string, value any) string {
		return "Bearer " + Token(rsa.Header().With(name, value), good, rsa.Sign)
	}
	bearer := func(claims Object) string { return "Bearer " + rsa.Token(claims) }
	parts := strings.Split(token, ".")
	return map[string]Attack{
		"alg none":                  {Header: "Bearer " + Token(rsa.Header().With("alg", "none"), good, nil), Description: invalid, Reason: signature},
		"alg nOnE":                  {Header: "Bearer " + Token(rsa.Header().With("alg", "nOnE"), good, nil), Description: invalid, Reason: signature},
		"alg none, signed":          {Header: "Bearer " + Token(rsa.Header().With("alg", "none"), good, rsa.Sign), Description: invalid, Reason: signature},
		"alg missing":               {Header: header("alg", nil), Description: invalid, Reason: signature},
		"alg no string":             {Header: header("alg", 256), Description: invalid, Reason: signature},
		"HS256 with the public key": {Header: "Bearer " + Token(hs, good, hs256(pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: der}))), Description: invalid, Reason: signature},
		"HS256 with its DER":        {Header: "Bearer " + Token(hs, good, hs256(der)), Description: invalid, Reason: signature},
		"HS256 with nothing":        {Header: "Bearer " + Token(hs, good, hs256(nil)), Description: invalid, Reason: signature},
		"RS384":                     {Header: header("alg", "RS384"), Description: invalid, Reason: signature},
		"PS256":                     {Header: header("alg", "PS256"), Description: invalid, Reason: signature},
		"ES256 with an RSA key":     {Header: "Bearer " + Token(rsa.Header().With("alg", "ES256"), good, ec.Sign), Description: invalid, Reason: signature},
		"RS256 with an EC key":      {Header: "Bearer " + Token(ec.Header().With("alg", "RS256"), good, rsa.Sign), Description: invalid, Reason: signature},
		"wrong key":                 {Header: "Bearer " + forger.Token(good), Description: invalid, Reason: signature},
		"unknown kid":               {Header: header("kid", "elsewhere"), Unavailable: true},
		"another key's kid":         {Header: header("kid", ec.ID), Description: invalid, Reason: signature},
		"no kid":                    {Header: header("kid", nil), Description: invalid, Reason: signature},
		"kid no string":             {Header: header("kid", []string{"rsa-1"}), Description: invalid, Reason: signature},
		"kid a path":                {Header: header("kid", "../../dev/null"), Unavailable: true},
		"kid with NUL":              {Header: header("kid", "rsa-1\x00"), Description: invalid, Reason: signature},
		"embedded jwk":              {Header: "Bearer " + Token(forger.Header().With("jwk", forger.JWK()), good, forger.Sign), Description: invalid, Reason: signature},
		"jku":                       {Header: "Bearer " + Token(forger.Header().With("jku", "https://evil.example/keys"), good, forger.Sign), Description: invalid, Reason: signature},
		"x5u":                       {Header: "Bearer " + Token(forger.Header().With("x5u", "https://evil.example/cert"), good, forger.Sign), Description: invalid, Reason: signature},
		"x5c":                       {Header: "Bearer " + Token(forger.Header().With("x5c", []string{"MIIB"}), good, forger.Sign), Description: invalid, Reason: signature},
		"embedded jwk, good key":    {Header: header("jwk", rsa.JWK()), Description: invalid, Reason: signature},
		"crit":                      {Header: header("crit", []string{"b64"}), Description: invalid, Reason: signature},
		"another purpose":           {Header: header("typ", "logout+jwt"), Description: invalid, Reason: signature},
		"typ no string":             {Header: header("typ", 1), Description: invalid, Reason: signature},
		"expired":                   {Header: claim("exp", ago(time.Hour)), Description: expired, Reason: "token_expired"},
		"just expired":              {Header: claim("exp", ago(40*time.Second)), Description: expired, Reason: "token_expired"},
		"no expiry":                 {Header: claim("exp", nil), Description: invalid, Reason: claimed},
		"expiry no number":          {Header: claim("exp", "never"), Description: invalid, Reason: claimed},
		"from the future":           {Header: claim("nbf", ago(-time.Hour)), Description: early, Reason: "token_not_yet_valid"},
		"issued in the future":      {Header: claim("iat", ago(-time.Hour)), Description: early, Reason: "token_not_yet_valid"},
		"wrong audience":            {Header: claim("aud", "api://other"), Description: audience, Reason: "audience_mismatch"},
		"longer audience":           {Header: claim("aud", "api://"+ClientID+".evil.example"), Description: audience, Reason: "audience_mismatch"},
		"no audience":               {Header: claim("aud", nil), Description: invalid, Reason: claimed},
		"audience no string":        {Header: claim("aud", 7), Description: invalid, Reason: claimed},
		"wrong issuer":              {Header: claim("iss", "https://evil.example"), Description: stranger, Reason: "issuer_mismatch"},
		"longer issuer":             {Header: claim("iss", issuer.URL()+"/"), Description: stranger, Reason: "issuer_mismatch"},
		"no issuer":                 {Header: claim("iss", nil), Description: stranger, Reason: "issuer_mismatch"},
		"issuer no string":          {Header: claim("iss", []string{issuer.URL()}), Description: stranger, Reason: "issuer_mismatch"},
		"template for issuer":       {Header: claim("iss", "{tenantid}"), Description: stranger, Reason: "issuer_mismatch"},
		"no tid":                    {Header: claim("tid", nil), Description: lacks, Reason: claimed},
		"empty tid":                 {Header: claim("tid", ""), Description: lacks, Reason: claimed},
		"tid a list":                {Header: claim("tid", []string{Tenant}), Description: lacks, Reason: claimed},
		"tid a number":              {Header: claim("tid", 1), Description: lacks, Reason: claimed},
		"tid with a space":          {Header: claim("tid", " "+Tenant), Description: lacks, Reason: claimed},
		"tid under another name":    {Header: "Bearer " + rsa.Token(good.With("tid", nil).With("TID", Tenant)), Description: lacks, Reason: claimed},
		"no oid":                    {Header: claim("oid", nil), Description: lacks, Reason: claimed},
		"oid an object":             {Header: claim("oid", map[string]string{"a": "b"}), Description: lacks, Reason: claimed},
		"endless oid":               {Header: claim("oid", strings.Repeat("a", 1<<10)), Description: lacks, Reason: claimed},
		"oid of two lines":          {Header: claim("oid", "a\nb"), Description: lacks, Reason: claimed},
		"tenant not allowed":        {Header: claim("tid", "66666666-2222-3333-4444-555555555555"), Forbidden: true},
		"tenant in another case":    {Header: claim("tid", strings.ToUpper("a"+Tenant[1:])), Forbidden: true},
		"ID token":                  {Header: bearer(issuer.IDClaims()), Description: id, Reason: "id_token"},
		"ID token, no nonce":        {Header: bearer(issuer.IDClaims().With("nonce", nil)), Description: id, Reason: "id_token"},
		"ID token, nothing of user": {Header: bearer(issuer.IDClaims().With("nonce", nil).With("name", nil)), Description: id, Reason: "id_token"},
		"ID token with roles":       {Header: bearer(issuer.IDClaims().With("roles", []string{Role})), Description: id, Reason: "id_token"},
		"ID token with azp":         {Header: bearer(issuer.IDClaims().With("azp", Client)), Description: id, Reason: "id_token"},
		"ID token with empty scp":   {Header: bearer(issuer.IDClaims().With("scp", "")), Description: id, Reason: "id_token"},
		"at_hash":                   {Header: claim("at_hash", "77QmUPtjPfzWtF2AnpK9RQ"), Description: id, Reason: "id_token"},
		"c_hash":                    {Header: claim("c_hash", "77QmUPtjPfzWtF2AnpK9RQ"), Description: id, Reason: "id_token"},
		"kind of token ID":          {Header: claim("typ", "ID"), Description: id, Reason: "id_token"},
		"token_use id":              {Header: claim("token_use", "id"), Description: id, Reason: "id_token"},
		"app without a role":        {Header: bearer(issuer.AppClaims()), Forbidden: true},
		"app with another role":     {Header: bearer(issuer.AppClaims("Other")), Forbidden: true},
		"app with a scope":          {Header: bearer(issuer.AppClaims().With("scp", Scope)), Forbidden: true},
		"app that says nothing":     {Header: bearer(issuer.AppClaims().With("idtyp", nil)), Forbidden: true},
		"app, role in another case": {Header: bearer(issuer.AppClaims(strings.ToLower(Role))), Forbidden: true},
		"app, roles in a scope":     {Header: bearer(issuer.AppClaims().With("scp", Role)), Forbidden: true},
		"no token":                  {Header: "Bearer", Description: malform, Reason: shape},
		"empty token":               {Header: "Bearer ", Description: malform, Reason: shape},
		"another scheme":            {Header: "Basic dXNlcjpwYXNz", Description: malform, Reason: shape},
		"no scheme":                 {Header: token, Description: malform, Reason: shape},
		"two tokens":                {Header: "Bearer " + token + " " + token, Description: malform, Reason: shape},
		"two tokens, comma":         {Header: "Bearer " + token + ", Bearer " + token, Description: malform, Reason: shape},
		"two spaces":                {Header: "Bearer  " + token, Description: malform, Reason: shape},
		"tab":                       {Header: "Bearer\t" + token, Description: malform, Reason: shape},
		"space after":               {Header: "Bearer " + token + " ", Description: malform, Reason: shape},
		"newline after":             {Header: "Bearer " + token + "\n", Description: malform, Reason: shape},
		"padding":                   {Header: "Bearer " + token + "==", Description: malform, Reason: shape},
		"padding inside":            {Header: "Bearer " + parts[0] + "=." + parts[1] + "." + parts[2], Description: malform, Reason: shape},
		"standard base64":           {Header: "Bearer " + parts[0] + "." + parts[1] + ".+/+/", Description: malform, Reason: shape},
		"trailing bits":             {Header: "Bearer " + parts[0] + "." + parts[1] + "." + parts[2][:len(parts[2])-1] + trailing(parts[2]), Description: invalid, Reason: shape},
		"two parts":                 {Header: "Bearer " + parts[0] + "." + parts[1], Description: malform, Reason: shape},
		"four parts":                {Header: "Bearer " + token + ".", Description: malform, Reason: shape},
		"five parts, as encrypted":  {Header: "Bearer " + token + "..", Description: malform, Reason: shape},
		"no signature":              {Header: "Bearer " + parts[0] + "." + parts[1] + ".", Description: invalid, Reason: signature},
		"no claims":                 {Header: "Bearer " + parts[0] + ".." + parts[2], Description: invalid, Reason: shape},
		"changed claims":            {Header: "Bearer " + parts[0] + "." + strings.Split(rsa.Token(good.With("oid", "other")), ".")[1] + "." + parts[2], Description: invalid, Reason: signature},
		"16 KiB":                    {Header: "Bearer " + rsa.Token(good.With("groups", strings.Repeat("g", 16<<10))), Description: malform, Reason: shape},
		"16 KiB of dots":            {Header: "Bearer " + strings.Repeat(".", 16<<10), Description: malform, Reason: shape},
		"dots":                      {Header: "Bearer ..", Description: invalid, Reason: shape},
		"not ASCII":                 {Header: "Bearer " + token + "é", Description: malform, Reason: shape},
	}
}

// trailing is another last character for the same bytes: the bits of the last one
// that base64 does not need are not zero any more.
func trailing(part string) string {
	const alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
	return string(alphabet[strings.IndexByte(alphabet, part[len(part)-1])|1])
}
