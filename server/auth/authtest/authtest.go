// Package authtest is an issuer of tokens for tests: it makes keys, signs tokens
// good and bad, and serves the keys over TLS as well or as badly as a test wants.
package authtest

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"math/big"
	"testing"
)

// Key is a pair of keys of an issuer.
type Key struct {
	ID  string
	Alg string // RS256 or ES256
	// Private is an *rsa.PrivateKey or an *ecdsa.PrivateKey.
	Private crypto.Signer
}

// NewRSA makes a key for RS256.
func NewRSA(t testing.TB, id string) *Key {
	t.Helper()
	private, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	return &Key{ID: id, Alg: "RS256", Private: private}
}

// NewEC makes a key for ES256.
func NewEC(t testing.TB, id string) *Key {
	t.Helper()
	private, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return &Key{ID: id, Alg: "ES256", Private: private}
}

// JWK is the public half as a key set has it (RFC 7517), without an alg, as
// Microsoft Entra serves its own.
func (k *Key) JWK() map[string]any {
	jwk := map[string]any{"kid": k.ID, "use": "sig"}
	switch public := k.Private.Public().(type) {
	case *rsa.PublicKey:
		jwk["kty"], jwk["n"], jwk["e"] = "RSA", encode(public.N.Bytes()), encode(big.NewInt(int64(public.E)).Bytes())
	case *ecdsa.PublicKey:
		point, err := public.Bytes() // 4, then x and y of 32 bytes each
		if err != nil {
			panic(err) // cannot happen: the key was just made
		}
		jwk["kty"], jwk["crv"], jwk["x"], jwk["y"] = "EC", "P-256", encode(point[1:33]), encode(point[33:])
	}
	return jwk
}

// Sign signs what stands before the second dot of a token.
func (k *Key) Sign(input []byte) []byte {
	digest := sha256.Sum256(input)
	switch private := k.Private.(type) {
	case *rsa.PrivateKey:
		signature, err := rsa.SignPKCS1v15(rand.Reader, private, crypto.SHA256, digest[:])
		if err != nil {
			panic(err) // cannot happen: the key is long enough
		}
		return signature
	case *ecdsa.PrivateKey:
		r, s, err := ecdsa.Sign(rand.Reader, private, digest[:])
		if err != nil {
			panic(err) // cannot happen: the key was made for it
		}
		signature := make([]byte, 64)
		r.FillBytes(signature[:32])
		s.FillBytes(signature[32:])
		return signature
	}
	return nil
}

// Object is a JSON object: the header of a token, or its claims.
type Object map[string]any

// With is the object with one member changed, or without it when value is nil.
func (o Object) With(name string, value any) Object {
	changed := Object{}
	for k, v := range o {
		changed[k] = v
	}
	if changed[name] = value; value == nil {
		delete(changed, name)
	}
	return changed
}

// Header is the header that goes with a key.
func (k *Key) Header() Object { return Object{"alg": k.Alg, "typ": "JWT", "kid": k.ID} }

// Token is a token that the key signed.
func (k *Key) Token(claims Object) string { return Token(k.Header(), claims, k.Sign) }

// Token puts a token together out of whatever it is given; a nil sign leaves the
// signature empty.
func Token(header, claims Object, sign func([]byte) []byte) string {
	input := encodeJSON(header) + "." + encodeJSON(claims)
	if sign == nil {
		return input + "."
	}
	return input + "." + encode(sign([]byte(input)))
}

func encode(b []byte) string { return base64.RawURLEncoding.EncodeToString(b) }

func encodeJSON(o Object) string {
	b, err := json.Marshal(o)
	if err != nil {
		panic(err) // a test put something into it that is no JSON
	}
	return encode(b)
}
