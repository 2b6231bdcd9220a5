package main

import (
	"fmt"
	"strconv"
	"strings"
	"time"
)

// count is a number and what it counts.
func count(n int, what string) string {
	if n != 1 {
		what += "s"
	}
	return strconv.Itoa(n) + " " + what
}

// ageValue is a flag that takes 30d beside what time.ParseDuration takes.
type ageValue time.Duration

// String implements pflag.Value.
func (v *ageValue) String() string {
	const day = 24 * time.Hour
	if d := time.Duration(*v); d == 0 || d%day != 0 {
		return d.String()
	}
	return strconv.Itoa(int(time.Duration(*v)/day)) + "d"
}

// Type implements pflag.Value.
func (*ageValue) Type() string { return "age" }

// Set implements pflag.Value.
func (v *ageValue) Set(text string) error {
	const most = 100 * 366 // days
	if number, isDays := strings.CutSuffix(text, "d"); isDays {
		if days, err := strconv.ParseUint(number, 10, 32); err == nil && days <= most {
			*v = ageValue(time.Duration(days) * 24 * time.Hour)
			return nil
		}
	}
	d, err := time.ParseDuration(text)
	if err != nil || d < 0 {
		return fmt.Errorf("%q is no age: give one such as 30d or 12h", text)
	}
	*v = ageValue(d)
	return nil
}
