package redis

import "context"

// Primary is what a primary says of itself.
type Primary struct {
	Version string // of Redis, such as "7.0.15"; "" where it does not tell
	// RoleKnown says that it calls itself a primary. It is false where it does not say;
	// of one that calls itself a replica, Primaries returns an error.
	RoleKnown bool
}

// Primaries asks every primary what it is, in the order of the slots, and returns the
// first error. It is for a person who wants to know what the settings lead to: of whether
// the store can be used, Ping and Shards know more.
func (s *Store) Primaries(ctx context.Context) ([]Primary, error) {
	const op = "Primaries"
	parts, err := s.every(ctx, op)
	if err != nil {
		return nil, err
	}
	found := make([]Primary, 0, len(parts))
	for _, p := range parts {
		var is what
		err := s.on(ctx, p.node, op, func(ctx context.Context, c *client) error {
			if err := c.Ping(ctx).Err(); err != nil { // what is asked next may be refused
				return err
			}
			is = askWhat(ctx, c.Client)
			if is.role == roleReplica {
				return errReplica
			}
			return nil
		})
		if err != nil {
			return nil, err
		}
		found = append(found, Primary{is.version, is.role == rolePrimary})
	}
	return found, nil
}

// maxVersion bounds what is taken for a version.
const maxVersion = 32

// versionOf lets a version pass, and nothing that a server could have a person read in
// its place.
func versionOf(said string) string {
	if len(said) > maxVersion {
		return ""
	}
	for _, r := range said {
		if (r < '0' || r > '9') && (r < 'a' || r > 'z') && (r < 'A' || r > 'Z') && r != '.' && r != '-' {
			return ""
		}
	}
	return said
}
