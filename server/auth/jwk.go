package auth

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rsa"
	"slices"

	"github.com/MicahParks/jwkset"
)

// minRSA is the shortest RSA key that RS256 may be used with, in bits (RFC 7518,
// section 3.3).
const minRSA = 2048

// signingKey makes a key of its JSON form, if it is one that tokens may be
// signed with. A key that does not name its algorithm is pinned to the one of
// its kind.
func signingKey(j jwkset.JWKMarshal) (key, bool) {
	if j.USE != "" && j.USE != jwkset.UseSig || len(j.KEYOPS) > 0 && !slices.Contains(j.KEYOPS, jwkset.KeyOpsVerify) {
		return key{}, false
	}
	// Only the numbers: what else a key may carry leads to certificates, some of
	// them to be fetched from wherever it says.
	bare := jwkset.JWKMarshal{KTY: j.KTY, N: j.N, E: j.E, CRV: j.CRV, X: j.X, Y: j.Y}
	parsed, err := jwkset.NewJWKFromMarshal(bare, jwkset.JWKMarshalOptions{}, jwkset.JWKValidateOptions{})
	if err != nil {
		return key{}, false
	}
	switch public := parsed.Key().(type) {
	case *rsa.PublicKey:
		if public.N.BitLen() >= minRSA && (j.ALG == "" || j.ALG == jwkset.AlgRS256) {
			return key{alg: algRSA, public: public}, true
		}
	case *ecdsa.PublicKey:
		if public.Curve == elliptic.P256() && (j.ALG == "" || j.ALG == jwkset.AlgES256) {
			return key{alg: algEC, public: public}, true
		}
	}
	return key{}, false
}
