// Package testdata holds fixtures for the tests of every room. It is a package
// because go:embed cannot reach into a parent directory.
package testdata

import "embed"

// Wire has stored records of every generation: legacy-*.json as the
// legacy service wrote them, v*.json as hash fields and list elements of a
// version of ours; and beside each, as .golden, what it must decode to.
//
//go:embed wire
var Wire embed.FS
