package main

import (
	"errors"
	"net/url"
	"slices"
	"strconv"
	"strings"
)

// redisURL reads a URL strictly: a password with a character that is not escaped
// would silently become another host, another password or a database.
func redisURL(c *config, v string) error {
	if v == "" {
		return nil
	}
	c.redisGiven = true
	if err := checkRedisURL(v); err != nil {
		return err
	}
	c.redisURL = v
	return nil
}

// checkRedisURL says what is wrong with a URL without repeating any of it.
func checkRedisURL(v string) error {
	scheme, rest, ok := strings.Cut(v, "://")
	if !ok || scheme != "redis" && scheme != "rediss" {
		return errors.New("is no such URL: it does not begin with redis:// or rediss://")
	}
	user, place := "", rest
	if at := strings.LastIndexByte(rest, '@'); at >= 0 {
		user, place = rest[:at], rest[at+1:]
	}
	for _, escape := range []struct{ raw, as string }{{"#", "%23"}, {"/", "%2F"}, {"?", "%3F"}, {"@", "%40"}} {
		if strings.Contains(user, escape.raw) || escape.raw == "#" && strings.Contains(place, "#") {
			return errors.New("is no such URL: in a user name or password, " + escape.raw + " must be written " + escape.as)
		}
	}
	if _, err := url.PathUnescape(user); err != nil {
		return errors.New("is no such URL: in a user name or password, % must be written %25")
	}
	if _, err := url.Parse(scheme + "://" + user + "@h"); err != nil || strings.Contains(user, " ") {
		return errors.New("is no such URL: in a user name or password, characters other than letters, digits and -._~ must be escaped, such as %5E for ^")
	}
	hosts, query, _ := strings.Cut(place, "?")
	hosts, database, _ := strings.Cut(hosts, "/")
	if strings.Contains(hosts, ",") {
		return errors.New("is no such URL: it names more than one host")
	}
	u, err := url.Parse(scheme + "://" + hosts)
	if err != nil || u.Hostname() == "" || strings.HasSuffix(hosts, ":") {
		return errors.New("is no such URL: it names no host, or a port that is none")
	}
	if port := u.Port(); port != "" {
		if n, err := strconv.ParseUint(port, 10, 16); err != nil || n == 0 {
			return errors.New("is no such URL: the port is not from 1 to 65535")
		}
	}
	if _, err := strconv.ParseUint(database, 10, 31); err != nil && database != "" {
		return errors.New("is no such URL: what follows the host is no database number")
	}
	return checkRedisOptions(query, database != "")
}

// checkRedisOptions refuses what would be ignored: how long calls take and how many
// connections there are is for this service to say.
func checkRedisOptions(query string, database bool) error {
	options, err := url.ParseQuery(query)
	if err != nil {
		return errors.New("is no such URL: what follows the ? cannot be read")
	}
	for name, values := range options {
		switch {
		case !slices.Contains([]string{"db", "protocol", "client_name", "skip_verify"}, name):
			return errors.New("has options that would be ignored; of those only db, protocol and client_name are not")
		case len(values) > 1 || name == "db" && database:
			return errors.New("is no such URL: it says one thing twice")
		}
	}
	return nil
}
