package main

import (
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"
)

func text(field func(*config) *string) func(*config, string) error {
	return func(c *config, v string) error {
		*field(c) = v
		return nil
	}
}

func boolean(field func(*config) *bool) func(*config, string) error {
	return func(c *config, v string) error {
		if v != "true" && v != "false" {
			return errors.New("is neither")
		}
		*field(c) = v == "true"
		return nil
	}
}

func number(field func(*config) *int, low, high int) func(*config, string) error {
	return func(c *config, v string) error {
		n, err := strconv.Atoi(v)
		if err != nil {
			return errors.New("is not a whole number")
		}
		if n < low || n > high {
			return errors.New("is out of range")
		}
		*field(c) = n
		return nil
	}
}

// duration reads a whole number of units, so that no other unit can be meant.
func duration(field func(*config) *time.Duration, unit time.Duration, low, high int) func(*config, string) error {
	return func(c *config, v string) error {
		var n int
		err := number(func(*config) *int { return &n }, low, high)(c, v)
		*field(c) = time.Duration(n) * unit
		return err
	}
}

// list reads what stands between commas. Empty parts are dropped, but something
// must be left: a list that says nothing may mean all or none.
func list(field func(*config) *[]string) func(*config, string) error {
	return func(c *config, v string) error {
		out := []string{}
		for part := range strings.SplitSeq(v, ",") {
			if part = strings.TrimSpace(part); part != "" {
				out = append(out, part)
			}
		}
		*field(c) = out
		if v != "" && len(out) == 0 {
			return errors.New("names nothing")
		}
		return nil
	}
}

// claims reads a list of values that tokens may have.
func claims(field func(*config) *[]string) func(*config, string) error {
	return func(c *config, v string) error {
		err := list(field)(c, v)
		for _, value := range *field(c) {
			if strings.ContainsFunc(value, func(r rune) bool { return r <= ' ' || r > '~' || strings.ContainsRune(`"';`+"`", r) }) {
				return errors.New("has a quote, a semicolon or a space in it, which no token has there")
			}
		}
		return err
	}
}

// fault is one thing that is wrong with the configuration.
func fault(s setting, value string, err error) error {
	if s.secret || value == "" {
		return fmt.Errorf("%s: %w; expected %s", s.name, err, s.expects)
	}
	return fmt.Errorf("%s: %q %w; expected %s", s.name, shown(value), err, s.expects)
}
